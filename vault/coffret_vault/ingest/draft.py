"""What an importer yields: a memory not yet in any vault, or why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec

from coffret_vault.formats.unshown import Unshown

Unit: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
"""A number from 0 to 1."""

MAX_TIME = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

Micros: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME)]
"""Microseconds since 1970-01-01 UTC."""


class Draft(Unshown, msgspec.Struct, frozen=True, kw_only=True):
    """A memory read from a source, before it is sealed.

    Everything here is plaintext on the owner's device. Once stored in ``plain`` mode the server
    sees ``title``, ``importance`` and ``tags``, so importers fill these only from what the source
    states openly (a title, a heading, a file name, a tag), never from its sentences. The rest,
    ``key`` and ``source`` included, belongs inside the envelope.

    Attributes:
        key: stable name of this piece of its source. Importing the same source again gives the
            same keys, so that a caller can tell new, changed and unchanged memories apart.
        source: where it came from, for people; all pieces of one file or conversation share it.
        content: Markdown, never blank.
        title: one clean line; see ``names.clean_title``.
        summary: one the source itself states, or empty.
        type: ``preference``, ``fact``, ``experience``, ``goal``, ``relationship``,
            ``procedural``, ``contextual``, or the source's own word.
        tags: without ``#``, lower case from the importers, in the order met, no duplicates.
        importance: 0 to 1, or None where the source does not say.
        confidence: 0 to 1, or None where the source does not say.
        labels: ``session``, ``user``, ``agent``, ``app``, ``group``, ``participants``.
        metadata: JSON values; what the importer did not understand is kept here unchanged.
        created: when it happened or was written, or None where only ``updated`` is known.
        updated: when the source last changed, or None.
    """

    key: str
    source: str
    content: str
    title: str = ""
    summary: str = ""
    type: str = "contextual"
    tags: tuple[str, ...] = ()
    importance: Unit | None = None
    confidence: Unit | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict)
    created: Micros | None = None
    updated: Micros | None = None

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of everything a person would call a change.

        ``updated`` does not count: a file that was only touched or copied is unchanged.
        """
        stated = {
            name: getattr(self, name) for name in Draft.__struct_fields__ if name not in _UNDIGESTED
        }
        return hashlib.sha256(msgspec.json.encode(stated, order="deterministic")).hexdigest()


_UNDIGESTED = frozenset({"key", "source", "updated"})


EMPTY = "empty"
"""Why an item that holds nothing is skipped."""


class ImportSkipped(msgspec.Struct, frozen=True):
    """One item that was not imported.

    Attributes:
        source: the item, for people: a relative path, with a line or position where there is one.
        reason: a short sentence, the same for every item skipped for that reason.
    """

    source: str
    reason: str


Imported: TypeAlias = Draft | ImportSkipped
"""What an importer yields for each item it met."""
