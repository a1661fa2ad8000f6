"""Fuzz with atheris: ``make fuzz TARGET=name SECONDS=3600``; without TARGET all, one after another.

It begins with the seeds and the corpus. What leads farther into the code goes to ``OUT/name/found``
(``OUT=folder``, else a new one), and what breaks a target beside it, as ``crash-…``, ``timeout-…``
or ``oom-…``. ``make fuzz-keep OUT=folder`` takes the least of it into the corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from fuzz.target import Mutate, Target

CORPUS = Path(__file__).parent / "corpus"
_INSTRUMENTED = ("coffret", "coffret_vault", "coffret_server")
_LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-malloc_limit_mb=512")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="which; all if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--out", type=Path, help="where findings go")
    return parser.parse_args()


def _load(atheris: ModuleType) -> dict[str, Target]:
    """All targets, with the code that they call instrumented."""
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        found: dict[str, Target] = import_module("fuzz.table").TARGETS
    return found


def _options(target: Target, folder: Path, seconds: int) -> list[str]:
    """What libFuzzer is told; the first of the folders is the one that it adds to."""
    found, seeds, kept = folder / "found", folder / "seeds", CORPUS / target.name
    for place in (found, seeds):
        place.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        (seeds / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return [
        f"-max_total_time={seconds}",
        f"-max_len={target.most}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        *_LIMITS,
        *map(str, (found, seeds, kept) if kept.is_dir() else (found, seeds)),
    ]


def _fuzz_here(atheris: ModuleType, target: Target, options: list[str]) -> None:
    """Run libFuzzer in this process, which it ends."""
    more: dict[str, Any] = {}
    if target.mutate is not None:
        change, shape = _changes(atheris), target.mutate
        more["custom_mutator"] = lambda data, most, seed: shape(data, change, most, seed)

    def check(data: bytes) -> None:
        target.check(data)

    atheris.Setup([target.name, *options], check, **more)
    atheris.Fuzz()


def _changes(atheris: ModuleType) -> Mutate:
    """LibFuzzer's changes, which are there once it runs; it wants room for the bytes there are."""

    def change(data: bytes, most: int) -> bytes:
        changed: bytes = atheris.Mutate(data, max(most, len(data), 1))
        return changed

    return change


def _fuzz(atheris: ModuleType, target: Target, folder: Path, seconds: int) -> bool:
    """Fuzz one target in a copy of this process; whether nothing broke."""
    print(f"\n{target.name}: {seconds} s", flush=True)  # noqa: T201 - a program's output
    options = _options(target, folder, seconds)
    child = os.fork()
    if not child:
        _fuzz_here(atheris, target, options)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> int:
    """Fuzz the targets that are asked for; 1 if one of them broke."""
    given = _arguments()
    atheris = import_module("atheris")  # not in the virtualenv of the tests and of the type checker
    targets = _load(atheris)
    out = given.out or Path(tempfile.mkdtemp(prefix="coffret-fuzz-"))
    names = given.targets or list(targets)
    broken = [
        name for name in names if not _fuzz(atheris, targets[name], out / name, given.seconds)
    ]
    print(f"{len(names)} targets, {len(broken)} broken {broken}; see {out}")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
