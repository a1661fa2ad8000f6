"""Keyslots as they come with the log."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import Count, decode_json, decode_msgpack, unb64
from coffret.flows.reread import kept_leaves
from coffret.flows.session import get, get_packed
from coffret.flows.state import account_meta, intended_meta
from coffret_vault.errors import TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import KEYSLOT, PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, VaultState
    from coffret_vault.formats.entry import Leaf

_SLOT_KINDS = frozenset((kinds.KEYSLOT, kinds.KEYSLOT_REMOVE))
_NAME = "slots"
REPLACED = "slots replaced"
"""Set when another device put a passphrase keyslot in place, until one opens the vault here."""


class SlotsAnswer(msgspec.Struct, frozen=True):
    """The keyslots of an account, as the server keeps them."""

    keyslots: list[str]


class _Feed(msgspec.Struct, frozen=True, array_like=True):
    size: Count


class NewSlots(msgspec.Struct, frozen=True):
    """Keyslots after some log entries: as they are, and the digests by which the log names them.

    ``replaced`` says that by another device the passphrase's is another one now.
    """

    keyslots: tuple[bytes, ...]
    digests: frozenset[bytes]
    replaced: bool = False

    def meta(self, account: AccountFile) -> dict[str, bytes]:
        """What is kept of them, beside the entries."""
        changed = msgspec.structs.replace(account, keyslots=self.keyslots)
        digests = b"".join(sorted(self.digests))
        replaced = {REPLACED: b"\1"} if self.replaced else {}
        return {_NAME: digests, **account_meta(changed), **intended_meta(None), **replaced}


def own_slots(keyslots: tuple[bytes, ...]) -> NewSlots:
    """Keyslots that this device put in place, and named in the log."""
    return NewSlots(keyslots, frozenset(map(_digest, keyslots)))


def follow_slots(state: VaultState, leaves: Sequence[Leaf]) -> Flow[NewSlots | None]:
    """The keyslots that another device put in place, if the log names exactly those.

    Nothing is kept here: that goes with the entries. The server shows its keyslots later than its
    log, so another device may have replaced them in between: then those of before stay until the
    entries that replace them are read, and are compared again with every sync.

    Returns:
        None when the entries name no keyslot and what is here is what the log names.

    Raises:
        TrustError: the server's keyslots are not those in the log.
        StoreAlteredError: the log here was changed, not by this vault.
    """
    live = _live_after(_live_slots(state), leaves)
    kept = state.account.keyslots
    if not _are(kept, live):
        # What was noted of the log lies in the folder without a seal: the log itself is proved.
        before = (leaf for _, leaf in kept_leaves(state))
        live = _live_after((), chain(before, leaves))
    if _are(kept, live):
        return None if live == _live_slots(state) else NewSlots(kept, live)
    answer = decode_json((yield from get(state, "/accounts/me")), SlotsAnswer)
    slots = tuple(unb64(slot) for slot in answer.keyslots)
    if _are(slots, live):
        return NewSlots(slots, live, _for_passphrase(slots) != _for_passphrase(kept))
    if not (yield from _has_grown(state, state.position().size + len(leaves))):
        message = "the server's keyslots are not those in the log"
        raise TrustError(message)
    return NewSlots(kept, live)


def _live_after(known: Iterable[bytes], leaves: Iterable[Leaf]) -> frozenset[bytes]:
    live = set(known)
    for entry in (leaf.entry for leaf in leaves if leaf.entry.kind in _SLOT_KINDS):
        live.discard(entry.digest)
        if entry.kind == kinds.KEYSLOT:
            live.add(entry.digest)
    return frozenset(live)


def _are(slots: Sequence[bytes], live: frozenset[bytes]) -> bool:
    """Whether these are the keyslots that the log names, each once."""
    return len(slots) == len(live) and set(map(_digest, slots)) == live


def _for_passphrase(slots: Iterable[bytes]) -> set[bytes]:
    return {slot for slot in slots if KEYSLOT.parse(slot).kind == PASSPHRASE}


def _has_grown(state: VaultState, size: int) -> Flow[bool]:
    """Whether the log has entries behind the first ``size``, which the sync reads next."""
    response = yield from get_packed(state, "/sync", ("from", str(size)), ("limit", "1"))
    return decode_msgpack(response, _Feed).size > size


def _digest(slot: bytes) -> bytes:
    return hashlib.sha256(slot).digest()


def _live_slots(state: VaultState) -> frozenset[bytes]:
    """The digests of the keyslots that the log says there are."""
    kept = state.store.meta(_NAME) or b""
    return frozenset(kept[i : i + 32] for i in range(0, len(kept), 32))
