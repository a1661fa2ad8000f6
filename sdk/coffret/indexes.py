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
from threading import Lock
from typing import TYPE_CHECKING, Final

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
    from coffret.flows.ownersfile import OwnersFile
    from coffret_vault.search import Embedder

_MOST_INDEXES: Final = 64
_MOST_MEMORIES: Final = 50_000
_SUFFIX: Final = ".index"
_GIVES_NOTHING: Final = frozenset(("activating", "paused", "revoked", "over", "gone"))


class _GrantFile:
    """The index of one grant at rest, while no process of the app was told to let go of it.

    A search has the token of before the server was asked for the grant. Who lets go takes the token
    away, and then the file: so who saves, and looks for its token after that, leaves nothing
    behind, whichever of the two was quicker, in this process or in two.
    """

    def __init__(self, folder: Path, request_id: str, held: Held, owners: OwnersFile) -> None:
        self.token = b""
        self._path = folder / f"{request_id}{_SUFFIX}"
        self._request_id = request_id
        self._owners = owners
        self._grant_id = held.grant.grant_id
        self._key = index_key(held.key, self._grant_id)

    def load(self) -> bytes | None:
        return load_grant_snapshot(self._path, self._grant_id, self._key)

    def save(self, plaintext: bytes) -> None:
        folder, token = self._path.parent, self.token
        if not self._is_kept(token):
            return
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            raise StoreError from None
        save_grant_snapshot(self._path, self._grant_id, self._key, plaintext)
        if not self._is_kept(token):  # since: who said so found nothing yet
            remove_snapshot(self._path)
        for path in _oldest(folder)[:-_MOST_INDEXES]:
            remove_snapshot(path)

    def _is_kept(self, token: bytes) -> bool:
        with suppress(StoreError):
            return self._owners.is_index_kept(self._request_id, token)
        return False


class GrantIndex(KeptIndex):
    """The index of one grant. Who uses it holds its turn: it is not for two threads at a time."""

    def __init__(self, embedder: Callable[[], Embedder], file: _GrantFile | None) -> None:
        """Begin without one."""
        super().__init__(embedder, file)
        self.turn = Lock()
        self._own = file

    def begin(self, token: bytes) -> None:
        """Be kept, where it has a file, as long as this token is."""
        if self._own is not None:
            self._own.token = token


class GrantIndexes:
    """The indexes of the grants that an app searched last; for any thread."""

    def __init__(
        self,
        embedder: Callable[[], Embedder] | None,
        folder: Path,
        owners: OwnersFile,
        *,
        keep: bool,
    ) -> None:
        """Have none in memory yet.

        Args:
            embedder: makes a model for an index, None is the built-in one.
            folder: where they are kept for the next process, by this one or by another.
            owners: where the processes of the app tell each other that one is to go.
            keep: whether this one does.
        """
        self._shared: Embedder | None = None
        self._embedder = embedder or self._built_in
        self._folder = folder
        self._owners = owners
        self._keep = keep
        self._lock = Lock()
        self._kept: OrderedDict[str, GrantIndex] = OrderedDict()
        self._given: dict[str, bytes] = {}
        """The tokens of what the server gave last, by the request."""

    def _built_in(self) -> Embedder:
        if self._shared is None:
            self._shared = default_embedder()  # it may be used by several threads at a time
        return self._shared

    def of(self, request_id: str, held: Held) -> GrantIndex:
        """The index of the grant that a request led to. Those not used for longest may go."""
        with self._lock:
            found = self._kept.pop(request_id, None)
            if found is None:
                found = GrantIndex(self._embedder, self._file(request_id, held))
            found.begin(self._given.get(request_id, b""))
            self._kept[request_id] = found
            memories = sum(map(len, self._kept.values()))
            while len(self._kept) > 1 and (
                memories > _MOST_MEMORIES or len(self._kept) > _MOST_INDEXES
            ):
                memories -= len(self._kept.popitem(last=False)[1])
            return found

    def _file(self, request_id: str, held: Held) -> _GrantFile | None:
        if not self._keep:
            return None
        return _GrantFile(self._folder, request_id, held, self._owners)

    @contextmanager
    def while_given(self, request_id: str, *, writing: bool = False) -> Iterator[None]:
        """Let go of a grant's index if the server says that it gives nothing, for now or for good.

        What was embedded of it is the owner's: while a grant is paused or over, none is kept. Not
        so where it does not include what was to be written: what it gives to be read, it gives.
        """
        token = self._token(request_id) if self._keep else b""
        try:
            yield
        except GrantError as error:
            if not (writing and type(error) is GrantError):
                self._let_go(request_id)
            raise
        with self._lock:
            self._given[request_id] = token

    def _token(self, request_id: str) -> bytes:
        with suppress(StoreError):  # a cache: it is not kept then, and the call goes on
            return self._owners.index_token(request_id)
        return b""

    def heed(self, request_id: str, said: str | None) -> None:
        """The same where the server was only asked how a request or its grant stands."""
        if said in _GIVES_NOTHING:
            self._let_go(request_id)

    def _let_go(self, request_id: str) -> None:
        with self._lock:
            self._kept.pop(request_id, None)
        with suppress(StoreError):
            self._owners.let_go(request_id)
        remove_snapshot(self._folder / f"{request_id}{_SUFFIX}")

    def clear(self) -> None:
        """Let go of all that is in memory."""
        with self._lock:
            self._kept.clear()

    def forget(self) -> None:
        """Let go of all of them, and of what is kept for the next process."""
        with self._lock:
            self._kept.clear()
        with suppress(StoreError):
            self._owners.let_go_of_all()
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
