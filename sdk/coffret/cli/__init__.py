"""The command ``coffret``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from coffret.cli.hiding import hide_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.state import Ambient

INTERRUPTED = 130
"""The exit code of what was stopped by its user."""


def main(arguments: Sequence[str] | None = None, *, ambient: Ambient | None = None) -> NoReturn:
    """Run the command and exit with its code.

    Args:
        arguments: the words after the program's name; those of the process when None.
        ambient: randomness, clock and limits on passphrases, for tests.
    """
    hide_memory()  # before anything secret is in it; takes 3 ms
    try:
        # The agent is a module of this package too, and must start without the rest.
        from coffret.cli.program import run  # noqa: PLC0415

        code = run(arguments, ambient=ambient)
    except KeyboardInterrupt:  # while it is loaded, or after all was done
        code = INTERRUPTED
    sys.exit(code)
