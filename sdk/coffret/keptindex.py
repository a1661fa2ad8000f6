"""A search index that follows what can be read now, and outlives its process where it is kept.

It is a cache of what is embedded: whatever becomes of it, it can be made again from the memories.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from coffret_vault.errors import CoffretError, IndexDamagedError, StoreError
from coffret_vault.formats.layout import parse_id
from coffret_vault.records.memory import Memory, maybe_micros, to_micros
from coffret_vault.records.metadata import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from coffret.flows.sync import Progress
    from coffret_vault.search import Document, Embedder, Mode, SearchIndex

_SAVED_TOGETHER = 1_024
_SAVED_AFTER = 10.0
"""Seconds of embedding that an interrupted search may cost, or as many as 20 times a save took."""
_SAVING_SHARE = 20
_SOON = 64
_SOON_CHARS = 1 << 15
"""So many memories of so much text are embedded in seconds: for more, a search by words alone does
not wait."""


class IndexFile(Protocol):
    """Where an index is kept, sealed."""

    def load(self) -> bytes | None:
        """What was saved last, opened; None where nothing is.

        Raises:
            IndexDamagedError: what is there was not sealed by this.
        """

    def save(self, plaintext: bytes) -> None:
        """Seal it, in the place of what is there.

        Raises:
            StoreError: it cannot be written; what is there stays.
        """


class KeptIndex:
    """An index: loaded when first needed, brought up to date before a search, then saved."""

    def __init__(self, embedder: Callable[[], Embedder], file: IndexFile | None = None) -> None:
        """Begin without one; ``embedder`` makes the model. Without a file, no disk ever has it."""
        self._make_embedder = embedder
        self._file = file
        self.index: SearchIndex | None = None
        """What is in memory of it, as :meth:`follow` left it last."""
        self._unsaved = False
        self._due = 0.0
        self.is_whole = False
        """Whether what :meth:`follow` gave last has all memories, by their meaning as well."""

    def __len__(self) -> int:
        return 0 if self.index is None else len(self.index)

    @property
    def notice(self) -> str | None:
        """A sentence to show once, when search is slower than it could be."""
        return None if self.index is None else self.index.notice

    def drop(self) -> None:
        """Let go of all that is in memory. What was saved is loaded when it is needed again."""
        self.index = None

    def saved_no_more(self) -> None:
        """What was saved is there no more: what is in memory, if anything is, has to be again."""
        self._unsaved = self.index is not None

    def follow(
        self,
        known: Mapping[bytes, int],
        read: Callable[[Sequence[bytes]], Iterable[Memory]],
        progress: Progress,
        mode: Mode,
    ) -> SearchIndex:
        """The index of just these memories; or one for a search in this mode, if that is quicker.

        It is, where much is to be embedded, and a search by words needs no meaning. What ranks
        words is counted over all memories, so its hits are the same, but for the order of equals.

        Args:
            known: the version of each, by its id.
            read: gives the memories with these ids, in order.
            progress: told how many are embedded, of those that have to be.
            mode: of the search that it is for.

        Raises:
            EmbedderError: the model failed; what was embedded before stays.
        """
        if self.index is None:
            self.index = self._load(ahead=mode != "words")
        index = self.index
        stale = index.stale(known)
        self._unsaved = self._unsaved or bool(stale.to_remove)
        self.is_whole = mode != "words" or _is_soon_done(stale.to_put, read)
        try:
            index.remove(stale.to_remove)
            if self.is_whole:
                self._catch_up(index, stale.to_put, read, progress)
        except CoffretError:
            raise
        except BaseException:  # Ctrl-C in a notebook, say: it may be between two tables
            self.drop()
            raise
        if self._unsaved:
            self._save(index)
        return index if self.is_whole else _by_words(read(list(known)), len(known), progress)

    def _load(self, *, ahead: bool) -> SearchIndex:
        from coffret_vault.search import SearchIndex  # noqa: PLC0415 - loads numpy: only to search

        embedder = self._make_embedder()
        if ahead:
            _load_ahead(embedder)
        self._unsaved = False
        try:
            kept = None if self._file is None else self._file.load()
            if kept is not None:
                return SearchIndex.restore(kept, embedder)
        except IndexDamagedError:
            # A cache: whatever is wrong with it, it is made again from the memories.
            self._unsaved = True
        return SearchIndex(embedder)

    def _catch_up(
        self,
        index: SearchIndex,
        to_put: list[bytes],
        read: Callable[[Sequence[bytes]], Iterable[Memory]],
        progress: Progress,
    ) -> None:
        """Index what is missing; of many memories what is done is saved now and then.

        Who interrupts a long search goes on there. An index is saved when it has grown by a
        quarter, so that all the saving together takes a few times what the last one does; and
        when it has taken long, since few memories may hold much text.
        """
        total, done = len(to_put), 0
        self._due = monotonic() + _SAVED_AFTER
        if total:
            progress("index", 0, total)
        while done < total:
            part = to_put[done : done + max(_SAVED_TOGETHER, len(index) // 4)]
            shown = partial(self._indexed, index, progress, done, total)
            try:
                index.put(map(document, read(part)), progress=shown)
            finally:  # whatever was saved on the way
                self._unsaved = True
            done += len(part)
            if done < total:
                self._save(index)

    def _indexed(
        self, index: SearchIndex, progress: Progress, before: int, total: int, count: int
    ) -> None:
        """Tell how far it is, between two groups, where the index is whole and can be saved."""
        if before + count < total and monotonic() >= self._due:
            self._save(index)
        progress("index", before + count, total)

    def _save(self, index: SearchIndex) -> None:
        if self._file is None:
            return
        began = monotonic()
        try:
            self._file.save(index.dump())
        except StoreError:
            # A cache: a full disk costs the next start some time, and this search nothing.
            return
        finally:
            ended = monotonic()
            self._due = ended + max(_SAVED_AFTER, _SAVING_SHARE * (ended - began))
        self._unsaved = False


def _is_soon_done(
    to_put: Sequence[bytes], read: Callable[[Sequence[bytes]], Iterable[Memory]]
) -> bool:
    """Whether these are embedded in seconds: one of them may be so long that it takes minutes."""
    if len(to_put) > _SOON:
        return False
    chars = 0
    for memory in read(to_put):
        chars += len(memory.content)
        if chars > _SOON_CHARS:
            return False
    return True


def _by_words(memories: Iterable[Memory], total: int, progress: Progress) -> SearchIndex:
    """An index of these memories for one search by words alone."""
    from coffret_vault.search import SearchIndex  # noqa: PLC0415 - loads numpy: only to search

    index = SearchIndex.without_meaning()
    index.put(map(document, memories), progress=lambda count: progress("index", count, total))
    return index


def default_embedder() -> Embedder:
    """The built-in model. It is loaded when it first embeds, not here."""
    from coffret_vault.search import MiniLmEmbedder  # noqa: PLC0415 - loads numpy: only to search

    return MiniLmEmbedder()


def _load_ahead(embedder: Embedder) -> None:
    """Begin to load a model that can be loaded, while this thread reads the index.

    If it fails, so will the search that needs it, which says why. Where the program ends, or has as
    many threads as it may, the search loads it by itself.
    """
    load = getattr(embedder, "load", None)
    if callable(load):
        pool = ThreadPoolExecutor(1, "coffret-model")
        with suppress(RuntimeError):
            pool.submit(load)
        pool.shutdown(wait=False)


def document(memory: Memory) -> Document:
    """A memory as an index takes it."""
    from coffret_vault.search import Document  # noqa: PLC0415 - loads numpy: only to search

    return Document(
        id=parse_id(memory.id),
        version=memory.version,
        created=to_micros(memory.created),
        updated=to_micros(memory.updated),
        title=memory.title,
        summary=memory.summary,
        content=memory.content,
        tags=memory.tags,
        type=memory.type,
        author=memory.author,
        status=memory.review.status,
        importance=memory.importance,
        valid_from=maybe_micros(memory.valid_from),
        valid_until=maybe_micros(memory.valid_until),
        source=memory.source,
        labels=memory.labels,
        metadata=listed(memory.metadata),
    )
