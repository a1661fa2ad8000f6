"""`make demo FROM=folder`: the demonstration holds for other folders than its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo" / "run.py"
FOLDERS = {
    "titles, tags and long lines": {
        "plans.md": "---\ntags: [home]\nsummary: Plans for the summer\n---\n"
        "# Plans for the summer\n\nThe roof is to be mended before the rain comes.\n",
        "shed/tools.md": "# Tools\n\nThe long ladder is lent to the neighbours until Sunday.\n",
    },
    "one short text": {"x.txt": "milk, bread\n"},
}


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
def test_it_holds_for_any_folder(tmp_path: Path, files: dict[str, str]) -> None:
    """Every part of it does what it says, and the server holds nothing secret of these either."""
    notes = tmp_path / "some notes"
    for name, text in files.items():
        path = notes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, str(DEMO), "--from", str(notes)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 found" in done.stdout
    assert "All of it held." in done.stdout
