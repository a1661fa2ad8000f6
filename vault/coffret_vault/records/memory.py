"""What an owner or an app sees of a memory."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from coffret_vault.errors import InputError
from coffret_vault.formats.layout import LONGEST_TEXT

MemoryType = Literal[
    "preference", "fact", "experience", "goal", "relationship", "procedural", "contextual"
]
"""The types that Coffret knows by name; any other text is a type too."""
KNOWN_TYPES: tuple[str, ...] = MemoryType.__args__  # type: ignore[attr-defined]

ReviewStatus = Literal["approved", "pending_review", "rejected"]
PENDING: Final = "pending_review"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """A moment as microseconds since 1970; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC; far ones are clipped to year 9999."""
    try:
        return _EPOCH + micros * _MICROSECOND
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def maybe_micros(moment: datetime | None) -> int | None:
    """As :func:`to_micros`, of a moment that may be absent."""
    return None if moment is None else to_micros(moment)


def maybe_moment(micros: int | None) -> datetime | None:
    """As :func:`from_micros`, of what may be absent."""
    return None if micros is None else from_micros(micros)


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a memory that its writer chooses.

    Attributes:
        content: Markdown; never empty.
        title: seen by the server unless ``sealed``; at most 512 bytes.
        summary: sealed, as all that follows but importance and tags.
        type: one of :data:`KNOWN_TYPES`, or any other word.
        tags: seen by the server unless ``sealed``.
        importance: 0 to 1; seen by the server unless ``sealed``.
        confidence: 0 to 1.
        source: where it comes from, for people.
        labels: names to file it by (user, agent, session, group).
        metadata: anything that MessagePack can hold.
        sealed: keep title, tags and importance from the server too; None leaves it to the vault.
        valid_from: when what it says began to be true.
        valid_until: when it ceased to be.
        provenance: how it came about, for machines.
    """

    content: str
    title: str = ""
    summary: str = ""
    type: str = "contextual"
    tags: tuple[str, ...] = ()
    importance: float | None = None
    confidence: float | None = None
    source: str = ""
    labels: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    sealed: bool | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    provenance: dict[str, str] = {}

    def __repr__(self) -> str:
        # Never the plaintext: objects end up in logs and tracebacks.
        return f"<{type(self).__name__}>"


def checked(fields: Fields, *, sealed: bool | None = None) -> Fields:
    """The fields as they will be read back: of the kinds that they say, names and tags in NFC.

    Structs take whatever they are given; a number where text belongs would make a record that no
    device could open again.

    Args:
        fields: what the writer chose.
        sealed: whether it is, where they do not say.

    Raises:
        InputError: a field is of another kind.
    """
    given = msgspec.structs.asdict(fields)
    if given["sealed"] is None:
        given["sealed"] = sealed
    try:
        made = msgspec.convert(given, Fields)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InputError(str(error)) from None
    title, tags = _composed(made.title), tuple(dict.fromkeys(map(_composed, made.tags)))
    if (title, tags) == (made.title, made.tags):
        return made
    return msgspec.structs.replace(made, title=title, tags=tags)


def _composed(text: str) -> str:
    # What fits no field is refused when it is written; composing it could take minutes.
    fits_nowhere = len(text) > LONGEST_TEXT
    return text if text.isascii() or fits_nowhere else unicodedata.normalize("NFC", text)


class Review(msgspec.Struct, frozen=True):
    """Whether the owner has agreed to a version: status, who decided (``owner``) and when.

    ``status`` is ``pending_review``, ``approved`` (as all of the owner's) or ``rejected``.
    """

    status: ReviewStatus = APPROVED
    by: str = ""
    at: datetime | None = None


class Memory(Fields, frozen=True, kw_only=True):
    """One version of a memory, opened.

    Attributes:
        id: the memory's id, a hyphenated UUID.
        version: counts every change, from 1.
        author: ``owner``, or the id of the app that wrote this version.
        created: when the first version was written, by its writer's clock.
        updated: when this version was.
        review: ``approved`` for what the owner wrote or accepted.
        sealed: whether title, tags and importance are kept from the server.
    """

    id: str
    version: int
    author: str
    created: datetime
    updated: datetime
    review: Review = Review()
    sealed: bool = False

    def __repr__(self) -> str:
        return f"<Memory {self.id} version {self.version}>"

    def fields(self) -> Fields:
        """What the writer chose, to write it again changed."""
        return Fields(**{name: getattr(self, name) for name in Fields.__struct_fields__})
