"""A fresh device is unverified until a head from elsewhere confirms what it was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret import Vault
from coffret.testing import Server, cheap
from coffret_vault.envelope.signature import sign_head
from coffret_vault.errors import (
    BadSignatureError,
    InputError,
    KeysChangedError,
    NotFoundError,
    TrustError,
)
from coffret_vault.formats.checkpoint import NO_HEAD, Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import RecoveryKit

PASSPHRASE = "a passphrase for tests"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the module."""
    with Server() as running:
        yield running


@pytest.fixture
def fresh(server: Server, tmp_path: Path) -> Iterator[tuple[Vault, RecoveryKit]]:
    """A second device that has just entered a vault, and the vault's kit."""
    name = f"owner-{tmp_path.name.replace('_', '-').lower()}"[:64].rstrip("-")
    vault, kit = Vault.create(server.url, name, PASSPHRASE, tmp_path / "one", ambient=cheap())
    vault.remember("something to have a log about")
    vault.close()
    code = kit.secret_key_code()
    second = Vault.login(server.url, name, PASSPHRASE, code, tmp_path / "two", ambient=cheap())
    yield second, kit
    second.close()


def test_the_kits_head_confirms_a_fresh_device(fresh: tuple[Vault, RecoveryKit]) -> None:
    """A device is unverified until the head that the kit prints, indented, is compared."""
    vault, kit = fresh
    assert not vault.status().confirmed
    printed = kit.text().partition("turned back):\n")[2]
    assert vault.confirm(printed) == 3
    assert vault.status().confirmed


def test_a_head_of_a_log_that_the_device_was_not_shown_is_an_alarm(
    fresh: tuple[Vault, RecoveryKit],
) -> None:
    """A head that the owner signed over more, or over something else, is a TrustError."""
    vault, _ = fresh
    state = vault._state
    for size in (3, 400):
        head = Head(state.account_id, size, bytes(32), NO_HEAD, 1)
        note = sign_head(state.keys.identity.signing, head)
        if size > vault.status().entries:
            with pytest.raises(NotFoundError, match="not read the log"):
                vault.confirm(note)
            vault.sync()
        with pytest.raises(TrustError, match="another log"):
            vault.confirm(note)
    assert not vault.status().confirmed


def test_what_is_not_a_head_is_refused(fresh: tuple[Vault, RecoveryKit]) -> None:
    """A text with a line missing is no head, and confirms nothing."""
    vault, kit = fresh
    with pytest.raises(InputError):
        vault.confirm("\n".join(kit.head.splitlines()[1:]))
    assert not vault.status().confirmed


def test_a_head_after_a_key_change_that_was_not_heard_of_says_to_sync(
    fresh: tuple[Vault, RecoveryKit], server: Server, tmp_path: Path
) -> None:
    """Nobody can tell it from a forged one yet, so it is refused; what helps is said."""
    vault, kit = fresh
    name, code = vault.status().username, kit.secret_key_code()
    kits: list[RecoveryKit] = []
    other = Vault.login(server.url, name, PASSPHRASE, code, tmp_path / "three", ambient=cheap())
    other.change_keys("another passphrase for tests", kits.append)
    other.remember("written with the new keys")
    with pytest.raises(BadSignatureError) as caught:
        vault.confirm(other.status().head)
    other.close()
    assert "sync it" in caught.value.hint
    with pytest.raises(KeysChangedError):
        vault.sync()
