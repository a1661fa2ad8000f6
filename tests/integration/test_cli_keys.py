"""Passphrase and keys over time, on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cli_harness import PASSPHRASE, SCRIPT, Cli, code_in
from coffret_vault.errors import KeysChangedError

FULL = Path("/dev/full")
NEW = "a new passphrase, never seen"
BY_HAND: dict[str, Any] = {"COFFRET_PASSPHRASE_FILE": ""}


def second(cli: Cli, url: str, username: str, kit: str, place: Path) -> Cli:
    """Another device of the same person."""
    del cli
    other = Cli(place)
    words = ("login", "--server", url, "--username", username)
    other(*words, stdin=f"{code_in(kit, 'CF1')}\n")
    return other


def test_a_passphrase_is_changed(cli: Cli, url: str, tmp_path: Path) -> None:
    """The new passphrase opens this device; another one asks for it and goes on with it."""
    kit = cli.init(url, "changing")
    cli("remember", "kept through it all")
    other = second(cli, url, "changing", kit, tmp_path / "other")
    cli("passphrase", stdin=f"not it\n{NEW}\n", code=4, **BY_HAND)
    cli("passphrase", stdin=f"{PASSPHRASE}\n{NEW}\n", **BY_HAND)
    cli("sync", code=4)
    refused = other("sync", "--json", code=4).error()
    assert (refused["code"], "coffret login" in refused["hint"]) == ("keys-changed", True)
    for device in (cli, other):
        device.passphrase.write_text(NEW)
    other("login")
    other("remember", "from the other")
    cli("sync")
    assert "from the other" in cli("list").out


def test_every_key_is_changed(cli: Cli, url: str, tmp_path: Path) -> None:
    """A new kit comes first, the old one opens nothing more, and other devices log in with it."""
    old = cli.init(url, "compromised")
    cli("remember", "kept through it all")
    other = second(cli, url, "compromised", old, tmp_path / "other")
    kit = tmp_path / "kit.txt"
    lines = f"{PASSPHRASE}\n{NEW}\n"
    words = ("change-keys", "--yes", "--rotate-now", "--kit", str(kit))
    ran = cli(*words, stdin=lines, **BY_HAND)
    assert "Fresh keys for 1 memory" in ran.out
    assert "Every app's access ends; no app has any now." in ran.err
    new = kit.read_text()
    assert {code_in(new, code) for code in ("CF1", "CR1")}.isdisjoint(
        {code_in(old, code) for code in ("CF1", "CR1")}
    )
    assert code_in(new, "CF1") not in ran.out + ran.err
    cli.passphrase.write_text(NEW)
    assert "kept through it all" in cli("list").out
    other("sync", code=4)
    other("login", stdin=f"{NEW}\n{code_in(old, 'CF1')}\n", code=4, **BY_HAND)
    other("login", stdin=f"{NEW}\n{code_in(new, 'CF1')}\n", **BY_HAND)
    other.passphrase.write_text(NEW)
    assert "kept through it all" in other("list").out
    assert other("confirm", str(kit), "--json").data()["confirmed"]
    third = Cli(tmp_path / "third")
    (tmp_path / "old.txt").write_text(old)
    refused = third("recover", "--kit", str(tmp_path / "old.txt"), "--json", code=4).error()
    assert "newest kit" in refused["hint"]


def test_nothing_changes_without_a_yes_or_without_the_kit(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """Without somebody who says yes, a place for the kit, or the passphrase, all stays as it is."""
    cli.init(url, "hesitating")
    kit = tmp_path / "kit.txt"
    lines = f"{PASSPHRASE}\n{NEW}\n"
    cli("change-keys", "--kit", str(kit), stdin=lines, code=2, **BY_HAND)
    cli("change-keys", "--yes", "--json", stdin=lines, code=2, **BY_HAND)
    wrong = lines.replace(PASSPHRASE, "not it")
    cli("change-keys", "--yes", "--kit", str(kit), stdin=wrong, code=4, **BY_HAND)
    assert not kit.exists()
    kit.write_text("something else")
    cli("change-keys", "--yes", "--kit", str(kit), stdin=lines, code=7, **BY_HAND)
    cli("sync")


def test_a_kit_that_nobody_took_is_said_to_be_for_nothing(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """With Ctrl-C at the question as with a no: the file stays, and its owner is told of it."""
    cli.init(url, "stopping")
    kit, lines = tmp_path / "kit.txt", f"{PASSPHRASE}\n{NEW}\n"
    for answer, code in ((False, 2), (KeyboardInterrupt, 130)):
        with patch("coffret.cli.asking.Asker.confirm", side_effect=[True, answer]):
            ran = cli("change-keys", "--kit", str(kit), stdin=lines, code=code, **BY_HAND)
        assert "othing was changed; destroy that kit." in ran.err
        kit.unlink()
    cli("sync")


def test_a_kit_restores_a_vault_on_a_new_machine(cli: Cli, url: str, tmp_path: Path) -> None:
    """The kit alone names server and user, gives a new passphrase, and confirms the log."""
    kit = cli.init(url, "restoring")
    cli("remember", "worth recovering")
    file = tmp_path / "kit.txt"
    file.write_text(kit)
    machine = Cli(tmp_path / "machine")
    asked = machine("recover", "--kit", str(file), code=2, **BY_HAND)
    assert "the new passphrase is needed" in asked.err.lower()  # not the one that was forgotten
    ran = machine("recover", "--kit", str(file), stdin=f"{NEW}\n", **BY_HAND)
    assert code_in(ran.out, "CF1") != code_in(kit, "CF1")
    machine.passphrase.write_text(NEW)
    assert "worth recovering" in machine("list").out
    assert machine("status", "--json").data()["confirmed"]
    mistyped = code_in(kit, "CR1")
    end = "0" if mistyped[-1] != "0" else "1"
    file.write_text(kit.replace(mistyped, mistyped[:-1] + end))
    typo = Cli(tmp_path / "typo")("recover", "--kit", str(file), "--json", code=2).error()
    assert typo["code"] == "code-typo"
    file.write_text("a page about something else")
    Cli(tmp_path / "none")("recover", "--kit", str(file), code=2)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_no_key_changes_when_the_new_kit_cannot_be_written(
    cli: Cli, url: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """The file of the kit fails: so does the command, and what opened the vault still does."""
    cli.init(url, f"unwritten{len(more)}")
    cli("remember", "worth more than a kit")
    kit = tmp_path / ("k" * 250)  # a name that can be, but not with what is put around it meanwhile
    words = ("change-keys", "--yes", "--kit", str(kit), *more)
    ran = cli(*words, stdin=f"{PASSPHRASE}\n{NEW}\n", code=9, **BY_HAND)
    assert "cannot be written" in ran.err
    assert not kit.exists()
    assert "worth more than a kit" in cli("list").out
    cli("sync")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a full device")
def test_no_key_changes_when_the_new_kit_cannot_be_shown(cli: Cli, url: str) -> None:
    """Standard output on a full disk takes no kit: nothing is changed, and that is an error."""
    cli.init(url, "unshown")
    new = cli.home / "new"
    new.write_text(NEW)
    with FULL.open("w") as full:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-c", SCRIPT, "change-keys", "--yes"],
            env={**cli.environment, "COFFRET_NEW_PASSPHRASE_FILE": str(new)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "does not take what is to be shown" in done.stderr
    cli("sync")


def test_the_doctor_finds_that_keys_were_changed_elsewhere(cli: Cli, url: str) -> None:
    """A device that gets and sends nothing any more is not well, and is told what to do."""
    cli.init(url, "unwell")
    with patch("coffret.cli.desk.Desk.unlocked", side_effect=KeysChangedError):
        found = cli("doctor", "--json", code=1).data()["checks"]
    (check,) = (item for item in found if item["name"] == "keys")
    assert (check["state"], "coffret login" in check["advice"]) == ("bad", True)
