"""Keep this process's memory from the disk and from other programs of the same user.

The agent does so, and every command: what it opened, and the passphrase, are in its memory too.

On Linux a process that is not dumpable (``prctl(2)``, ``PR_SET_DUMPABLE``) leaves no core, cannot
be attached to with ``ptrace``, and its files below ``/proc`` are root's: no other program of its
user reads a key out of it. Root does, and memory may still be swapped out: encrypt the swap.
Elsewhere there is no core, and nothing more is done; on Windows not even that.
"""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """Leave no core, and let nobody but root look in. Where that cannot be had, go on without."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
        if prctl is not None:
            prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0),) * 4)
