"""Other memory stores, in their own virtualenv (``make bench-peers``), each as a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_WINDOWS = sys.platform == "win32"
PYTHON = HERE.parent / ".venv-peers" / ("Scripts/python.exe" if _WINDOWS else "bin/python")
_LIMIT_SECONDS = 120
_QUIET = {
    # Nothing is reported to anybody, and nothing fetched.
    "ANONYMIZED_TELEMETRY": "False",
    "CHROMA_TELEMETRY_IMPL": "",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MEM0_TELEMETRY": "False",
    "OTEL_SDK_DISABLED": "true",
    "POSTHOG_DISABLED": "1",
}


class NoPeersError(Exception):
    """The peers are not installed, or one of them failed; the text says which."""


def run_peer(script: str, folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Run a peer's script over a new folder, and give what it measured.

    Raises:
        NoPeersError: it cannot be measured on this machine.
    """
    if not PYTHON.exists():
        message = "not installed: make bench-peers"
        raise NoPeersError(message)
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith("COFFRET")
    }
    surroundings |= _QUIET | {"MEM0_DIR": str(folder), "HOME": str(folder)}
    surroundings.pop("PYTHONPATH", None)
    done = subprocess.run(  # noqa: S603 - the peers' interpreter and our script
        [PYTHON, HERE / script],
        input=json.dumps(plan | {"folder": str(folder)}),
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        env=surroundings,
        check=False,
    )
    if done.returncode:
        message = f"failed: {done.stderr.strip().splitlines()[-1] if done.stderr else '?'}"
        raise NoPeersError(message)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
