"""Sixteen owners remembering at once, from a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.rows import Row, at_least
from bench.servers import coffret_server

if TYPE_CHECKING:
    from bench.rows import Plan

VAULTS = 16
_SECONDS = 20
_LIMIT_SECONDS = 150


def together(plan: Plan) -> list[Row]:
    """The load generator is one process beside the server's one, so two cores are in use."""
    with coffret_server(plan.place("together")) as url:
        command = [sys.executable, "-m", "bench.load", url, str(VAULTS)]
        command += [str(plan.count(600, 150)), str(_SECONDS)]
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    rate = json.loads(done.stdout)["rate"]
    return [at_least(f"remember, {VAULTS} clients together", rate, 3_000, "a second")]
