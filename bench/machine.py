"""The machine that was measured: cores, memory, processor, Python, and how fast its disk syncs."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

_GIB = 1 << 30
_PAGE = 4096
_IDLE = 4
"""A quarter of the cores busy with something else is still a quiet machine."""


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def syncs_a_second(folder: Path, count: int = 300) -> float:
    """How many times a second a page is written and flushed to the disk under ``folder``."""
    path = folder / "syncs"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    flush = getattr(os, "fdatasync", os.fsync)
    try:
        started = time.perf_counter()
        for _ in range(count):
            os.write(descriptor, bytes(_PAGE))
            flush(descriptor)
        taken = time.perf_counter() - started
    finally:
        os.close(descriptor)
        path.unlink()
    return count / taken


def describe() -> dict[str, str]:
    """The machine in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"),
        "memory": f"{memory:.0f} GiB",
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def notice(load: float) -> str:
    """A warning where other programs had the processor while we measured; empty otherwise."""
    cores = os.cpu_count() or 1
    if load <= cores / _IDLE:
        return ""
    return (
        f"Other programs were running when this began (load {load:.1f} on {cores} cores): "
        "times are longer than the code takes. The lines with processor time say what it takes."
    )
