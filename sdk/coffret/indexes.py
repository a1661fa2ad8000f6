"""The search indexes of an app's grants, kept in memory from one search to the next.

To embed what a grant covers takes its time, and an app takes a grant up as often as it likes: for
every question, say. So the index outlives the ``Access``. It names memories by id and version, and
is caught up with what was just read and verified before each search; what a search gives out is
opened anew each time. No file ever has it.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from coffret.finding import default_embedder
from coffret_vault.errors import GrantError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret_vault.search import Embedder, SearchIndex

_MOST_INDEXES: Final = 64
_MOST_MEMORIES: Final = 50_000


class GrantIndex:
    """The index of one grant, made when it is first searched."""

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        """Begin without one."""
        self.turn = Lock()
        """Held while the index is used: it is not for two threads at a time."""
        self._make_embedder = embedder
        self._index: SearchIndex | None = None

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def get(self) -> SearchIndex:
        """The index. Whoever asks has the turn."""
        from coffret_vault.search import SearchIndex  # noqa: PLC0415 - loads numpy: only to search

        if self._index is None:
            self._index = SearchIndex(self._make_embedder())
        return self._index

    def give_up(self) -> None:
        """Begin with an empty one again. Whoever says so has the turn."""
        self._index = None


class GrantIndexes:
    """The indexes of the grants that an app searched last; for any thread."""

    def __init__(self, embedder: Callable[[], Embedder] | None) -> None:
        """Keep none yet; ``embedder`` makes a model for an index, None is the built-in one."""
        self._shared: Embedder | None = None
        self._embedder = embedder or self._built_in
        self._lock = Lock()
        self._kept: OrderedDict[str, GrantIndex] = OrderedDict()

    def _built_in(self) -> Embedder:
        if self._shared is None:
            self._shared = default_embedder()  # it may be used by several threads at a time
        return self._shared

    def of(self, request_id: str) -> GrantIndex:
        """The index of the grant that a request led to. Those not used for longest may go."""
        with self._lock:
            found = self._kept.pop(request_id, None)
            if found is None:
                found = GrantIndex(self._embedder)
            self._kept[request_id] = found
            memories = sum(map(len, self._kept.values()))
            while len(self._kept) > 1 and (
                memories > _MOST_MEMORIES or len(self._kept) > _MOST_INDEXES
            ):
                memories -= len(self._kept.popitem(last=False)[1])
            return found

    @contextmanager
    def while_given(self, request_id: str) -> Iterator[None]:
        """Let go of a grant's index if the server says that it gives nothing, for now or for good.

        What was embedded of it is the owner's: while a grant is paused or over, none is kept.
        """
        try:
            yield
        except GrantError:
            self.drop(request_id)
            raise

    def drop(self, request_id: str) -> None:
        """Let go of an index, if there is one."""
        with self._lock:
            self._kept.pop(request_id, None)

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._kept.clear()
