"""An app's receipt confirms an owner's device, whatever it is handed over with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli
from coffret_vault.errors import TrustError
from coffret_vault.formats.checkpoint import parse_head

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import World


def test_a_receipt_is_the_head_that_the_app_was_shown(either: World) -> None:
    """It is signed by the owner, the newest one, and confirms a fresh device up to its size."""
    owner, app = either.owner(), either.app()
    _, access = either.granted(owner, app)
    receipt = access.receipt()
    fresh = either.device(owner)
    assert fresh.confirm(receipt) == parse_head(receipt).head.size == fresh.status().entries
    owner.vault.remember("later")
    assert parse_head(access.receipt()).head.size == parse_head(receipt).head.size + 1


def test_a_receipt_of_another_owner_confirms_nothing(world: World) -> None:
    """It is about one log: on a device of somebody else it is refused."""
    owner, other = world.owner(), world.owner()
    _, access = world.granted(owner, world.app())
    fresh = world.device(other)
    with pytest.raises(TrustError):
        fresh.confirm(access.receipt())
    assert not fresh.status().confirmed


def test_a_receipt_goes_from_one_command_line_to_the_other(
    coffret_url: str, tmp_path: Path
) -> None:
    """`app receipt` prints what `confirm` reads, and the doctor finds no evidence of anything."""
    owner, app = Cli(tmp_path / "owner"), Cli(tmp_path / "app")
    owner.init(coffret_url, "receipts")
    key = app.home / "developer.key"
    dev = ("--name", "Dev", "--contact", "dev@example.org")
    app("app", "register-developer", *dev, "--server", coffret_url, "--key-file", str(key))
    new = ("--name", "Planner", "--homepage", "https://planner.example")
    app("app", "register", *new, "--server", coffret_url, "--key-file", str(key))
    wish = ("--purpose", "plan", "--scope", "read", "--tag", "t", "--json")
    request = app("app", "request", "receipts", *wish).data()["request_id"]
    words = app("app", "words").out.strip()
    owner("approve", request, "--yes", "--words", words)
    receipt = tmp_path / "receipt.txt"
    receipt.write_text(app("app", "receipt").out, encoding="utf-8")
    assert owner("confirm", str(receipt), "--json").data()["confirmed"] >= 4
    assert app("app", "receipt", "--json").data()["head"] == receipt.read_text(encoding="utf-8")
    checks = {check["name"]: check for check in owner("doctor", "--json").data()["checks"]}
    assert checks["evidence"]["state"] == "ok"


def test_a_command_unlocks_before_it_says_that_a_head_does_not_fit(
    coffret_url: str, tmp_path: Path
) -> None:
    """What lies in a locked folder is not held against a server: it takes the passphrase first."""
    owner, stranger = Cli(tmp_path / "owner"), Cli(tmp_path / "stranger")
    owner.init(coffret_url, "comparing")
    stranger.init(coffret_url, "compared")
    head, wrong = tmp_path / "head.txt", tmp_path / "wrong"
    head.write_text(stranger("status", "--json").data()["head"], encoding="utf-8")
    wrong.write_text("another passphrase\n")
    wrong.chmod(0o600)
    owner("confirm", str(head), code=4, COFFRET_PASSPHRASE_FILE=str(wrong))
    owner("confirm", str(head), code=5)
