"""The campaign of docs/attacks.md, carried out on every core: what ``make attacks`` runs.

Each core takes the next few files when it is done with some, in a process of their own. What these
say comes in one piece, so that no two are mixed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from architecture.attacks_table import TESTS, marked

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = (
    "adversary/test_sweep.py",
    "adversary/test_machine.py",
    "adversary/test_damaged_files.py",
)
"""Begun first, and each alone: begun last, one would be waited for with nothing beside it."""
FEW = 8


def shares() -> list[list[str]]:
    """The files of the campaign, as they are run together."""
    files = sorted({mark.file for mark in marked()} - set(LONGEST))
    return [
        *([file] for file in LONGEST),
        *(files[at : at + FEW] for at in range(0, len(files), FEW)),
    ]


def carry_out(share: Sequence[str]) -> bool:
    """Run the attacks and controls of some files; whether they all came out as they should."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "attack or control"]
    files = [str(TESTS / file) for file in share]
    ran = subprocess.run(  # noqa: S603 - our own tests
        [*command, *files], cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    print(f"{', '.join(share)}\n{ran.stdout}", flush=True)  # noqa: T201 - for who waits
    return ran.returncode == 0


def main() -> int:
    """Run all of it; the exit code is 1 if anything came out otherwise."""
    begun, cores = time.monotonic(), os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    try:
        held = list(pool.map(carry_out, shares()))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C ends it, and does not begin the next files
    took = divmod(int(time.monotonic() - begun), 60)
    outcome = "all of it held" if all(held) else "SOME OF IT DID NOT HOLD, see above"
    print(f"The campaign took {took[0]} min {took[1]} s on {cores} cores: {outcome}.")  # noqa: T201 - the same
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
