"""numpy arrays that grow at the end, for the columns and vectors of the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
_SMALLEST = 64


class Growing(Generic[Scalar]):
    """Rows of one type and width; adding one costs constant time on the whole."""

    def __init__(self, dtype: type[Scalar], *shape: int) -> None:
        """Start without rows; each will have ``shape`` (none for a plain column)."""
        self._rows: npt.NDArray[Scalar] = np.zeros((0, *shape), dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> npt.NDArray[Scalar]:
        """The rows there are, not copied: valid until the next change."""
        return self._rows[: self._count]

    def extend(self, rows: npt.ArrayLike) -> None:
        """Add ``rows`` at the end."""
        added = np.asarray(rows, self._rows.dtype)
        needed = self._count + len(added)
        if needed > len(self._rows):
            capacity = max(needed, 2 * len(self._rows), _SMALLEST)
            grown = np.zeros((capacity, *self._rows.shape[1:]), self._rows.dtype)
            grown[: self._count] = self.view
            self._rows = grown
        self._rows[self._count : needed] = added
        self._count = needed

    def append(self, row: Any) -> None:  # noqa: ANN401 - whatever numpy takes for one row
        """Add one row at the end."""
        self.extend([row])

    def replace(self, rows: npt.NDArray[Scalar]) -> None:
        """Have exactly ``rows`` (copied) from now on."""
        self._rows = np.array(rows, self._rows.dtype)
        self._count = len(rows)
