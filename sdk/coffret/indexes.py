"""The search indexes of an app's grants, kept from one search to the next.

To embed what a grant covers takes its time, and an app takes a grant up as often as it likes: for
every question, say. So the index outlives the ``Access``. It names memories by id and version, and
is caught up with what was just read and verified before each search; what a search gives out is
opened anew each time. No file has it, unless the app's developer says so. Then it is sealed under a
key that follows from the grant's (docs/spec/2-envelope.md, Streams): an app has that key of a
server that gives it the grant, and nowhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from coffret.keptindex import KeptIndex, default_embedder
from coffret_vault.errors import GrantError, StoreError
from coffret_vault.grants.apps import index_key
from coffret_vault.store.snapshot import (
    load_grant_snapshot,
    remove_snapshot,
    remove_snapshots,
    save_grant_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret.flows.apps import Held
    from coffret_vault.search import Embedder

_MOST_INDEXES: Final = 64
_MOST_MEMORIES: Final = 50_000
_SUFFIX: Final = ".index"
_GIVES_NOTHING: Final = frozenset(("activating", "paused", "revoked", "over", "gone"))


class _GrantFile:
    """The index of one grant at rest."""

    def __init__(self, folder: Path, request_id: str, held: Held) -> None:
        self.request_id = request_id
        self.over = Event()
        """Whether nothing is to be kept here any more, whoever is still embedding it."""
        self._path = folder / f"{request_id}{_SUFFIX}"
        self._grant_id = held.grant.grant_id
        self._key = index_key(held.key, self._grant_id)

    def load(self) -> bytes | None:
        return load_grant_snapshot(self._path, self._grant_id, self._key)

    def save(self, plaintext: bytes) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            raise StoreError from None
        if self.over.is_set():
            return
        save_grant_snapshot(self._path, self._grant_id, self._key, plaintext)
        if self.over.is_set():  # since: who said so found nothing yet
            remove_snapshot(self._path)
        for path in _oldest(folder)[:-_MOST_INDEXES]:
            remove_snapshot(path)


class GrantIndex(KeptIndex):
    """The index of one grant. Who uses it holds its turn: it is not for two threads at a time."""

    def __init__(self, embedder: Callable[[], Embedder], file: _GrantFile | None) -> None:
        """Begin without one."""
        super().__init__(embedder, file)
        self.turn = Lock()


class GrantIndexes:
    """The indexes of the grants that an app searched last; for any thread."""

    def __init__(
        self, embedder: Callable[[], Embedder] | None, folder: Path, *, keep: bool
    ) -> None:
        """Have none in memory yet.

        Args:
            embedder: makes a model for an index, None is the built-in one.
            folder: where they are kept for the next process, by this one or by another.
            keep: whether this one does.
        """
        self._shared: Embedder | None = None
        self._embedder = embedder or self._built_in
        self._folder = folder
        self._keep = keep
        self._lock = Lock()
        self._kept: OrderedDict[str, GrantIndex] = OrderedDict()
        self._files: WeakSet[_GrantFile] = WeakSet()
        """Those of indexes that somebody has, kept here or not any more."""

    def _built_in(self) -> Embedder:
        if self._shared is None:
            self._shared = default_embedder()  # it may be used by several threads at a time
        return self._shared

    def of(self, request_id: str, held: Held) -> GrantIndex:
        """The index of the grant that a request led to. Those not used for longest may go."""
        with self._lock:
            found = self._kept.pop(request_id, None)
            if found is None:
                file = _GrantFile(self._folder, request_id, held) if self._keep else None
                if file:
                    self._files.add(file)
                found = GrantIndex(self._embedder, file)
            self._kept[request_id] = found
            memories = sum(map(len, self._kept.values()))
            while len(self._kept) > 1 and (
                memories > _MOST_MEMORIES or len(self._kept) > _MOST_INDEXES
            ):
                memories -= len(self._kept.popitem(last=False)[1])
            return found

    @contextmanager
    def while_given(self, request_id: str, *, writing: bool = False) -> Iterator[None]:
        """Let go of a grant's index if the server says that it gives nothing, for now or for good.

        What was embedded of it is the owner's: while a grant is paused or over, none is kept. Not
        so where it does not include what was to be written: what it gives to be read, it gives.
        """
        try:
            yield
        except GrantError as error:
            if not (writing and type(error) is GrantError):
                self._let_go(request_id)
            raise

    def heed(self, request_id: str, said: str | None) -> None:
        """The same where the server was only asked how a request or its grant stands."""
        if said in _GIVES_NOTHING:
            self._let_go(request_id)

    def _let_go(self, request_id: str) -> None:
        with self._lock:
            self._kept.pop(request_id, None)
            for file in self._files:
                if file.request_id == request_id:
                    file.over.set()
        remove_snapshot(self._folder / f"{request_id}{_SUFFIX}")

    def clear(self) -> None:
        """Let go of all that is in memory."""
        with self._lock:
            self._kept.clear()

    def forget(self) -> None:
        """Let go of all of them, and of what is kept for the next process."""
        with self._lock:
            self._kept.clear()
            for file in self._files:
                file.over.set()
        remove_snapshots(self._folder, _SUFFIX)


def _oldest(folder: Path) -> list[Path]:
    """The indexes that are kept in a folder, those first that were written longest ago."""
    with suppress(OSError):
        return sorted(folder.glob(f"*{_SUFFIX}"), key=_written)
    return []


def _written(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0  # another process has just removed it
