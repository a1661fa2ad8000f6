"""``coffret delete-account``: what it shows, what it asks for, and what is left here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import PropertyMock, patch

import keyring

from cli_harness import PASSPHRASE, Cli, code_in
from coffret.cli import secret_key
from coffret.cli.asking import Asker
from coffret.cli.places import find_places

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BY_HAND: dict[str, Any] = {"COFFRET_PASSPHRASE_FILE": ""}


def test_an_account_is_deleted(cli: Cli, url: str) -> None:
    """What will go is shown, the Secret Key leaves the device, and the kit opens what stays."""
    kit = cli.init(url, "leaving")
    cli("remember", "kept through it all")
    ran = cli("delete-account", "--yes")
    assert "the account leaving" in ran.err
    assert "1 memory" in ran.err
    assert "apps with access, which ends: none" in ran.err
    assert "coffret export" in ran.err
    assert "Nothing of it is left there" in ran.out
    assert not list(cli.home.rglob("secret-key"))
    assert "deleted" in cli("status").out
    code = f"{code_in(kit, 'CF1')}\n"
    refused = cli("sync", "--json", stdin=code, code=6).error()
    assert (refused["code"], "coffret export" in refused["hint"]) == ("account-deleted", True)
    out = cli.home / "everything.jsonl"
    cli("export", str(out), stdin=code)
    assert "kept through it all" in out.read_text()
    assert all(code_in(kit, kind) not in text for kind in ("CF1", "CR1") for text in cli.seen[1:])


def test_the_username_is_typed(cli: Cli, url: str) -> None:
    """Another name, or a yes, deletes nothing; the very name does."""
    cli.init(url, "hesitant")
    with patch.object(Asker, "interactive", PropertyMock(return_value=True)):
        for typed in ("y", "Hesitant", ""):
            cli("delete-account", stdin=f"{typed}\n", code=2)
        assert "deleted" not in cli("status").out
        cli("delete-account", stdin="hesitant\n")
    assert "deleted" in cli("status").out


def test_nobody_deletes_without_the_passphrase(cli: Cli, url: str) -> None:
    """An unlocked vault, the agent's keys and a yes are not enough; nor is nobody at all."""
    cli.init(url, "guarded")
    cli.process("unlock")
    try:
        cli("delete-account", "--yes", stdin="not it\n", code=4, **BY_HAND)
        cli("delete-account", code=2, stdin=f"{PASSPHRASE}\n", **BY_HAND)
        cli("sync", **BY_HAND)
        done = cli("delete-account", "--yes", "--json", stdin=f"{PASSPHRASE}\n", **BY_HAND).data()
        assert (done["username"], done["erased"], done["secret_key_removed"]) == (
            "guarded",
            True,
            True,
        )
        assert cli("status", "--json").data()["locked"]
        assert cli("status", "--json").data()["deleted"]
    finally:
        cli("lock")


def test_another_device_finishes_what_is_its_own(cli: Cli, url: str, tmp_path: Path) -> None:
    """Where the account was deleted elsewhere, the command still clears the Secret Key here."""
    kit = cli.init(url, "twice")
    other = Cli(tmp_path / "other")
    words = ("login", "--server", url, "--username", "twice")
    other(*words, stdin=f"{code_in(kit, 'CF1')}\n")
    cli("delete-account", "--yes")
    done = other("delete-account", "--yes", "--json").data()
    assert done["secret_key_removed"]
    assert done["erased"] is None
    assert not list(other.home.rglob("secret-key"))
    again = other("delete-account", "--yes", stdin=f"{code_in(kit, 'CF1')}\n").out
    assert "left there" not in again  # the server was not asked


def test_the_error_says_it_once(cli: Cli, url: str, tmp_path: Path) -> None:
    """One sentence says that it was deleted, and by whom; the doctor's line has one full stop."""
    key = f"{code_in(cli.init(url, 'once'), 'CF1')}\n"
    other = Cli(tmp_path / "other")
    other("login", "--server", url, "--username", "once", stdin=key)
    cli.process("unlock")
    try:
        other("delete-account", "--yes")
        refused = cli("sync", code=6).err
        assert refused.count("was deleted") == 1
        assert "with its own keys" in refused
        (line,) = (line for line in cli("doctor").out.splitlines() if "usage" in line)
        assert line.endswith("stays.")
    finally:
        cli("lock")


def test_a_secret_key_leaves_the_keyring(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept in the system's keyring is taken out of it, and is not found again."""
    kept = {("coffret", "account"): "CF1"}
    monkeypatch.setattr(keyring, "delete_password", lambda *place: kept.pop(place))
    places = _places(cli)
    profile = places.profile("default")
    profile.parent.mkdir(parents=True)
    profile.write_bytes(b'{"account_id":"account","kept_in":"keyring"}')
    assert secret_key.forget_secret_key(places, "default")
    assert not kept
    assert secret_key.find_secret_key(places, "default") is None
    assert not secret_key.forget_secret_key(places, "default")


def _places(cli: Cli) -> Any:
    return find_places(str(cli.home), {})
