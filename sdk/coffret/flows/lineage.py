"""The owner's earlier account cards, as they come with the log. docs/spec/3-keys.md, Succession."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import decode_json, unb64
from coffret.flows.session import LOG_IN_AGAIN, get
from coffret_vault.errors import KeysChangedError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.lineage import Step, verify_lineage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.formats.entry import Entry, Leaf
    from coffret_vault.log.lineage import Reign


class _StepAnswer(msgspec.Struct, frozen=True):
    succession: str
    signature: str
    card: str


def check_generation(state: VaultState, leaves: Iterable[Leaf]) -> None:
    """Stop where the owner's keys were changed on another device.

    Who may sign from there on is not taken from the server's word, nor from a signature of the keys
    before, which a thief may have: only from keys that open with what the owner knows and has now.

    Raises:
        KeysChangedError: log in again.
    """
    newest = max(
        (leaf.entry.version for leaf in leaves if leaf.entry.kind == kinds.ROTATE), default=0
    )
    if newest > state.account.generation:
        raise KeysChangedError(hint=LOG_IN_AGAIN)


def fetch_steps(state: VaultState) -> Flow[list[Step]]:
    """The steps from the first card to the newest, as the server has them; nothing is verified."""
    answer = decode_json((yield from get(state, "/accounts/me/successions")), list[_StepAnswer])
    return [Step(*map(unb64, (a.succession, a.signature, a.card))) for a in answer]


def follow_lineage(
    state: VaultState, leaves: Sequence[tuple[int, Leaf]]
) -> Flow[tuple[Reign, ...]]:
    """The cards before the one that this device holds, as the log with these entries names them.

    Raises:
        TrustError: the log begins with another account, or its key changes lead elsewhere.
    """
    named = {kinds.ACCOUNT, kinds.ROTATE}
    new = [(index, leaf.entry) for index, leaf in leaves if leaf.entry.kind in named]
    known = state.account
    if not new and len(known.earlier) + 1 == known.generation:
        return known.earlier
    first, rotations = _named(state, new)
    steps = (yield from fetch_steps(state)) if rotations else []
    if len(rotations) + 1 != known.generation:
        message = "the log's key changes are not those of the account"
        raise TrustError(message)
    return verify_lineage(first, rotations, steps, known.card)


def _named(
    state: VaultState, new: Sequence[tuple[int, Entry]]
) -> tuple[bytes, list[tuple[int, Entry]]]:
    """The digest of the first card, and every ``rotate`` entry: kept ones, then new ones."""
    known = [] if state.store.known.aside else [0, *(r.until for r in state.account.earlier)]
    before = [(index, state.store.leaf(index)) for index in known]
    entries = [(index, parse_leaf(leaf).entry) for index, leaf in before if leaf is not None]
    every = [*entries, *new]
    accounts = [entry for _, entry in every if entry.kind == kinds.ACCOUNT]
    rotations = [(index, entry) for index, entry in every if entry.kind == kinds.ROTATE]
    whole = len(accounts) == 1 and every[0][0] == 0 and every[0][1].kind == kinds.ACCOUNT
    in_turn = [entry.version for _, entry in rotations] == list(range(2, len(rotations) + 2))
    subjects = {entry.subject for _, entry in every}
    if not whole or not in_turn or subjects != {state.account_id}:
        message = "the log does not begin with this account, or its key changes are out of turn"
        raise TrustError(message)
    return accounts[0].digest, rotations
