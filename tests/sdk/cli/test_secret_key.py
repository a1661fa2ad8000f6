"""The Secret Key on a device: a keyring that fails, in whatever way, keeps nobody from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend

from cli_harness import no_keyring
from coffret.cli.places import find_places
from coffret.cli.secret_key import (
    Profile,
    find_secret_key,
    forget_secret_key,
    keep_secret_key,
    keyring_name,
    load_profile,
)
from coffret_vault.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BusError(Exception):
    """What a library below a keyring raises, which is no error of ``keyring``."""


class Gone(KeyringBackend):
    """A keyring whose program went away after it was found."""

    priority = 5

    def get_password(self, *_: str) -> str | None:
        """Fail."""
        raise BusError

    set_password = delete_password = get_password  # type: ignore[assignment]  # neither returns


@pytest.fixture(autouse=True)
def without_keyring() -> Iterator[None]:
    """No test touches the keyring of the machine."""
    no_keyring()
    yield
    no_keyring()


def test_a_keyring_that_goes_away_is_passed_over_for_a_file(tmp_path: Path) -> None:
    """What its libraries raise is no crash, in which a kit might never be handed out."""
    keyring.set_keyring(Gone())  # type: ignore[no-untyped-call]  # the library has no types
    places = find_places(str(tmp_path), {})
    assert keep_secret_key(places, "v", "account", "CF1-X", None) == "file"
    assert find_secret_key(places, "v") == "CF1-X"
    with pytest.raises(InputError):
        keep_secret_key(places, "v", "account", "CF1-Y", "keyring")
    assert find_secret_key(places, "v") == "CF1-X"


def test_a_key_that_a_keyring_does_not_give_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the key is in a keyring that is away now, it is as if it were not kept; it stays."""
    keyring.set_keyring(Gone())  # type: ignore[no-untyped-call]  # the library has no types
    places = find_places(str(tmp_path), {})
    monkeypatch.setattr(
        "coffret.cli.secret_key.load_profile", lambda *_: Profile("account", "keyring")
    )
    assert find_secret_key(places, "v") is None
    with pytest.raises(StoreError, match="does not let go"):
        forget_secret_key(places, "v")


def test_a_backend_that_is_not_installed_is_no_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that names a keyring which is not here leaves the private file."""

    def missing() -> KeyringBackend:
        raise ModuleNotFoundError

    monkeypatch.setattr("keyring.get_keyring", missing)
    places = find_places(str(tmp_path), {})
    assert keyring_name() is None
    assert keep_secret_key(places, "v", "account", "CF1-X", None) == "file"
    assert load_profile(places, "v") == Profile("account", "file")
