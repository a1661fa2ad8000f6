"""Turns of a conversation, whatever program exported them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.draft import ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError
from coffret_vault.ingest.names import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MAX_NAME_CHARS = 100


class Message(Unshown, msgspec.Struct, frozen=True, kw_only=True):
    """One turn.

    Attributes:
        id: the export's own id, else its position in the conversation; with a suffix for the
            further parts of a turn that had to be cut.
        sender: a clean name for people.
        text: Markdown, not blank.
        time: microseconds UTC, or None.
        role: ``user`` (the owner), ``assistant``, or ``other`` (someone else, or not known).
    """

    id: str
    sender: str
    text: str
    time: int | None
    role: str


class Conversation(Unshown, msgspec.Struct, frozen=True, kw_only=True):
    """What every chat export comes down to.

    Attributes:
        kind: the export's kind, the first part of keys and sources.
        id: the conversation's id in its export, or empty.
        title: the one the export states, or empty.
        messages: in order, none blank.
        tags: those the export states.
        labels: as in ``Draft``; ``session`` and ``participants`` are added.
        metadata: as in ``Draft``.
        created: stands in where messages have no times.
    """

    kind: str
    id: str
    title: str
    messages: Sequence[Message]
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict)
    created: int | None = None


class Turns(msgspec.Struct, frozen=True):
    """The turns of a conversation that could be read, and why the others could not."""

    messages: list[Message]
    refused: list[tuple[int, str]]

    def skipped_in(self, where: str) -> Iterator[ImportSkipped]:
        """The unreadable turns of the conversation called ``where``."""
        return (
            ImportSkipped(f"{where}, message {number}", reason) for number, reason in self.refused
        )


def read_turns(
    raws: Iterable[msgspec.Raw], read: Callable[[msgspec.Raw, str], Message | None]
) -> Turns:
    """Read turns one by one, so that a damaged one costs only itself.

    Args:
        raws: the turns as JSON, in order.
        read: makes a message of one and its position (as a stand-in for a missing id); None for
            what is no message to a person; raises ``SourceDamagedError`` for what is damaged.
    """
    turns = Turns([], [])
    for number, raw in enumerate(raws, 1):
        try:
            message = read(raw, str(number))
        except SourceDamagedError as error:
            turns.refused.append((number, str(error)))
        else:
            turns.messages.extend([message] if message else [])
    return turns


def spoken(text: str) -> str:
    """The text of a turn.

    Raises:
        SourceDamagedError: there is none.
    """
    if not text.strip():
        detail = "a message without text"
        raise SourceDamagedError(detail)
    return text.replace("\r\n", "\n").strip("\n").rstrip()


def sender_name(stated: str | None, role: str) -> str:
    """A name to show: the stated one, cleaned, else what the role is called."""
    name = clean_line(stated or "")[:_MAX_NAME_CHARS]
    return name or {"user": "Me", "assistant": "Assistant"}.get(role, "Someone")


def role_of(stated: str | None) -> str:
    """``user``, ``assistant`` or ``other`` from the words that exports use."""
    word = (stated or "").strip().lower()
    if word in {"user", "human", "me", "owner"}:
        return "user"
    return "assistant" if word in {"assistant", "ai", "bot", "model"} else "other"
