"""Replace the passphrase keyslot. docs/spec/3-keys.md."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.append import Append, append
from coffret.flows.aside import aside
from coffret.flows.http import Request, encode_json
from coffret.flows.signup import keyslot_entry
from coffret.flows.slots import own_slots
from coffret.flows.state import Login, intended_meta
from coffret.flows.written import Change
from coffret_vault.errors import ConflictError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import KEYSLOT, PASSPHRASE
from coffret_vault.keyslots.kdf import check_passphrase
from coffret_vault.keyslots.slots import SlotPlan, derive_passphrase_keys, make_keyslot

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.primitives.secret import SecretBytes


def replace_passphrase(state: VaultState, passphrase: str, secret_key: SecretBytes) -> Flow[None]:
    """Put a new passphrase keyslot in the place of the old one; other keyslots stay.

    Raises:
        ConflictError: another device changed the keyslots at the same time.
        InputError: the passphrase is blank.
    """
    check_passphrase(passphrase)
    ambient, keyring = state.ambient, state.keys.keyring
    kdf = ambient.limits.choose(ambient.random(16))
    keys = yield from aside(
        partial(
            derive_passphrase_keys, passphrase, secret_key, state.place, kdf, limits=ambient.limits
        )
    )
    plan = SlotPlan(ambient.random_id(), keyring.generation, ambient.now())
    new = make_keyslot(keys, state.place, plan, keyring.account_key(), random=ambient.random)
    old = [slot for slot in map(KEYSLOT.parse, state.account.keyslots) if slot.kind == PASSPHRASE]
    kept = [slot for slot in map(KEYSLOT.parse, state.account.keyslots) if slot.kind != PASSPHRASE]
    before = state.account.keyslots
    slots = tuple(KEYSLOT.serialize(slot) for slot in (new, *kept))
    intended = msgspec.structs.replace(state.account, keyslots=slots)
    now = ambient.now()
    entries = (
        keyslot_entry(new, kinds.KEYSLOT, now),
        *(keyslot_entry(slot, kinds.KEYSLOT_REMOVE, now) for slot in old),
    )

    def describe() -> Change:
        state.refresh()
        if state.account.keyslots != before:
            message = "another device changed the keyslots at the same time; try again"
            raise ConflictError(message)
        meta = own_slots(slots).meta(state.account)
        # Until it is known what became of it, either passphrase opens this device.
        return Change(entries=entries, meta=meta, beside=intended_meta(intended))

    def submit(body: Append) -> Request:
        identity = {"generation": state.account.generation, "envelope": state.account.identity}
        content = {"keyslots": slots, "identity": identity, "append": body}
        return Request("PUT", "/accounts/me/keyslots", encode_json(content))

    yield from append(state, describe, submit)
    state.reload()
    login = Login(new.slot_id, new.kind, keys.login)
    state.unlock(msgspec.structs.replace(state.keys, login=login))
    state.know(secret_key)
