"""Measure everything, or what is named, and print one table.

    python -m bench [NAME …] [--quick] [--json FILE] [--folder FOLDER]

See bench/README.md for what each line is and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.library import library
from bench.login_timing import logins
from bench.machine import describe, notice, syncs_a_second
from bench.primitives import primitives
from bench.remembering import batches, remember
from bench.request import requests
from bench.rows import Plan, Row, table, told
from bench.syncing import sync_down
from bench.together import postgresql, together

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_LIBRARY = frozenset(("search", "unlock", "approve"))
_PARTS: dict[str, Callable[[Plan], list[Row]]] = {
    "remember": remember,
    "together": together,
    "postgresql": postgresql,
    "batches": batches,
    "sync": sync_down,
    "requests": requests,
    "primitives": primitives,
    "logins": logins,
}
NAMES = (*_PARTS, *sorted(_IN_LIBRARY))


def measure(plan: Plan, names: frozenset[str]) -> list[Row]:
    """Every part that is named, one after the other, saying which is running."""
    rows: list[Row] = []
    for name, part in _PARTS.items():
        if name in names:
            rows += _run(name, lambda part=part: part(plan))  # type: ignore[misc]
    shared = names & _IN_LIBRARY
    if shared:
        rows += _run(" ".join(sorted(shared)), lambda: library(plan, shared))
    return rows


def _run(name: str, part: Callable[[], list[Row]]) -> list[Row]:
    print(f"… {name}", end="", flush=True)
    started = time.perf_counter()
    rows = part()
    print(f" {time.perf_counter() - started:.0f} s", flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m bench", description="Measure Coffret.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--folder", type=Path, help="measure on the disk that this folder is on")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    machine, busy = describe(), notice(os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="coffret-bench-", dir=options.folder) as name:
        folder = Path(name)
        before = syncs_a_second(folder)
        rows = measure(Plan(folder, options.quick), frozenset(options.names or NAMES))
        after = syncs_a_second(folder)
    rows.append(told("  this disk: a page written and synced, before", before, "a second"))
    rows.append(told("  this disk: the same after the run", after, "a second"))
    print("\n" + ", ".join(f"{key}: {value}" for key, value in machine.items()) + "\n")
    print(table(rows))
    print(f"\n{busy}" if busy else "")
    if options.json:
        found = {"machine": machine, "busy": busy, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
