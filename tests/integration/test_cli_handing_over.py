"""What is nowhere else is given to its owner, whatever becomes of where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import patch

import pytest

from cli_harness import PASSPHRASE, Cli, code_in
from coffret_vault.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

NEW = "a new passphrase, never seen"
BY_HAND: dict[str, Any] = {"COFFRET_PASSPHRASE_FILE": ""}
KEPT = "coffret.cli.handing.keep_secret_key"


def fail(*_args: object) -> NoReturn:
    """What keeps the Secret Key finds that it cannot."""
    message = "the disk went away"
    raise StoreError(message)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_no_vault_is_made_where_its_key_cannot_be_kept(
    cli: Cli, url: str, more: tuple[str, ...]
) -> None:
    """No keyring where one is wanted, or settings that cannot be written: nothing is begun."""
    words = ("init", "--server", url, "--username", f"nowhere{len(more)}", *more)
    cli(*words, "--secret-key-store", "keyring", code=2)
    (cli.home / "config").write_text("not a folder")
    assert "othing can be written" in cli(*words, code=9).err
    assert not (cli.home / "data").exists()
    (cli.home / "config").unlink()
    cli(*words)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_a_vault_whose_key_is_not_kept_still_gives_its_kit(
    cli: Cli, url: str, more: tuple[str, ...]
) -> None:
    """The kit is printed, then the error: what it says opens the vault."""
    name = f"kit.first{len(more)}"
    with patch(KEPT, fail):
        ran = cli("init", "--server", url, "--username", name, *more, code=9)
    assert "the disk went away" in ran.err.lower()
    kit = ran.out
    if more:
        assert ran.data()["secret_key_store"] is None
        kit = ran.data()["recovery_kit"]
    key = cli.home / "key"
    key.write_text(code_in(kit, "CF1"))
    key.chmod(0o600)
    cli("remember", "there", COFFRET_SECRET_KEY_FILE=str(key))


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_a_recovery_gives_the_new_secret_key_that_is_not_kept(
    cli: Cli, url: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """It is printed, then the error; where it cannot be kept from the start, nothing changes."""
    kit = cli.init(url, f"recovering{len(more)}")
    (tmp_path / "kit").write_text(kit)
    other = Cli(tmp_path / "other")
    words = ("recover", "--kit", str(tmp_path / "kit"), *more)
    (other.home / "config").write_text("not a folder")
    other(*words, stdin=f"{NEW}\n", code=9, **BY_HAND)
    cli("sync")
    (other.home / "config").unlink()
    with patch(KEPT, fail):
        ran = other(*words, stdin=f"{NEW}\n", code=9, **BY_HAND)
    if more:
        assert ran.data()["secret_key_store"] is None
    key = other.home / "key"
    key.write_text(code_in(ran.out.replace('"', " "), "CF1"))
    key.chmod(0o600)
    other("sync", COFFRET_SECRET_KEY_FILE=str(key), **BY_HAND, stdin=f"{NEW}\n")


def test_changed_keys_are_said_to_be_changed_where_the_new_one_is_not_kept(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """The keys did change: the document says so before the error does."""
    cli.init(url, "changed.anyway")
    words = ("change-keys", "--yes", "--json", "--kit", str(tmp_path / "kit"))
    with patch(KEPT, fail):
        ran = cli(*words, stdin=f"{PASSPHRASE}\n{NEW}\n", code=9, **BY_HAND)
    assert (ran.data()["changed"], ran.data()["secret_key_store"]) == ("keys", None)
