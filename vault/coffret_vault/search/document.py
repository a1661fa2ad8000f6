"""What is indexed, what narrows a search, and what a search answers."""

from __future__ import annotations

from collections.abc import Mapping  # msgspec reads the annotations at run time
from typing import Literal

import msgspec

from coffret_vault.formats.unshown import Unshown

Mode = Literal["fused", "semantic", "words"]
Reason = Literal["semantic", "words"]


class Document(Unshown, msgspec.Struct, frozen=True, kw_only=True):
    """One opened memory, as the search needs it. Times are microseconds since 1970, UTC."""

    id: bytes
    version: int
    created: int
    updated: int
    title: str = ""
    summary: str = ""
    content: str = ""
    tags: tuple[str, ...] = ()
    type: str = ""
    author: str = ""
    status: str = ""
    importance: float | None = None
    valid_from: int | None = None
    valid_until: int | None = None
    source: str = ""
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    metadata: frozenset[tuple[str, str]] | None = frozenset()
    """Names with values, as a filter writes them; None where they are too many to list."""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which memories a search may answer; every part given must hold. Values compare exactly.

    A bound on importance leaves out memories without one. ``*_after`` includes its moment,
    ``*_before`` does not, so that adjoining periods neither overlap nor leave a gap. ``None`` asks
    for nothing, an empty collection of allowed values allows none. ``valid_on`` leaves out what
    began to be true behind that moment, or had ceased to be by it. ``metadata`` is for what is
    listed of a memory; of those whose metadata is not, ``unlisted`` are the ones that have it.
    """

    any_tags: frozenset[str] | None = None
    all_tags: frozenset[str] = frozenset()
    types: frozenset[str] | None = None
    authors: frozenset[str] | None = None
    statuses: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    ids: frozenset[bytes] | None = None
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    unlisted: frozenset[bytes] = frozenset()
    importance_min: float | None = None
    importance_max: float | None = None
    created_after: int | None = None
    created_before: int | None = None
    updated_after: int | None = None
    updated_before: int | None = None
    valid_on: int | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A memory that was found, and why.

    ``score`` (0 to 1) ranks the hits of one search and is not comparable between searches: the
    nearest memory has half of it whatever was asked. ``similarity`` (-1 to 1) and ``coverage`` (0
    to 1) are: the cosine between the question and the memory's nearest passage, exact but for the
    16-bit floats that vectors are kept in (``None`` when meaning was not asked for), and the share
    of the question's terms that the memory has. ``lexical`` is the BM25 score, and ``words`` are
    those words of the question that the memory has in some form; both, and ``coverage``, are
    nothing when words were not asked for.
    """

    id: bytes
    version: int
    score: float
    similarity: float | None
    coverage: float
    lexical: float
    words: tuple[str, ...]
    why: tuple[Reason, ...]
