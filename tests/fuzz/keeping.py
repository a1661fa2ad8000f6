"""Take into the corpus the least of what a run found that leads farther than the seeds do.

``make fuzz-keep OUT=folder``. Farther means: from one line of our code to another between which
nothing smaller went. That takes no instrumented code, and one run's findings give one corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz.table import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from fuzz.target import Target

    Steps = set[tuple[str, int, int]]

CORPUS = Path(__file__).parent / "corpus"
_OURS = ("coffret", "coffret_vault", "coffret_server")
_MOST = 24
_MOST_BYTES = 6_000


def _steps(target: Target, data: bytes) -> Steps:
    """From which line to which the code went, file by file."""
    found: Steps = set()

    def enter(frame: FrameType, _event: str, _more: Any) -> Any:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OURS:
            return None
        name, last = frame.f_code.co_filename, frame.f_code.co_firstlineno

        def step(frame: FrameType, event: str, _more: Any) -> Any:
            nonlocal last
            if event == "line":
                found.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        target.check(data)
    finally:
        sys.settrace(None)
    return found


def least(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """Those of ``inputs``, smallest first, that go where the seeds and the ones before do not."""
    known: Steps = set()
    for seed in target.seeds():
        known |= _steps(target, seed)
    kept: list[bytes] = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        new = _steps(target, data) - known
        room = len(kept) < _MOST and sum(map(len, kept)) + len(data) <= _MOST_BYTES
        if new and room:
            known |= new
            kept.append(data)
    return kept


def main() -> None:
    """Keep what one run found, beside what was kept before."""
    parser = argparse.ArgumentParser(prog="fuzz.keeping", description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name, target in TARGETS.items():
        folder = CORPUS / name
        kept = {path.read_bytes() for path in folder.glob("*")}
        found = {path.read_bytes() for path in (out / name / "found").glob("*")}
        new = least(target, kept | found)
        for data in new:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        print(f"{name}: {len(new)} of {len(found)}")  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
