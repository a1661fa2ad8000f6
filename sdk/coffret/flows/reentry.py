"""Enter a vault again on a device that has it, after its passphrase or keys were changed.

docs/spec/3-keys.md, Key change. What is here stays: only the account's own part and the wraps of
memory keys are replaced, in one step, by what opens with the passphrase and Secret Key of now. That
they open is the proof that the owner made them: no signature of the keys before could be, since
those may be what a thief has.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.aside import aside
from coffret.flows.entrance import sync_all
from coffret.flows.gone import check_gone, check_kept
from coffret.flows.keychange import MOST_PAGES, key_name, keys_page
from coffret.flows.recovering import OVER
from coffret.flows.session import let_go
from coffret.flows.signup import enter_with_passphrase, unlock_with_passphrase
from coffret.flows.state import AccountFile, Entering, intended_meta, load_account
from coffret.flows.sync import SyncReport, silent, sync
from coffret.flows.unkept import forget_arrived, names_of_unkept
from coffret.flows.unsent import brought_along, is_sealed_here
from coffret_vault.errors import ConflictError, CredentialsError, LockedError, OpenError, TrustError
from coffret_vault.formats.memory import KEK, Kek
from coffret_vault.records.rewrap import KeyName, open_wrap
from coffret_vault.records.seal import check_opens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.signup import Entered
    from coffret.flows.state import Unlocked, VaultState
    from coffret.flows.sync import Progress
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.store import StoredRecord

    Notes = Callable[[], Mapping[str, bytes]]


_WAITS = (
    "a change waits on this device, or was given up here, and only the passphrase and Secret Key "
    "of before open what it says"
)
_UNLOCK_FIRST = (
    "Unlock with those of before (coffret unlock), and log in again then with those of now: the "
    "change is taken along. Or give it up: coffret login --give-up."
)


def log_in_again(
    state: VaultState,
    passphrase: str,
    secret_key: SecretBytes,
    progress: Progress = silent,
    *,
    give_up: bool = False,
) -> Flow[SyncReport]:
    """Enter with the passphrase and Secret Key of now, keep what is here, and sync.

    Until the log under the new keys is verified, and goes on from the one that is here, this device
    stays with the keys of before: they alone open what the server has lost, or withholds. What this
    device had noted down for its owner is taken along where those keys are at hand.

    Raises:
        AccountDeletedError: the account was deleted, as its keys or the server say.
        CredentialsError: they do not open the vault as it is now.
        TrustError: the server shows another vault, an older one, wraps that do not open, or new
            keys that open with the Secret Key of before.
        ConflictError: the vault is locked, and has noted down what only the keys of before open. It
            is not to be ``given up``.
        LockedError: the vault was locked meanwhile, and is.
    """
    entered, locks = yield from _entered_alone(state, passphrase, secret_key)
    account = state.account
    _check_same_vault(account, entered.account)
    if entered.account.generation > account.generation:
        yield from aside(partial(_check_made_anew, state, passphrase, secret_key))
        if state.is_locked and not give_up and is_sealed_here(state, account.generation):
            raise ConflictError(_WAITS, hint=_UNLOCK_FIRST)
    before, noted = state._unlocked, names_of_unkept(state)  # noqa: SLF001 - put back if this fails
    notes = partial(_noted, state, before, entered.keys, 0 if give_up else account.generation)
    try:
        yield from _adopt(state, entered, notes, locks, progress)
        # What was sent under the keys of before and not answered is in the log now, or never will
        # be.
        report = yield from sync(state, progress)
    except BaseException:
        if state.entering is not None:
            _go_back(state, before, is_locked=state.locks != locks)
        raise
    state.entering = None
    if before is not None:
        before.keyring.wipe()
    if entered.account.generation > account.generation:
        state.leave_keys_of_before()
    forget_arrived(state)
    yield from _take_over_the_rest(state, progress)
    after = yield from sync_all(state, progress)
    entries, records = report.entries + after.entries, report.records + after.records
    unkept = len(names_of_unkept(state) - noted)
    report = SyncReport(entries, records, after.unwritten, unkept)
    if _outdated(state):
        message = "the server withholds the keys of memories that are on this device"
        raise TrustError(message)
    state.store.take_over((), intended_meta(None) | OVER)
    state.know(secret_key)
    return report


def _entered_alone(
    state: VaultState, passphrase: str, secret_key: SecretBytes
) -> Flow[tuple[Entered, int]]:
    """As :func:`_entered`; another process of this device may have done the same meanwhile.

    Returns:
        What was entered, and how often the vault was locked before, or by this.
    """
    state.reload()
    locks = state.locks
    entered = yield from _entered(state, passphrase, secret_key)
    was_locked = state.locks != locks
    state.reload()
    return entered, locks if was_locked else state.locks


def _entered(state: VaultState, passphrase: str, secret_key: SecretBytes) -> Flow[Entered]:
    """Enter as a new device would, to which a name that is nobody's is as a wrong passphrase."""
    check_kept(state)
    here = state.account
    try:
        return (
            yield from enter_with_passphrase(
                here.origin, here.username, passphrase, secret_key, state.ambient
            )
        )
    except CredentialsError:
        yield from check_gone(state)
        raise


def _go_back(state: VaultState, keys: Unlocked | None, *, is_locked: bool) -> None:
    """Undo :func:`_adopt`: the store has the account of before still, and all that it opens.

    Where it was locked meanwhile, the keys of before go as well.
    """
    state.entering = None
    state.lock()
    state.reload()
    if keys is not None and is_locked:
        keys.keyring.wipe()
    elif keys is not None:
        state.unlock(keys)


def _check_same_vault(here: AccountFile, there: AccountFile) -> None:
    if here.account_id != there.account_id:
        message = "the server answers for another account than the one on this device"
        raise TrustError(message)
    if there.generation < here.generation:
        message = "the server shows keys of before a key change that this device has seen"
        raise TrustError(message)
    if there.generation == here.generation and there.card != here.card:
        message = "the server shows other keys of the owner than this device has seen"
        raise TrustError(message)


def _check_made_anew(state: VaultState, passphrase: str, secret_key: SecretBytes) -> None:
    """Refuse new keys that open with what opened the vault before them.

    A key change makes a new Secret Key, always. Whoever knows the one of before could make keys
    that open with it, and have a server show them to an owner who changed nothing, or who types
    what was theirs before. What is here need not open with the passphrase of before: that may have
    been replaced meanwhile, which is why its owner logs in again.
    """
    if not state.knows(secret_key):
        try:
            known = unlock_with_passphrase(state.account, passphrase, secret_key, state.ambient)
        except CredentialsError:
            return
        known.keyring.wipe()
    message = "the new keys open with the Secret Key of before, which no change of yours keeps"
    raise TrustError(message)


def _adopt(
    state: VaultState, entered: Entered, notes: Notes, locks: int, progress: Progress
) -> Flow[None]:
    """Work with the account of now, and have what is here opened by it.

    Nothing of that is kept before the log is verified under it, and then all of it in one step: a
    server that went silent in between would leave a device that no keys open.

    Raises:
        LockedError: the vault was locked oftener than ``locks`` times, so by somebody meanwhile.
    """
    state.entering = Entering([], frozenset())
    state.adopt(_as_followed(state.account, entered), entered.keys)
    if state.locks != locks:
        state.lock()  # the server may take long
        yield from let_go(entered.session)
        raise LockedError
    state.session = entered.session
    waiting = _outdated(state)
    names = frozenset((row.memory_id, row.version) for rows in waiting.values() for row in rows)
    # Until their wraps are here, nobody who is told of progress takes the log without them.
    state.entering = Entering([], names)
    records = (yield from _rewrapped_records(state, waiting, progress)) if waiting else []
    here = load_account(state.store)
    if here is None or entered.account.generation > here.generation:
        opened = {(row.memory_id, row.version) for row in records}
        state.entering = Entering(records, names - opened, notes)
        return
    # Of keys that were here already, or that another process of this device took up meanwhile. The
    # sync that follows compares the keyslots with the log.
    state.account = _as_followed(here, entered)
    state.entering = Entering([], frozenset())
    _take_over(state, records)


def _take_over_the_rest(state: VaultState, progress: Progress) -> Flow[None]:
    """Have what is here now opened by the keys of now.

    Another process of this device, whose change the server had taken before the keys were changed,
    may have stored it after it was looked through what is here. From now on none does so.
    """
    if waiting := _outdated(state):
        _take_over(state, (yield from _rewrapped_records(state, waiting, progress)))


def _take_over(state: VaultState, records: Sequence[StoredRecord]) -> None:
    """Replace the wraps of those that are still under keys of before."""
    left = {(row.memory_id, row.version) for rows in _outdated(state).values() for row in rows}
    state.store.take_over([row for row in records if (row.memory_id, row.version) in left], {})


def _noted(
    state: VaultState, before: Unlocked | None, after: Unlocked, generation: int
) -> Mapping[str, bytes]:
    """What is kept under names with the keys of now: what was noted goes along, where it opens.

    Raises:
        ConflictError: it does not, since the vault is locked, and is of this ``generation``: it was
            noted down by another process of this device while the server was asked.
    """
    state.outdated()  # first: whoever is stopped in between has left nothing under those of before
    if before is not None:
        return brought_along(state, before.keyring, after.keyring)
    if is_sealed_here(state, generation):
        raise ConflictError(_WAITS, hint=_UNLOCK_FIRST)
    return {}


def _as_followed(here: AccountFile, entered: Entered) -> AccountFile:
    """The account of now, with what this device has seen of its log."""
    return msgspec.structs.replace(entered.account, confirmed=here.confirmed, earlier=here.earlier)


def _outdated(state: VaultState) -> dict[KeyName, list[StoredRecord]]:
    """The records of this device whose keys are wrapped under an earlier account key."""
    found: dict[KeyName, list[StoredRecord]] = {}
    for row in _under(state, state.account.generation - 1):
        found.setdefault(key_name(row.record), []).append(row)
    return found


def _under(state: VaultState, newest: int) -> list[StoredRecord]:
    """The records whose keys are wrapped under the account keys up to a generation."""
    keks = [KEK.encode(Kek(generation=generation)) for generation in range(1, newest + 1)]
    return [row for kek in keks for row in state.store.records_under(kek)]


def _rewrapped_records(
    state: VaultState, waiting: dict[KeyName, list[StoredRecord]], progress: Progress
) -> Flow[list[StoredRecord]]:
    """The records of this device with the wraps of now, each of which opens what it is of.

    One that is not among them may have been deleted: the sync that follows tells.
    """
    done: list[StoredRecord] = []
    total, at = len(waiting), 0
    for _ in range(MOST_PAGES):
        page = yield from keys_page(state, at)
        for memory_id, number, _kek, wrap in page.keys:
            name = KeyName(memory_id, number)
            done += _under_now(state, name, wrap, waiting.pop(name, []))
        progress("keys", total - len(waiting), total)
        if page.next is None or not waiting:
            break
        at = page.next
    return done


def _under_now(
    state: VaultState, name: KeyName, wrap: bytes, rows: list[StoredRecord]
) -> list[StoredRecord]:
    if not rows:
        return []
    wrapping = state.owner_wrapping()
    kek = KEK.encode(wrapping.name)
    try:
        key = open_wrap(state.account_id, name, wrap, wrapping)
        for row in rows:
            check_opens(row.record.header, row.record.envelope, key)
    except OpenError:
        message = "the server shows a key that does not open a memory of this device"
        raise TrustError(message) from None
    return [
        row._replace(record=msgspec.structs.replace(row.record, kek=kek, wrap=wrap)) for row in rows
    ]
