"""Where the Secret Key is kept on this device: the keyring, a private file, or nowhere.

A keyring is another program's, reached through that program's own libraries. What goes wrong there
is seldom an error of ``keyring``: the bus is gone, a prompt was dismissed, the backend that the
environment names is not installed. All of it means that the keyring does not keep the key, or give
it; none of it keeps a person from their vault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from coffret.cli.private import check_writable, write_private
from coffret_vault.errors import InputError, StoreDamagedError, StoreError

if TYPE_CHECKING:
    from coffret.cli.places import Places

Kept = Literal["keyring", "file", "none"]
_SERVICE = "coffret"
_RECOMMENDED = 1


class Profile(msgspec.Struct, frozen=True):
    """What was set for a vault on this device; nothing of it is secret."""

    account_id: str
    kept_in: Kept


def load_profile(places: Places, name: str) -> Profile | None:
    """What was set; None where nothing was.

    Raises:
        StoreDamagedError: the file is not one of ours.
    """
    try:
        return msgspec.json.decode(places.profile(name).read_bytes(), type=Profile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "the vault's profile cannot be read"
        raise StoreDamagedError(message, hint=f"Look at {places.profile(name)}") from None


def keyring_name() -> str | None:
    """The name of the system's keyring; None where there is none that can be trusted.

    Backends below the recommended priority keep nothing, or keep it in plaintext: a private file
    is better than those.
    """
    import keyring  # noqa: PLC0415 - looks for every backend: only when it is asked for

    try:
        backend = keyring.get_keyring()
        return str(backend.name) if backend.priority >= _RECOMMENDED else None
    except Exception:  # noqa: BLE001 - see above
        return None


def check_secret_key(places: Places, name: str, wanted: Kept | None) -> None:
    """Look whether a Secret Key can be kept, before there is one that only this device has.

    Raises:
        InputError: the keyring is wanted, and there is none that works.
        StoreError: nothing can be written to the vault's settings.
    """
    if wanted == "keyring" and keyring_name() is None:
        raise _no_keyring()
    check_writable(places.profile(name).parent)


def _no_keyring() -> InputError:
    message = "there is no keyring that works on this system"
    return InputError(message, hint="Use --secret-key-store file")


def keep_secret_key(
    places: Places, name: str, account_id: str, code: str, wanted: Kept | None
) -> Kept:
    """Keep a vault's Secret Key and remember where.

    Args:
        places: the folders.
        name: the vault's name here.
        account_id: the vault's.
        code: the Secret Key as people write it.
        wanted: where; the keyring when None and there is one, else a file.

    Returns:
        Where it is.

    Raises:
        InputError: the keyring was wanted, and there is none that works.
        StoreError: it cannot be written.
    """
    where: Kept = wanted or "keyring"
    if where == "keyring" and not _into_keyring(account_id, code):
        if wanted == "keyring":
            raise _no_keyring()
        where = "file"
    if where == "file":
        write_private(places.secret_key(name), [code.encode(), b"\n"])
    profile = msgspec.json.encode(Profile(account_id, where))
    write_private(places.profile(name), [profile, b"\n"])
    return where


def _into_keyring(account_id: str, code: str) -> bool:
    if keyring_name() is None:
        return False
    import keyring  # noqa: PLC0415 - as above

    try:
        keyring.set_password(_SERVICE, account_id, code)
        return keyring.get_password(_SERVICE, account_id) == code
    except Exception:  # noqa: BLE001 - see above
        return False


def find_secret_key(places: Places, name: str) -> str | None:
    """The Secret Key as it was kept; None where it was not, or the keyring does not give it.

    Raises:
        StoreError: its file is there and cannot be read.
    """
    profile = load_profile(places, name)
    if profile is None or profile.kept_in == "none":
        return None
    if profile.kept_in == "file":
        return _from_file(places, name)
    import keyring  # noqa: PLC0415 - as above

    try:
        return keyring.get_password(_SERVICE, profile.account_id)
    except Exception:  # noqa: BLE001 - see above
        return None


def _from_file(places: Places, name: str) -> str | None:
    try:
        return places.secret_key(name).read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        message = "the file of the Secret Key cannot be read"
        raise StoreError(message) from None


def forget_secret_key(places: Places, name: str) -> bool:
    """Remove a vault's Secret Key from this device; whether it was kept here.

    Raises:
        StoreError: it cannot be removed.
    """
    profile = load_profile(places, name)
    if profile is None or profile.kept_in == "none":
        return False
    if profile.kept_in == "keyring":
        _out_of_keyring(profile.account_id)
    try:
        places.secret_key(name).unlink(missing_ok=True)
    except OSError:
        message = f"the Secret Key cannot be removed: delete {places.secret_key(name)}"
        raise StoreError(message) from None
    write_private(places.profile(name), [msgspec.json.encode(Profile(profile.account_id, "none"))])
    return True


def _out_of_keyring(account_id: str) -> None:
    import keyring  # noqa: PLC0415 - as above
    from keyring.errors import PasswordDeleteError  # noqa: PLC0415 - as above

    try:
        keyring.delete_password(_SERVICE, account_id)
    except PasswordDeleteError:
        return  # it was not there
    except Exception:  # noqa: BLE001 - see above
        message = "the keyring does not let go of the Secret Key: remove coffret's entry there"
        raise StoreError(message) from None
