"""Evidence judged on the command line: no vault, no server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_harness import Cli

VECTORS = Path(__file__).parents[2] / "vectors" / "evidence.json"


def _case(name: str) -> str:
    cases = json.loads(VECTORS.read_text(encoding="ascii"))["cases"]
    text: str = next(case["given"]["file"] for case in cases if case["name"] == name)
    return text


@pytest.mark.parametrize(
    ("name", "kind", "proven"),
    [("a fork, 3 and 7", "fork", True), ("an older head", "rolled-back", False)],
)
def test_a_file_is_judged_without_a_vault(
    tmp_path: Path, name: str, kind: str, *, proven: bool
) -> None:
    """It says proof or record, whose log, and what it leaves open; as JSON the same."""
    cli, file = Cli(tmp_path / "home"), tmp_path / "evidence.json"
    file.write_text(_case(name), encoding="ascii")
    shown = cli("verify-evidence", str(file)).out
    assert shown.startswith(f"{'Proof' if proven else 'Record'} ({kind}): The owner's key signed")
    assert "Not shown:" in shown
    told = cli("verify-evidence", str(file), "--json").data()
    assert (told["kind"], told["proven"]) == (kind, proven)
    assert told["fingerprint"] in shown


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("with spaces", "malformed", 3),
        ("a log that grew", "untrustworthy", 5),
        ("", "invalid-input", 2),
    ],
)
def test_what_is_no_evidence_is_an_error(
    tmp_path: Path, name: str, code: str, exit_code: int
) -> None:
    """A file in another form, one that shows nothing, and a missing one have their codes."""
    cli, file = Cli(tmp_path / "home"), tmp_path / "evidence.json"
    if name:
        file.write_text(_case(name), encoding="ascii")
    ran = cli("verify-evidence", str(file), "--json", code=exit_code)
    assert ran.error()["code"] == code
