"""Search over opened memories, for owners and for apps; no request leaves this module."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from coffret.flows.spoilt import current_memory
from coffret.flows.state import load_account
from coffret.keptindex import KeptIndex
from coffret_vault.errors import LockedError, StoreError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import IMPORTANCE_ONE
from coffret_vault.ingest.spaces import is_from
from coffret_vault.records.memory import Memory, maybe_micros, to_micros
from coffret_vault.records.metadata import has_metadata, written
from coffret_vault.records.seal import author_text
from coffret_vault.store.snapshot import load_snapshot, remove_snapshot, save_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.formats.memory import Header
    from coffret_vault.search import Embedder, Filters, Hit, Mode, SearchIndex

    Read = Callable[[Sequence[bytes]], Iterable[Memory]]

_READ_TOGETHER = 64
_NEVER = (-1, -1)
"""The version of no store."""


class Found(msgspec.Struct, frozen=True):
    """A memory that was found, and why.

    Attributes:
        memory: the memory, opened.
        score: 0 to 1; ranks the hits of one search, and says nothing beyond it: the nearest hit
            has half of it whatever was asked.
        similarity: the cosine between the question and the memory's nearest passage, -1 to 1, also
            of what was found by its words; comparable between searches with one model. None when
            meaning was not asked for.
        coverage: the share of the question's words that the memory has in some form, 0 to 1.
        lexical: BM25 score.
        words: the question's words that the memory has in some form.
        why: ``semantic``, ``words`` or both.
    """

    memory: Memory
    score: float
    similarity: float | None
    coverage: float
    lexical: float
    words: tuple[str, ...]
    why: tuple[str, ...]

    def __repr__(self) -> str:
        # Never the question's words, nor the memory: objects end up in logs and tracebacks.
        return f"<Found {self.memory.id} score {self.score:.3f}>"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What narrows a search; every part given must hold.

    Attributes:
        tags: all of these.
        any_tags: at least one of these.
        types: one of these.
        authors: written by one of these (``owner`` or an app's id).
        labels: with these labels.
        metadata: with these values in its metadata, or in a list there: texts, numbers, true or
            false, compared as JSON writes them (2024 and "2024" are alike).
        importance: at least this much.
        since: created then or later.
        until: created before then.
        valid_on: true then, as far as it says: its ``valid_from`` is not later, and its
            ``valid_until`` is; what has neither passes.
        source: from here: a folder's name or that with a file's path in it, ``chatgpt`` or another
            kind of export, or what else a memory has as its ``source``.
        limit: at most so many hits.
        mode: ``fused``, ``semantic`` or ``words``.
        min_similarity: leave out hits whose ``similarity`` is less, -1 to 1, but for those that
            have every word of the question (``coverage`` 1), which only ``fused`` counts. So a
            question that nothing fits gives nothing. Scores stay as without it.
    """

    tags: frozenset[str] = frozenset()
    any_tags: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()
    labels: Mapping[str, str] = {}
    metadata: Mapping[str, str | int | float | bool] = {}
    importance: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    valid_on: datetime | None = None
    source: str | None = None
    limit: int = 10
    mode: Literal["fused", "semantic", "words"] = "fused"
    min_similarity: float | None = None

    def filters(self, index: SearchIndex, read: Read) -> Filters:
        """The filters for an index; ``read`` gives memories of it, opened.

        It opens those alone whose metadata is too much for an index to list, if any is asked for.
        """
        from coffret_vault.search import Filters  # noqa: PLC0415 - loads numpy: only to search

        sources = None
        metadata = {name: written(value) for name, value in self.metadata.items()}
        listed = {name: text for name, text in metadata.items() if text is not None}
        unlisted = read(index.unlisted()) if metadata else ()
        fit = (item.id for item in unlisted if has_metadata(item.metadata, self.metadata))
        if self.source is not None:
            sources = frozenset(name for name in index.sources() if is_from(name, self.source))
        return Filters(
            ids=None if len(listed) == len(metadata) else frozenset(),  # no memory has such a value
            metadata=listed,
            unlisted=frozenset(map(parse_id, fit)),
            sources=sources,
            all_tags=frozenset(self.tags),
            any_tags=frozenset(self.any_tags) or None,
            types=frozenset(self.types) or None,
            authors=frozenset(self.authors) or None,
            labels=dict(self.labels),
            importance_min=self.importance,
            created_after=maybe_micros(self.since),
            created_before=maybe_micros(self.until),
            valid_on=maybe_micros(self.valid_on),
        )

    def glance(self) -> Callable[[Header], bool]:
        """Whether a memory with this header can pass, by what it shows: the rest has to be opened.

        It refuses none that :meth:`passes`, which is asked of what was opened.
        """
        since, until = map(maybe_micros, (self.since, self.until))

        def may(header: Header) -> bool:
            shown = header.sealed or (
                self.tags <= header.tags
                and (not self.any_tags or not self.any_tags.isdisjoint(header.tags))
                and (self.importance is None or _shown_importance(header) >= self.importance)
            )
            return (
                shown
                and (not self.authors or author_text(header.author) in self.authors)
                and (since is None or header.created >= since)
                and (until is None or header.created < until)
            )

        return may

    def passes(self) -> Callable[[Memory], bool]:
        """Whether a memory passes :meth:`filters`, for where there is no index."""
        moments = (self.since, self.until, self.valid_on)
        since, until, valid_on = map(maybe_micros, moments)
        labels = self.labels.items()

        def fits(memory: Memory) -> bool:
            created = to_micros(memory.created)
            return (
                self.tags.issubset(memory.tags)
                and (not self.any_tags or not self.any_tags.isdisjoint(memory.tags))
                and (not self.types or memory.type in self.types)
                and (not self.authors or memory.author in self.authors)
                and labels <= memory.labels.items()
                and has_metadata(memory.metadata, self.metadata)
                and (self.importance is None or _least(memory) >= self.importance)
                and (since is None or created >= since)
                and (until is None or created < until)
                and (valid_on is None or _is_valid(memory, valid_on))
                and (self.source is None or is_from(memory.source, self.source))
            )

        return fits


def _is_valid(memory: Memory, moment: int) -> bool:
    """Whether what a memory says was true at a moment, as far as it says."""
    begins, ends = memory.valid_from, memory.valid_until
    return (begins is None or to_micros(begins) <= moment) and (
        ends is None or moment < to_micros(ends)
    )


def _least(memory: Memory) -> float:
    """A memory's importance; below every bound where it has none."""
    return -1.0 if memory.importance is None else memory.importance


def _shown_importance(header: Header) -> float:
    """The same of a header that shows it."""
    return -1.0 if header.importance is None else header.importance / IMPORTANCE_ONE


def find(
    index: SearchIndex,
    question: str,
    search: Search,
    read: Read,
) -> list[Found]:
    """Search an index and open the hits; ``read`` gives the memories with these ids, in order."""
    hits = index.search(
        question,
        filters=search.filters(index, read),
        limit=search.limit,
        mode=search.mode,
        min_similarity=search.min_similarity,
    )
    return list(map(_found, hits, read([hit.id for hit in hits])))


def _found(hit: Hit, memory: Memory) -> Found:
    return Found(memory, hit.score, hit.similarity, hit.coverage, hit.lexical, hit.words, hit.why)


class _VaultFile:
    """A vault's index at rest, beside its store."""

    def __init__(self, state: VaultState, path: Path) -> None:
        self._state = state
        self._path = path

    def load(self) -> bytes | None:
        kept = load_snapshot(self._path, self._state.keys.keyring)
        return None if kept is None else kept[1]

    def save(self, plaintext: bytes) -> None:
        size, keyring = self._state.position().size, self._state.keys.keyring
        save_snapshot(self._path, keyring, size, plaintext)
        account = load_account(self._state.store)
        if account is None or account.generation != keyring.generation:
            self.forget()  # another process changed the keys: under those of before nothing stays

    def forget(self) -> None:
        """Delete what is there."""
        remove_snapshot(self._path)


class Finder:
    """A vault's index: loaded when first needed, caught up before each search, kept sealed."""

    def __init__(self, state: VaultState, path: Path, embedder: Callable[[], Embedder]) -> None:
        """Index the vault's current memories; the snapshot is kept at ``path``."""
        self._state = state
        self._file = _VaultFile(state, path)
        self._kept = KeptIndex(embedder, self._file)
        self._at = _NEVER

    @property
    def notice(self) -> str | None:
        """A sentence to show once, when search is slower than it could be."""
        return self._kept.notice

    def drop(self) -> None:
        """Let go of everything that was opened."""
        self._kept.drop()
        self._at = _NEVER

    def forget_saved(self) -> None:
        """Delete what is kept at rest: it is under keys of before. The next search keeps it anew.

        It is a cache, and says what all memories say.
        """
        self._file.forget()
        self._kept.saved_no_more()
        self._at = _NEVER

    def find(self, question: str, search: Search, progress: Progress) -> list[Found]:
        """Search what this device has.

        Raises:
            LockedError: the vault is locked.
            InputError: the question is blank.
        """
        index = self.ready(progress, search.mode)
        return find(index, question, search, self._read)

    def ready(self, progress: Progress, mode: Mode = "fused") -> SearchIndex:
        """The index, caught up with the store; or one that will do for a search in this mode.

        Raises:
            LockedError: the vault is locked, or was meanwhile.
        """
        if self._state.is_locked:
            raise LockedError
        try:
            return self._caught_up(progress, mode)
        finally:
            self._drop_if_locked()

    def _drop_if_locked(self) -> None:
        """Let go of what was opened after the vault was locked, by another thread."""
        if self._state.is_locked:
            self.drop()

    def _caught_up(self, progress: Progress, mode: Mode) -> SearchIndex:
        at, index = self._state.store.version(), self._kept.index
        if index is None or self._at != at:
            known = self._state.store.readable()
            index = self._kept.follow(known, self._read, progress, mode)
            self._at = at if self._kept.is_whole else _NEVER
        return index

    def _read(self, memory_ids: Sequence[bytes]) -> Iterator[Memory]:
        for first in range(0, len(memory_ids), _READ_TOGETHER):
            together = memory_ids[first : first + _READ_TOGETHER]
            standing = self._state.store.standing(together)
            if len(standing) < len(together):
                raise StoreError
            for key in together:
                memory, record = standing[key]
                yield current_memory(self._state, key, memory, record)
