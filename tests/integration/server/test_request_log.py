"""The log that `serve` writes on standard output."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

SECONDS = 30.0
COMMANDS = [
    ("-m", "coffret_server", "serve", "--port", "0"),
    ("-c", "from coffret.cli import main; main()", "serve", "--port", "0"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=["server", "cli"])
def test_each_request_is_a_line_of_json_soon(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Both commands that serve write a request's line while they run, without its query."""
    log = tmp_path / "log"
    around = os.environ | {
        "COFFRET_DATABASE": f"sqlite:///{tmp_path}/a.db",
        "COFFRET_HOME": str(tmp_path / "home"),
    }
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, *words], stdout=out, env=around
        )
    try:
        address = _lines(log, 1)[0].split()[-1]
        httpx.get(f"{address}/healthz?told=nothing", timeout=SECONDS).raise_for_status()
        line = json.loads(_lines(log, 2)[1])
        assert (line["method"], line["route"], line["status"]) == ("GET", "/healthz", 200)
        assert "told" not in log.read_text()
    finally:
        process.terminate()
        process.wait(SECONDS)


def _lines(log: Path, count: int) -> list[str]:
    deadline = time.monotonic() + SECONDS
    while len(lines := log.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
    return lines
