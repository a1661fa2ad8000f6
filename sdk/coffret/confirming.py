"""Confirm a fresh device: a head seen elsewhere shows that the vault was not turned back.

docs/spec/5-log.md. A device that enters a vault has no past to compare; a hostile server could show
it an old state. Any head that the owner's key signed and that another place remembers (the recovery
kit, another device) settles that, up to its size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import FormatError, InputError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.log.tree import Frontier

if TYPE_CHECKING:
    from coffret.flows.state import VaultState


def confirm(state: VaultState, note: str) -> int:
    """Compare this device's log with a head from elsewhere.

    Args:
        state: the vault.
        note: the head's text as ``status().head`` gives it, or a recovery kit with the head in it;
            spaces in front of its lines do not matter.

    Returns:
        The size of the log that is confirmed.

    Raises:
        InputError: that is not a head's text.
        TrustError: it is of another vault, or this device was shown a log that does not contain
            it: the vault was turned back, or forked.
    """
    try:
        signed = parse_head(_head_in(note))
    except FormatError:
        message = "that is not a head: copy it with all its lines"
        raise InputError(message) from None
    head = verify_head(state.card.signing_public, signed)
    if head.account_id != state.account_id:
        message = "that head is of another vault"
        raise TrustError(message)
    frontier = Frontier()
    for _, leaf in state.store.leaves(0, head.size):
        frontier.append(leaf)
    if frontier.size != head.size or frontier.root() != head.root:
        message = "the server shows this device another log than the one that head was signed for"
        raise TrustError(message)
    state.reload()  # another process may have replaced the keyslots since
    state.update_account(msgspec.structs.replace(state.account, confirmed=True))
    return head.size


def _head_in(text: str) -> str:
    """The lines of a head, out of whatever stands around them."""
    lines = [line.strip() for line in text.splitlines()]
    first = next((at for at, line in enumerate(lines) if line.startswith(_FIRST)), 0)
    last = next(
        (at for at, line in enumerate(lines) if at > first and line.startswith("— ")), first
    )
    return "".join(f"{line}\n" for line in lines[first : last + 1])


_FIRST = "coffret/v1/vault/"
