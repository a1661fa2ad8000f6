"""What a measurement gives, what it is given, and the table at the end."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        path: what was done.
        target: what it has to reach; empty for what only explains the others.
        measured: what it reached, with its unit.
        against: the ratio to what it is compared with.
        reached: whether the target was reached; None where there is none, or nothing to compare.
        value: the measured number.
    """

    path: str
    target: str
    measured: str
    against: str = ""
    reached: bool | None = None
    value: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What every measurement is given.

    Attributes:
        folder: a new folder on the disk that is measured.
        quick: fewer repetitions.
    """

    folder: Path
    quick: bool
    _made: list[int] = field(default_factory=list)

    def count(self, full: int, quick: int) -> int:
        """How many repetitions."""
        return quick if self.quick else full

    def place(self, name: str) -> Path:
        """A new folder inside."""
        self._made.append(1)
        place = self.folder / f"{name}-{len(self._made)}"
        place.mkdir()
        return place


def bounded(count: int, seconds: float) -> Iterator[int]:
    """Numbers from 0 up to ``count``, or until the time is over: a slow machine is not held up."""
    deadline = time.perf_counter() + seconds
    for number in range(count):
        yield number
        if time.perf_counter() > deadline:
            return


def at_least(path: str, rate: float, target: float, unit: str, *, value_digits: int = 0) -> Row:
    """A rate that has to be reached."""
    return Row(
        path,
        f"≥ {target:,.0f} {unit}",
        f"{rate:,.{value_digits}f} {unit}",
        f"{rate / target:.2f} of the target",
        rate >= target,
        rate,
    )


def at_most(path: str, value: float, target: float, unit: str) -> Row:
    """A time or a share that must not be passed."""
    return Row(
        path,
        f"≤ {target:g} {unit}",
        f"{value:.3g} {unit}",
        f"{value / target:.2f} of the target",
        value <= target,
        value,
    )


def told(path: str, value: float, unit: str) -> Row:
    """A number without a target, which explains others."""
    return Row(path, "", f"{value:,.{0 if value >= 100 else 2}f} {unit}", value=value)


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


_HEADINGS = ("path", "target", "measured", "ratio", "")
_SIGNS = {True: "reached", False: "MISSED", None: ""}


def table(rows: Sequence[Row]) -> str:
    """The rows as a table of plain text."""
    lines = [_HEADINGS]
    lines += [
        (row.path, row.target, row.measured, row.against, _SIGNS[row.reached]) for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([written[0], "-" * len(written[0]), *written[1:]])
