"""Messages as chat APIs have them: ``[{"role": "user", "content": "…"}, …]``, into exchanges.

An exchange is what a person says and the answer to it; each becomes one memory. ``content`` is a
text or a list of parts (OpenAI, Anthropic and who does as they do). System prompts, tool calls,
their results and thinking are machinery and left out; images and files appear as ``[attachment]``.
Both are named. What is neither, or is not understood, is an error: nobody would miss it otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.errors import InputError
from coffret_vault.formats.unshown import Unshown
from coffret_vault.ingest.chatgpt import ATTACHMENT
from coffret_vault.ingest.draft import Draft, ImportSkipped
from coffret_vault.ingest.episodes import content_id, draft_of, spoken_by_all
from coffret_vault.ingest.errors import SourceDamagedError
from coffret_vault.ingest.fits import check_fits
from coffret_vault.ingest.limits import DEFAULT_LIMITS, Limits
from coffret_vault.ingest.turns import Conversation, Message, role_of, sender_name

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = "chat"
_TITLE = "Conversation"
"""A server may read titles, and who takes part is not its business."""
MACHINERY = "machinery, which nobody said"
NOT_KEPT = "an attachment, which is not kept"

_MACHINES = frozenset({"system", "developer", "tool", "function"})
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_WORK = frozenset(
    {
        "code_execution_tool_result",
        "computer_call",
        "function_call",
        "function_call_output",
        "mcp_tool_result",
        "mcp_tool_use",
        "reasoning",
        "redacted_thinking",
        "server_tool_use",
        "thinking",
        "tool_call",
        "tool_result",
        "tool_use",
        "web_search_tool_result",
    }
)
_ATTACHED = frozenset(
    {
        "audio",
        "document",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "video",
        "video_url",
    }
)


class Exchange(Unshown, msgspec.Struct, frozen=True):
    """What a person said, and the answers to it.

    Attributes:
        draft: the memory that it becomes.
        messages: what was said, in order; an exchange that is not over yet grows at its end.
    """

    draft: Draft
    messages: tuple[Message, ...]

    def beginning(self, count: int) -> str:
        """The content of its memory when only so many messages had been said."""
        return spoken_by_all(self.messages[:count])


class Read(Unshown, msgspec.Struct, frozen=True):
    """What was read of messages.

    Attributes:
        exchanges: in order.
        session: which conversation they are of: as given, or named after its first message.
        skipped: what was left out, and why.
    """

    exchanges: tuple[Exchange, ...]
    session: str
    skipped: tuple[ImportSkipped, ...]


def read_messages(
    messages: Iterable[Mapping[str, object]],
    *,
    session: str | None = None,
    agent: str | None = None,
    user: str | None = None,
    tags: Iterable[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Read:
    """Read the messages of a conversation, or of a stretch of it; all of them, or none.

    Args:
        messages: mappings with ``role`` and ``content``, and perhaps ``name``.
        session: which conversation it is; by its first message when None.
        agent: who answers, as a label.
        user: who asks, as a label.
        tags: for each memory.
        limits: sizes.

    Raises:
        InputError: there is something that is no message, or cannot be a memory; it says where.
    """
    given = {"session": session, "agent": agent, "user": user}
    labels = {name: _label(name, text) for name, text in given.items() if text is not None}
    skipped: list[ImportSkipped] = []
    said = list(_said(messages, skipped))
    if not said:
        message = "nobody says anything in these messages"
        raise InputError(message)
    ident = labels.get("session") or content_id(said[0])
    talk = Conversation(
        kind=KIND, id=ident, title=_TITLE, messages=said, tags=_tags(tags), labels=labels
    )
    exchanges = tuple(_exchange(talk, ident, group, limits) for group in _groups(said))
    return Read(exchanges, ident, tuple(skipped))


def _exchange(talk: Conversation, ident: str, group: Sequence[Message], limits: Limits) -> Exchange:
    draft = draft_of(talk, ident, group, 1)
    try:
        check_fits(draft, limits)
    except SourceDamagedError as error:
        message = f"the exchange from message {group[0].id} on cannot be a memory: {error}"
        raise InputError(message) from None
    return Exchange(draft, tuple(group))


def _groups(said: Iterable[Message]) -> Iterator[list[Message]]:
    """A new exchange begins where a person speaks after an answer."""
    group: list[Message] = []
    for message in said:
        if message.role == "user" and group and group[-1].role != "user":
            yield group
            group = []
        group.append(message)
    yield group


def _said(messages: object, skipped: list[ImportSkipped]) -> Iterator[Message]:
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
        message = "messages are a list of mappings with role and content"
        raise InputError(message)
    for number, given in enumerate(messages, 1):
        found = _message(given, number, skipped)
        if found is not None:
            yield found


def _message(given: object, number: int, skipped: list[ImportSkipped]) -> Message | None:
    where = f"message {number}"
    if not isinstance(given, Mapping):
        message = f"{where} is no mapping with role and content"
        raise InputError(message)
    stated = given.get("role")
    if isinstance(stated, str) and stated.strip().lower() in _MACHINES:
        skipped.append(ImportSkipped(where, MACHINERY))
        return None
    role = role_of(stated) if isinstance(stated, str) else "other"
    if role == "other":
        message = f"the role of {where} is neither user nor assistant, nor one of a machine"
        raise InputError(message)
    text = _text(given, where, skipped)
    if text is None:
        return None
    return Message(
        id=str(number), sender=_sender(given, where, role), text=text, time=None, role=role
    )


def _sender(given: Mapping[str, object], where: str, role: str) -> str:
    name = given.get("name")
    if name is not None and not isinstance(name, str):
        message = f"the name in {where} is no text"
        raise InputError(message)
    return sender_name(_unicode(name or "", f"the name in {where}"), role)


def _text(given: Mapping[str, object], where: str, skipped: list[ImportSkipped]) -> str | None:
    """What a message says; None for one of nothing but machinery."""
    content = given.get("content")
    calls = bool(given.get("tool_calls") or given.get("function_call"))
    if calls:
        skipped.append(ImportSkipped(f"{where}, tool calls", MACHINERY))
    if content is None or isinstance(content, str):
        texts, worked = [content or ""], calls
    elif isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        before = len(skipped)
        texts = [_part(part, f"{where}, part {at}", skipped) for at, part in enumerate(content, 1)]
        worked = calls or len(skipped) > before
    else:
        message = f"the content of {where} is neither a text nor a list of parts"
        raise InputError(message)
    whole = "\n\n".join(
        text.replace("\r\n", "\n").strip("\n").rstrip() for text in texts if text.strip()
    )
    if not whole and not worked:
        message = f"{where} says nothing: its content is empty"
        raise InputError(message)
    return _unicode(whole, where) or None


def _part(part: object, where: str, skipped: list[ImportSkipped]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str):
        message = f"{where} is neither a text nor a mapping with a type"
        raise InputError(message)
    if kind in _TEXTS:
        text = part.get(_TEXTS[kind])
        if isinstance(text, str):
            return text
        message = f"{where} should have a text, and has none"
        raise InputError(message)
    if kind in _WORK:
        skipped.append(ImportSkipped(where, MACHINERY))
        return ""
    if kind in _ATTACHED:
        skipped.append(ImportSkipped(where, NOT_KEPT))
        return ATTACHMENT
    message = f"{where} is of a type that is not known; give its text, or leave it out"
    raise InputError(message)


def _label(name: str, text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        message = f"{name} is a text that is not blank"
        raise InputError(message)
    return _unicode(text, name)


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    found = () if isinstance(tags, str) else tuple(tags)
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in found):
        message = "tags is a collection of texts, not one text"
        raise InputError(message)
    return tuple(dict.fromkeys(found))


def _unicode(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        message = f"{where} is not Unicode text"
        raise InputError(message) from None
    return text
