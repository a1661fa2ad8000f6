"""The rows of the index: which memory each is, and what a filter asks about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from coffret_vault.search.facets import Facets
from coffret_vault.search.growing import Growing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.search.document import Document, Filters

Mask = npt.NDArray[np.bool_]
_TIMES: Final = np.iinfo(np.int64)


class ColumnParts(NamedTuple):
    """Columns as arrays; a removed row is all zeros, not alive, and its importance is no number."""

    ids: npt.NDArray[np.void]
    alive: Mask
    versions: npt.NDArray[np.uint64]
    created: npt.NDArray[np.int64]
    updated: npt.NDArray[np.int64]
    importance: npt.NDArray[np.float64]
    valid_from: npt.NDArray[np.int64]
    valid_until: npt.NDArray[np.int64]


class Columns:
    """One row a memory, numbered in the order of adding; removed rows stay, emptied."""

    def __init__(self) -> None:
        """Start empty."""
        self.row_of: dict[bytes, int] = {}
        self.facets = Facets()
        self._ids: list[bytes] = []
        self._alive = Growing(np.bool_)
        self._versions = Growing(np.uint64)
        self._created = Growing(np.int64)
        self._updated = Growing(np.int64)
        self._importance = Growing(np.float64)
        self._valid_from = Growing(np.int64)
        self._valid_until = Growing(np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def alive(self) -> Mask:
        """Which rows hold a memory, not copied."""
        return self._alive.view

    def identity(self, row: int) -> tuple[bytes, int]:
        """The id and the version of the memory in ``row``."""
        return self._ids[row], int(self._versions.view[row])

    def versions(self) -> dict[bytes, int]:
        """The version of every memory there is."""
        of_row = self._versions.view.tolist()
        return {key: of_row[row] for key, row in self.row_of.items()}

    def add(self, document: Document) -> int:
        """Add a memory that is not there; answers its row."""
        row = len(self._ids)
        self.facets.add(row, document)
        self.row_of[document.id] = row
        self._ids.append(document.id)
        self._alive.append(True)
        self._versions.append(document.version)
        self._created.append(_clamped(document.created))
        self._updated.append(_clamped(document.updated))
        self._importance.append(np.nan if document.importance is None else document.importance)
        # What has no such end has one beyond every moment that is asked for.
        self._valid_from.append(_clamped(document.valid_from, _TIMES.min))
        self._valid_until.append(_clamped(document.valid_until, _TIMES.max))
        return row

    def remove(self, key: bytes) -> int | None:
        """Empty the row of a memory; answers which it was, if there was one."""
        row = self.row_of.pop(key, None)
        if row is None:
            return None
        self.facets.remove(row)
        self._ids[row] = bytes(16)
        self._alive.view[row] = False
        self._importance.view[row] = np.nan
        self._versions.view[row] = 0
        for times in self._times():
            times.view[row] = 0
        return row

    def allowed(self, filters: Filters | None) -> Mask:
        """Which rows hold a memory that passes ``filters``; a new array."""
        mask = self._alive.view.copy()
        if filters is not None:
            for part in self._conditions(filters):
                mask &= part
        return mask

    def _conditions(self, filters: Filters) -> Iterator[Mask]:
        yield from self._bounds(filters)
        rows = len(self)
        chosen = (
            ("tag", filters.any_tags),
            ("type", filters.types),
            ("author", filters.authors),
            ("status", filters.statuses),
            ("source", filters.sources),
        )
        for kind, values in chosen:
            if values is not None:
                yield self.facets.having_any(kind, values, rows)
        yield from (self.facets.having_any("tag", (tag,), rows) for tag in filters.all_tags)
        for name, value in filters.labels.items():
            yield self.facets.having_label(name, value, rows)
        for name, value in filters.metadata.items():
            yield self.facets.having_metadata(name, value, rows) | self._these(filters.unlisted)
        if filters.ids is not None:
            yield self._these(filters.ids)

    def _these(self, keys: frozenset[bytes]) -> Mask:
        mask = np.zeros(len(self), np.bool_)
        mask[[self.row_of[key] for key in keys if key in self.row_of]] = True
        return mask

    def _bounds(self, filters: Filters) -> Iterator[Mask]:
        if filters.importance_min is not None:
            yield self._importance.view >= filters.importance_min
        if filters.importance_max is not None:
            yield self._importance.view <= filters.importance_max
        if filters.valid_on is not None:
            moment = min(_clamped(filters.valid_on), _TIMES.max - 1)
            yield self._valid_from.view <= moment
            yield self._valid_until.view > moment
        periods = (
            (self._created.view, filters.created_after, filters.created_before),
            (self._updated.view, filters.updated_after, filters.updated_before),
        )
        for times, first, end in periods:
            if first is not None:
                yield times >= first
            if end is not None:
                yield times < end

    def _times(self) -> tuple[Growing[np.int64], ...]:
        return self._created, self._updated, self._valid_from, self._valid_until

    def compact(self, new_row: npt.NDArray[np.int64]) -> None:
        """Drop the emptied rows and renumber; see ``LexicalIndex.compact``."""
        keep = self._alive.view.copy()
        self.facets.compact(new_row)
        self._ids = [key for key, kept in zip(self._ids, keep.tolist(), strict=True) if kept]
        self.row_of = {key: row for row, key in enumerate(self._ids)}
        self._versions.replace(self._versions.view[keep])
        for column in self._times():
            column.replace(column.view[keep])
        self._importance.replace(self._importance.view[keep])
        self._alive.replace(keep[keep])

    def parts(self) -> ColumnParts:
        """Everything but the facets, as arrays."""
        return ColumnParts(
            ids=np.frombuffer(b"".join(self._ids), "V16"),
            alive=self._alive.view,
            versions=self._versions.view,
            created=self._created.view,
            updated=self._updated.view,
            importance=self._importance.view,
            valid_from=self._valid_from.view,
            valid_until=self._valid_until.view,
        )

    @classmethod
    def from_parts(cls, parts: ColumnParts, facets: Facets) -> Columns:
        """The columns that ``parts()`` took apart; the caller has checked that lengths agree."""
        columns = cls()
        columns.facets = facets
        keys = parts.ids.tobytes()
        columns._ids = [keys[at : at + 16] for at in range(0, len(keys), 16)]
        alive = parts.alive.tolist()
        columns.row_of = {key: row for row, key in enumerate(columns._ids) if alive[row]}
        columns._alive.replace(parts.alive)
        columns._versions.replace(parts.versions)
        columns._created.replace(parts.created)
        columns._updated.replace(parts.updated)
        columns._importance.replace(parts.importance)
        columns._valid_from.replace(parts.valid_from)
        columns._valid_until.replace(parts.valid_until)
        return columns


def _clamped(time: int | None, absent: int = 0) -> int:
    """``time`` within 64 bits: an app may have signed any number, and must not break the index."""
    if time is None:
        return int(absent)
    return max(int(_TIMES.min), min(time, int(_TIMES.max)))
