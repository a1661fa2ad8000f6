"""Make, enter and unlock vaults on this device: what ``Vault`` and ``AsyncVault`` begin with."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.drafts import PREFIX as DRAFTS
from coffret.flows.files import held_alone, make_folder
from coffret.flows.proof import pack_session, unpack_session
from coffret.flows.recovering import end_recovery, is_recovering
from coffret.flows.session import LOG_IN_AGAIN
from coffret.flows.settled import settled_meta
from coffret.flows.signup import (
    Entered,
    Prepared,
    reopen_account,
    unlock_with_passphrase,
)
from coffret.flows.slots import REPLACED, own_slots
from coffret.flows.state import (
    Ambient,
    VaultState,
    account_meta,
    entered_note,
    load_account,
    load_intended,
)
from coffret.flows.unkept import PREFIX as UNKEPT
from coffret_vault.errors import (
    ConflictError,
    CredentialsError,
    KeysChangedError,
    NotFoundError,
    StoreError,
)
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code
from coffret_vault.formats.unshown import Unshown
from coffret_vault.keyslots.slots import Place
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import Store, is_in_use

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STORE_FILE = "store.db"
INDEX_FILE = "index.sealed"
_ENTERING = ".entering.lock"
_BUSY = "another program is just making a vault in this folder, or entering one there"
_WAIT = "Wait until it has done, and see what is there then: coffret status."
_NO_VAULT = "there is no vault in this folder"
_UNLOCK = "If it is yours: coffret unlock opens it, with the Secret Key of your recovery kit."
_RECOVER = (
    "A recovery was begun in this folder, and its Secret Key was not used here yet. If nobody has "
    "that, do it again (coffret recover): it goes on, with the same one. Otherwise: coffret unlock."
)
_REPLACED = f"On another device they were replaced. {LOG_IN_AGAIN}"
_PERHAPS_REPLACED = (
    "If they were changed on another device, log in here with those of now (coffret login)."
)


def read_secret_key(code: str) -> SecretBytes:
    """The Secret Key of its code.

    Raises:
        CodeTypoError: it was mistyped.
    """
    return SecretBytes(read_code(SECRET_KEY, code))


def read_recovery_code(code: str) -> SecretBytes:
    """The recovery code's secret. Errors as :func:`read_secret_key`."""
    return SecretBytes(read_code(RECOVERY_CODE, code))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make or enter a vault in a folder while nobody else does so there.

    What one begins there, another takes for its own from an earlier try, and begins anew.

    Raises:
        ConflictError: another program does.
        StoreError: no vault can be kept there.
    """
    with ExitStack() as until_left:
        try:
            _make_private(folder)
            until_left.enter_context(held_alone(folder / _ENTERING))
        except BlockingIOError:
            raise ConflictError(_BUSY, hint=_WAIT) from None
        except OSError:
            raise _no_place(folder) from None
        yield


def check_place(folder: Path) -> None:
    """Find out that a vault can be kept in a folder. Nothing is left there, whatever comes of it.

    Raises:
        ConflictError: there is a vault in this folder already.
        StoreError: it cannot be written.
    """
    if (folder / STORE_FILE).exists():
        new_store(folder).close()
        return
    try:
        _make_private(folder)
        # Not under the name that it will have: another process may be making a vault here.
        with TemporaryDirectory(dir=folder, prefix=".new-") as trial:
            Store(Path(trial) / STORE_FILE).close()
    except OSError:
        raise _no_place(folder) from None


def _no_place(folder: Path) -> StoreError:
    return StoreError(f"no vault can be kept in the folder {folder}")


def new_store(folder: Path) -> Store:
    """A store in a folder that has none.

    Raises:
        ConflictError: there is a vault in this folder already.
    """
    _make_private(folder)
    store = Store(folder / STORE_FILE)
    with closed_on_failure(store):
        _check_empty(store)
    return store


def _make_private(folder: Path) -> None:
    """Make a folder for its user only; one that is there and holds other things stays as it is."""
    make_folder(folder)
    with suppress(PermissionError):  # another user's folder, which is not ours to close
        if not any(folder.iterdir()):
            folder.chmod(0o700)


def _check_empty(store: Store) -> None:
    if load_account(store) is not None:
        message = "there is a vault in this folder already"
        raise ConflictError(message, hint=_RECOVER if is_recovering(store) else _UNLOCK)


@contextmanager
def closed_on_failure(store: Store) -> Iterator[None]:
    """Close a store that nobody will have, should something fail."""
    try:
        yield
    except BaseException:
        store.close()
        raise


def begin(folder: Path, prepared: Prepared, ambient: Ambient) -> VaultState:
    """Keep a new vault, which is told to the server next."""
    store = new_store(folder)
    state = VaultState(store, prepared.place, prepared.account, ambient)
    state.unlock(prepared.keys)
    try:
        slots = own_slots(prepared.account.keyslots)
        meta = slots.meta(prepared.account) | settled_meta(prepared.settled)
        with store.known.set_aside():  # there is nothing yet
            store.commit(prepared.verified, meta=meta)
        state.know(prepared.kit.secret_key)
    except BaseException:
        discard(state)
        raise
    return state


def join(
    folder: Path,
    entered: Entered,
    ambient: Ambient,
    beside: Mapping[str, bytes] | None = None,
) -> VaultState:
    """Keep a vault that this device has just entered, and values beside it; it is synced next."""
    store = new_store(folder)
    state = VaultState(store, entered.place, entered.account, ambient)
    state.unlock(entered.keys)
    state.session = entered.session
    try:
        with store.known.set_aside():  # there is nothing yet
            meta = {**account_meta(entered.account), **dict([entered_note()]), **(beside or {})}
            store.take_over((), meta, anew=True)
    except BaseException:
        discard(state)
        raise
    return state


def clear_begun(folder: Path, prepared: Prepared) -> None:
    """Take away what a sign-up left that was stopped between its first write and its answer.

    It is that vault's store, with what it began with and nothing else; all of it is made again. Not
    where another program has it open, and may say something in it that would go with the file.
    """
    path = folder / STORE_FILE
    if not path.exists():
        return
    store = Store(path)
    with closing(store):
        account, size = load_account(store), prepared.verified.position.size
        said = store.meta("unsent") or store.noted(DRAFTS) or store.noted(UNKEPT)
        is_new = store.size() in {0, size} and not said
        if account is not None and account.account_id != prepared.place.account_id:
            return
    if is_new and not is_in_use(path):
        _remove(path)


def discard(state: VaultState) -> None:
    """Close the store that :func:`begin` or :func:`join` has just made, and take it away."""
    state.lock()
    state.store.close()
    _remove(state.store.path)


def _remove(path: Path) -> None:
    for name in (STORE_FILE, f"{STORE_FILE}-wal", f"{STORE_FILE}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def reopen(folder: Path, ambient: Ambient) -> VaultState:
    """A vault of this device, locked.

    Raises:
        NotFoundError: there is none in this folder.
    """
    path = folder / STORE_FILE
    if not path.exists():
        raise NotFoundError(_NO_VAULT)
    store = Store(path)
    with closed_on_failure(store):
        return _reopened(store, ambient)


def _reopened(store: Store, ambient: Ambient) -> VaultState:
    account = load_account(store)
    if account is None:
        raise NotFoundError(_NO_VAULT)
    return VaultState(store, Place(account.origin, account.account_id), account, ambient)


def unlock(state: VaultState, passphrase: str, secret_key: SecretBytes) -> None:
    """Open a locked vault with what the person knows and has. No network.

    Where it is not known whether the server took a change, what is to be opens as well.

    Raises:
        CredentialsError: they do not open this vault.
        KeysChangedError: they are those of a key change that was interrupted here.
    """
    _take_newest(state)
    try:
        state.unlock(unlock_with_passphrase(state.account, passphrase, secret_key, state.ambient))
    except CredentialsError:
        intended = load_intended(state.store)
        if intended is None:
            if state.store.meta(REPLACED):
                raise CredentialsError(hint=_REPLACED) from None
            raise CredentialsError(hint=_PERHAPS_REPLACED) from None
        keys = unlock_with_passphrase(intended, passphrase, secret_key, state.ambient)
        if intended.generation != state.account.generation:
            raise KeysChangedError(hint=LOG_IN_AGAIN) from None
        state.unlock(keys)
    state.know(secret_key)
    with suppress(StoreError):  # they are words of help, and no reason to stay locked
        end_recovery(state.store)
        if state.store.meta(REPLACED):
            state.store.set_meta(REPLACED, b"")


def check_secrets(state: VaultState, passphrase: str, secret_key: SecretBytes) -> None:
    """Refuse what does not open this vault: nobody is to lock themselves out with a typo.

    Raises:
        CredentialsError: they do not open it.
    """
    _take_newest(state)
    unlock_with_passphrase(state.account, passphrase, secret_key, state.ambient)


def _take_newest(state: VaultState) -> None:
    """Take the account as it is kept: another process of this device may have changed it since.

    Not while another thread enters again: until that is kept, it has another account than is here.
    """
    if state.entering is None:
        state.reload()


class HeldKeys(Unshown, msgspec.Struct, frozen=True):
    """What another process of the same person needs to keep a vault unlocked.

    Attributes:
        account_key: of the newest generation; opens everything of the account.
        login_seed: logs in at the server.
        session: that at the server, packed, or empty.
    """

    account_key: SecretBytes
    login_seed: SecretBytes
    session: SecretBytes


def held_keys(state: VaultState) -> HeldKeys:
    """The keys of an unlocked vault, to be kept in memory by another process.

    Raises:
        LockedError: the vault is locked.
    """
    keys = state.keys
    session = pack_session(state.session)
    return HeldKeys(keys.keyring.account_key(), keys.login.key.seed(), session)


def unlock_held(state: VaultState, held: HeldKeys) -> None:
    """Open a locked vault with keys that another process kept. No network.

    They may be of a passphrase of which it is not known yet whether the server took it.

    Raises:
        CredentialsError: they are another vault's, or were replaced since.
    """
    _take_newest(state)
    login, intended = SigningKey(held.login_seed), load_intended(state.store)
    try:
        keys = reopen_account(state.place, state.account, login, held.account_key)
    except CredentialsError:
        if intended is None or intended.generation != state.account.generation:
            raise
        keys = reopen_account(state.place, intended, login, held.account_key)
    state.unlock(keys)
    state.session = unpack_session(held.session, state.ambient)
