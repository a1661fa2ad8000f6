"""Keyslots as they come with the log."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import decode_json, unb64
from coffret.flows.session import get
from coffret.flows.state import account_meta
from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, VaultState
    from coffret_vault.formats.entry import Leaf

_SLOT_KINDS = frozenset((kinds.KEYSLOT, kinds.KEYSLOT_REMOVE))
_NAME = "slots"


class SlotsAnswer(msgspec.Struct, frozen=True):
    """The keyslots of an account, as the server keeps them."""

    keyslots: list[str]


class NewSlots(msgspec.Struct, frozen=True):
    """Keyslots after some log entries: as they are, and the digests by which the log names them."""

    keyslots: tuple[bytes, ...]
    digests: frozenset[bytes]

    def meta(self, account: AccountFile) -> dict[str, bytes]:
        """What is kept of them, beside the entries."""
        changed = msgspec.structs.replace(account, keyslots=self.keyslots)
        return {_NAME: _joined(self.digests), **account_meta(changed)}


def follow_slots(state: VaultState, leaves: Iterable[Leaf]) -> Flow[NewSlots | None]:
    """The keyslots that another device put in place, if the log names exactly those.

    Nothing is kept here: that goes with the entries. None when they name no keyslot.

    Raises:
        TrustError: the server's keyslots are not those in the log.
    """
    changes = [leaf.entry for leaf in leaves if leaf.entry.kind in _SLOT_KINDS]
    if not changes:
        return None
    live = live_slots(state)
    for entry in changes:
        live.discard(entry.digest)
        if entry.kind == kinds.KEYSLOT:
            live.add(entry.digest)
    answer = decode_json((yield from get(state, "/accounts/me")), SlotsAnswer)
    slots = tuple(unb64(slot) for slot in answer.keyslots)
    if {hashlib.sha256(slot).digest() for slot in slots} != live:
        message = "the server's keyslots are not those in the log"
        raise TrustError(message)
    return NewSlots(slots, frozenset(live))


def _joined(digests: Iterable[bytes]) -> bytes:
    return b"".join(sorted(digests))


def live_slots(state: VaultState) -> set[bytes]:
    """The digests of the keyslots that the log says there are."""
    kept = state.store.meta(_NAME) or b""
    return {kept[i : i + 32] for i in range(0, len(kept), 32)}


def set_live_slots(state: VaultState, digests: set[bytes]) -> None:
    """Keep them."""
    state.store.set_meta(_NAME, _joined(digests))
