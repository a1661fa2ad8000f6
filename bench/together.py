"""Sixteen owners remembering at once, from a process of their own, on either database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
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
    rate = _rate(plan)
    return [at_least(f"remember, {VAULTS} clients together", rate, 3_000, "a second")]


def postgresql(plan: Plan) -> list[Row]:
    """The same load on PostgreSQL that waits for its disk, between two halves on SQLite."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from server.postgres import running  # noqa: PLC0415 - of the tests, whose path is set now

    before = _rate(plan)
    with running(durable=True) as database:
        rate = _rate(plan, database)
    embedded = (before + _rate(plan)) / 2
    path = f"remember, {VAULTS} clients together, PostgreSQL"
    against = f"{rate / embedded:.2f} times SQLite"
    return [Row(path, "", f"{rate:,.0f} a second", against, None, rate)]


def _rate(plan: Plan, database: str = "") -> float:
    with coffret_server(plan.place("together"), database=database) as url:
        command = [sys.executable, "-m", "bench.load", url, str(VAULTS)]
        command += [str(plan.count(600, 150)), str(_SECONDS)]
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    rate: float = json.loads(done.stdout)["rate"]
    return rate
