"""The ways into a vault, whole: what happens with the server and what is kept on the device."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret import opening
from coffret.confirming import await_head, awaited, confirm, read_since
from coffret.flows.aside import aside
from coffret.flows.begun import (
    NOT_HANDED_OUT,
    STANDS,
    Begun,
    drop_begun,
    is_begun,
    keep_begun,
    kept_unless_refused,
    read_begun,
    submit,
)
from coffret.flows.covering import cover_tail
from coffret.flows.grants import freshen
from coffret.flows.http import Request
from coffret.flows.passphrase import replace_passphrase
from coffret.flows.recovering import is_recovering, recovering_note, secret_key_noted
from coffret.flows.signup import (
    enter_with_passphrase,
    enter_with_recovery,
    open_account,
    prepare_vault,
    unlock_with_passphrase,
)
from coffret.flows.state import WHOLE, entered, entered_note
from coffret.flows.sync import SyncReport, silent, sync
from coffret.flows.unkept import names_of_unkept
from coffret.flows.unseen import accept_automatically
from coffret.flows.unsent import REFUSED
from coffret.flows.waiting import settle
from coffret.kit import read_kit
from coffret.origins import ANOTHER_ADDRESS, elsewhere, told_origins
from coffret_vault.errors import (
    CoffretError,
    ConflictError,
    CredentialsError,
    InputError,
    NetworkError,
    NotFoundError,
    ServerError,
    TrustError,
)
from coffret_vault.formats.codes import SECRET_KEY, write_code
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.settings import Settings
from coffret_vault.keyslots.slots import SECRET_KEY_BYTES, derive_recovery_keys
from coffret_vault.primitives.secret import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import Ambient, VaultState
    from coffret.flows.sync import Progress
    from coffret.kit import RecoveryKit


_OTHERWISE = (
    "this sign-up was begun here with another choice of what shows its title; say that one, and "
    "settle it anew afterwards"
)
_ANOTHER_CODE = (
    "A recovery was begun in this folder with another recovery code. If the keys were changed "
    "since, log in here with those of now (coffret login); or recover in another folder."
)
_RECOVER_AGAIN = (
    "Recover again, in this folder: it goes on with what was begun, and gives the same Secret Key."
)


def create(
    origin: str,
    username: str,
    passphrase: str,
    folder: Path,
    ambient: Ambient,
    *,
    sealed: bool = False,
    hand_out: Callable[[RecoveryKit], None] | None = None,
) -> Flow[tuple[VaultState, RecoveryKit]]:
    """Make a vault here, then on the server. Errors as ``Vault.create``.

    In this order a full disk is noticed while nobody knows of the vault yet. Where the answer is
    lost, or the kit was not handed out, the same call goes on.
    """
    with opening.alone_in(folder):
        begun = yield from read_begun(folder, origin, username, passphrase, ambient)
        if begun is not None:
            opening.clear_begun(folder, begun.prepared)
        _check_place(folder)
        yield from _check_known(origin)
        settings = Settings(sealed=True) if sealed else None
        if begun is None:
            make = partial(prepare_vault, origin, username, passphrase, ambient, settings)
            begun = Begun((yield from aside(make)), ambient.new_id())
            yield from keep_begun(folder, begun, passphrase, ambient)
        elif begun.prepared.settled.settings.sealed is not sealed:
            raise ConflictError(_OTHERWISE)
        with kept_unless_refused(folder, begun):
            state = opening.begin(folder, begun.prepared, ambient)
            with _kept_if_whole(state):
                state.session = yield from submit(begun, ambient)
        if hand_out is not None:
            with opening.closed_on_failure(state.store), _said_to_go_on():
                hand_out(begun.prepared.kit)
        _begun_no_more(folder, state)
        return state, begun.prepared.kit


def _begun_no_more(folder: Path, state: VaultState) -> None:
    with opening.closed_on_failure(state.store):
        drop_begun(folder)


@contextmanager
def _said_to_go_on() -> Iterator[None]:
    """Tell whoever did not get the kit of a vault how to get it yet."""
    try:
        yield
    except CoffretError as error:
        error.hint = error.hint or NOT_HANDED_OUT
        raise


def _check_place(folder: Path) -> None:
    """As ``opening.check_place``; whoever killed a sign-up of another name has no Secret Key."""
    try:
        opening.check_place(folder)
    except ConflictError as there:
        if is_begun(folder):
            there.hint = STANDS
        raise


def _check_known(origin: str) -> Flow[None]:
    """Let nobody make a vault, or be told of a wrong passphrase, where no login can fit.

    A server that lies here keeps somebody from itself, which it can do anyway.

    Raises:
        InputError: the server says that it is known by other addresses.
    """
    response = yield Request("GET", "/readyz", base="")
    if other := elsewhere(origin, told_origins(response.body)):
        raise InputError(other, hint=ANOTHER_ADDRESS)


@contextmanager
def _kept_if_whole(state: VaultState) -> Iterator[None]:
    """Take what was kept away again if something fails, so that it can be tried again here."""
    try:
        yield
    except BaseException:
        opening.discard(state)
        raise


def login(
    origin: str,
    username: str,
    passphrase: str,
    secret_key: SecretBytes,
    folder: Path,
    ambient: Ambient,
) -> Flow[VaultState]:
    """Enter a vault and sync it. Errors as ``Vault.login``."""
    with opening.alone_in(folder):
        opening.check_place(folder)
        yield from _check_known(origin)
        entered = yield from enter_with_passphrase(
            origin, username, passphrase, secret_key, ambient
        )
        state = opening.join(folder, entered, ambient)
        with _kept_if_whole(state):
            state.know(secret_key)
            report = yield from _first_sync(state)
        _begun_no_more(folder, state)
        yield from _tidy_at_last(state, report)
        return state


def _first_sync(state: VaultState, kit: str = "") -> Flow[SyncReport]:
    """Read a vault that is new here, and note up to which head it is by the server's word.

    Before this device signs heads of its own, which no other device has to compare: and where there
    is a kit, its head first, so that nothing is accepted, or given to an app, in a log that was
    turned back to before it.
    """
    if kit:
        await_head(state, kit)
    waiting = awaited(state)
    report = yield from sync(state)
    read_since(state, waiting)
    _note_entered(state)
    if kit:
        confirm(state, kit)
    return report


def _note_entered(state: VaultState) -> None:
    """Note up to where the log is by the server's word; a first reading may have been killed."""
    if entered(state.store) == WHOLE:
        state.store.set_meta(*entered_note(state.position().frontier.size))


def _tidy_at_last(state: VaultState, report: SyncReport) -> Flow[None]:
    """As :func:`_tidy`, by a device that has entered, and has whatever becomes of it: it signs.

    Were the device taken away again, another one in its place would sign a second head of a size.
    """
    try:
        with suppress(NetworkError, ServerError):
            yield from _tidy(state, report)
    except BaseException:
        state.lock()
        state.store.close()
        raise


def recover(
    origin: str,
    username: str,
    recovery_code: SecretBytes,
    passphrase: str,
    folder: Path,
    ambient: Ambient,
    kit: str = "",
) -> Flow[tuple[VaultState, str]]:
    """Enter a vault by its recovery code, sync it, and replace the passphrase keyslot.

    Where there is a ``kit``, its account and its head are compared before anything is changed. What
    was begun here and not finished is gone on with: the Secret Key is the same.
    """
    with opening.alone_in(folder):
        printed = read_kit(kit) if kit else None
        begun = _begun_recovery(folder, origin, username, recovery_code, ambient)
        if begun is None:
            opening.check_place(folder)
        with opening.closed_on_failure(begun.store) if begun else nullcontext():
            yield from _check_known(origin)
            state = begun or (
                yield from _enter_to_recover(origin, username, recovery_code, folder, ambient)
            )
        with _kept_if_whole(state) if begun is None else opening.closed_on_failure(state.store):
            if printed is not None and printed.account_id != state.account_id:
                message = "the server answers for another account than the recovery kit's"
                raise TrustError(message)
            report = yield from _first_sync(state, kit)
        with _gone_on_with(state, began_before=begun is not None):
            secret_key = secret_key_noted(state)
            yield from _give_passphrase(state, passphrase, secret_key, again=begun is not None)
            # Whatever fails, the owner has their Secret Key; the next sync says it again.
            with suppress(CoffretError):
                yield from _tidy(state, report)
        _begun_no_more(folder, state)
        return state, write_code(SECRET_KEY, secret_key.reveal())


def _begun_recovery(
    folder: Path, origin: str, username: str, recovery_code: SecretBytes, ambient: Ambient
) -> VaultState | None:
    """The vault whose recovery was begun in a folder, unlocked; None where none was.

    Raises:
        CredentialsError: it was begun with another recovery code.
    """
    try:
        state = opening.reopen(folder, ambient)
    except NotFoundError:
        return None
    with opening.closed_on_failure(state.store):
        account, place = state.account, state.place
        if is_recovering(state.store) and (account.origin, account.username) == (origin, username):
            keys = derive_recovery_keys(recovery_code, place)
            try:
                state.unlock(open_account(place, account, keys))
            except CredentialsError:
                raise CredentialsError(hint=_ANOTHER_CODE) from None
            return state
    state.store.close()
    return None


def _enter_to_recover(
    origin: str, username: str, recovery_code: SecretBytes, folder: Path, ambient: Ambient
) -> Flow[VaultState]:
    entered = yield from enter_with_recovery(origin, username, recovery_code, ambient)
    random = ambient.random
    secret_key = SecretBytes(random(SECRET_KEY_BYTES))
    note = recovering_note(entered.keys.keyring, secret_key, random=random)
    return opening.join(folder, entered, ambient, note)


def _give_passphrase(
    state: VaultState, passphrase: str, secret_key: SecretBytes, *, again: bool
) -> Flow[None]:
    """Replace the passphrase keyslot, if that was not done before the recovery was stopped."""
    if again:
        yield from settle(state)
        unlock = partial(
            unlock_with_passphrase, state.account, passphrase, secret_key, state.ambient
        )
        with suppress(CredentialsError):
            keys = yield from aside(unlock)
            state.unlock(msgspec.structs.replace(state.keys, login=keys.login))
            state.know(secret_key)
            return
    yield from replace_passphrase(state, passphrase, secret_key)


@contextmanager
def _gone_on_with(state: VaultState, *, began_before: bool) -> Iterator[None]:
    """Keep a recovery that has signed, should it be stopped: the same call here goes on with it.

    What the server refused was not taken, and can be begun anew.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, REFUSED) and not began_before:
            opening.discard(state)
            raise
        state.lock()
        state.store.close()
        if isinstance(error, NetworkError | ServerError) and not isinstance(error, REFUSED):
            error.hint = _RECOVER_AGAIN
        raise


def sync_all(state: VaultState, progress: Progress = silent) -> Flow[SyncReport]:
    """Sync, accept what may be accepted unseen, and leave no app that may write a stale key.

    A change whose answer was lost goes first; a server that cannot take it now can be read anyway.
    A long tail gets a head at last.
    """
    before = names_of_unkept(state)
    with suppress(ServerError):
        yield from settle(state)
    waiting = awaited(state)
    report = yield from sync(state, progress)
    read_since(state, waiting)
    _note_entered(state)
    lost = len(names_of_unkept(state) - before)  # the oldest may have made room for it
    report = msgspec.structs.replace(report, unkept=lost)
    return report if state.is_locked else (yield from _tidy(state, report))


def _tidy(state: VaultState, report: SyncReport) -> Flow[SyncReport]:
    """What an unlocked device does by itself with what a sync brought."""
    accepted = yield from accept_automatically(state)
    fresh, left = yield from freshen(state)
    yield from cover_tail(state)
    return msgspec.structs.replace(
        report,
        entries=report.entries + accepted + fresh,
        unwritten=tuple(map(id_text, left)),
    )
