"""Keep this process's memory from the disk and from other programs of the same user.

On Linux a process that is not dumpable (``prctl(2)``, ``PR_SET_DUMPABLE``) leaves no core, cannot
be attached to with ``ptrace``, and its files below ``/proc`` are root's: no other program of its
user reads a key out of it. Root does, and memory may still be swapped out: encrypt the swap.
Elsewhere there is no core, and nothing more is done.
"""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """Leave no core, and let nobody but root look in. Where that cannot be had, go on without."""
    import resource  # noqa: PLC0415 - not there on Windows, where no agent runs

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
        if prctl is not None:
            prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0),) * 4)
