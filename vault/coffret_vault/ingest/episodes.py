"""Conversations into episodes: stretches that read as one memory.

A new episode starts after a silence longer than ``Limits.gap_hours``, or, once it is longer than
``Limits.episode_chars``, before the next turn of a person (at twice that length, before any turn).
Episodes grow only at their end, so the key of one, which names its first message, stays the same
when a later export holds more of the conversation: the last episode is updated, new ones added.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.ingest.draft import Draft, Imported, ImportSkipped
from coffret_vault.ingest.errors import SourceDamagedError, SourceEmptyError
from coffret_vault.ingest.names import clean_title
from coffret_vault.ingest.sections import cut_text
from coffret_vault.ingest.times import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coffret_vault.ingest.limits import Limits
    from coffret_vault.ingest.turns import Conversation, Message, Turns

_MICROS_PER_HOUR = 3_600_000_000
_NAMED = 3
_HARD_FACTOR = 2
_MAX_LABEL_CHARS = 400

NO_MESSAGES = "a conversation without messages"


def read_conversations(
    raws: Sequence[msgspec.Raw],
    name: str,
    build: Callable[[msgspec.Raw], tuple[Conversation, Turns]],
    limits: Limits,
) -> Iterator[Imported]:
    """Read a file's conversations; one that cannot be read is skipped, and the rest goes on.

    Args:
        raws: the conversations, each as the JSON it was in the file.
        name: the file, for the sources of skipped items.
        build: reads one, and raises ``SourceDamagedError`` if it cannot.
        limits: sizes.

    Raises:
        SourceEmptyError: there are none; said at once, and not when the first one is asked for.
    """
    if not raws:
        raise SourceEmptyError
    return _read_each(raws, name, build, limits)


def _read_each(
    raws: Sequence[msgspec.Raw],
    name: str,
    build: Callable[[msgspec.Raw], tuple[Conversation, Turns]],
    limits: Limits,
) -> Iterator[Imported]:
    for number, raw in enumerate(raws, 1):
        where = f"{name}, conversation {number}"
        try:
            talk, turns = build(raw)
        except SourceDamagedError as error:
            yield ImportSkipped(where, str(error))
            continue
        yield from turns.skipped_in(where)
        if not talk.messages:
            yield ImportSkipped(where, NO_MESSAGES)
        yield from read_episodes(talk, limits)


def read_episodes(talk: Conversation, limits: Limits) -> Iterator[Draft]:
    """The drafts of a conversation, one an episode; none where there is no message."""
    if not talk.messages:
        return
    ident = talk.id or content_id(talk.messages[0])
    for number, episode in enumerate(_episodes(talk.messages, limits), 1):
        yield draft_of(talk, ident, episode, number)


def content_id(first: Message) -> str:
    """An id for a conversation that has none: what its first message is."""
    stated = msgspec.json.encode([first.sender, first.text, first.time])
    return hashlib.sha256(stated).hexdigest()[:16]


def _episodes(messages: Sequence[Message], limits: Limits) -> Iterator[list[Message]]:
    current: list[Message] = []
    size = 0
    last: int | None = None
    for message in _cut_long(messages, limits.episode_chars * _HARD_FACTOR):
        length = len(message.text)
        if current and (_silent(last, message, limits) or _full(size, message, limits)):
            yield current
            current, size = [], 0
        current.append(message)
        size += length
        last = message.time if message.time is not None else last
    yield current


def _silent(last: int | None, message: Message, limits: Limits) -> bool:
    if last is None or message.time is None:
        return False
    return message.time - last > limits.gap_hours * _MICROS_PER_HOUR


def _full(size: int, message: Message, limits: Limits) -> bool:
    together = size + len(message.text)
    if message.role == "assistant":
        return together > limits.episode_chars * _HARD_FACTOR
    return together > limits.episode_chars


def _cut_long(messages: Sequence[Message], chars: int) -> Iterator[Message]:
    for message in messages:
        pieces = [piece for piece in cut_text(message.text, chars) if piece.strip()]
        yield from (
            msgspec.structs.replace(
                message, text=piece.strip("\n"), id=message.id if at == 0 else f"{message.id}~{at}"
            )
            for at, piece in enumerate(pieces)
        )


def spoken_by_all(messages: Sequence[Message]) -> str:
    """What was said, and by whom, as the content of a memory."""
    return "\n\n".join(f"{message.sender}: {message.text}" for message in messages)


def draft_of(talk: Conversation, ident: str, episode: Sequence[Message], number: int) -> Draft:
    """The draft of a stretch of a conversation, which is its ``number``-th; ``ident`` names it."""
    times = [message.time for message in episode if message.time is not None]
    created = min(times, default=talk.created)
    names = list(dict.fromkeys(message.sender for message in episode))
    return Draft(
        key=f"{talk.kind}:{ident}#{episode[0].id}",
        source=f"{talk.kind}:{ident}",
        content=spoken_by_all(episode),
        title=_title(talk, episode, number, day_of(created)),
        tags=talk.tags,
        labels={
            **talk.labels,
            "session": ident,
            "participants": ", ".join(names)[:_MAX_LABEL_CHARS],
        },
        metadata=talk.metadata,
        created=created,
        updated=max(times, default=None),
    )


def _title(talk: Conversation, episode: Sequence[Message], number: int, day: str | None) -> str:
    if not talk.title:
        title = f"Conversation with {_others(episode)}"
        return clean_title(f"{title}, {day}" if day else title)
    later = f" ({day})" if day else f" ({number})"
    return clean_title(talk.title) + (later if number > 1 else "")


def _others(episode: Sequence[Message]) -> str:
    others = [message.sender for message in episode if message.role != "user"]
    names = list(dict.fromkeys(others or [episode[0].sender]))
    if len(names) <= _NAMED:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
