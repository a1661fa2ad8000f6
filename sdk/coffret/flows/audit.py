"""The log as an auditor is given it. docs/spec/5-log.md, Audit file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.evidence import known_steps
from coffret_vault.errors import FormatError, NotFoundError
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.audit import AppGrant, Preamble, write_audit
from coffret_vault.store import log_was_changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.state import VaultState


class AuditLog(msgspec.Struct, frozen=True):
    """A log as it is written down for others: public things, and what grants to apps say.

    Attributes:
        head: the newest signed head, as a note.
        entries: how many it is over: those are in it.
        beyond: how many apps wrote since, which no head covers: those are not.
        lines: of the file, once.
    """

    head: str
    entries: int
    beyond: int
    lines: Iterator[bytes]


def audit_log(state: VaultState) -> AuditLog:
    """What this device verified, up to the newest head; needs no keys and no server.

    Raises:
        NotFoundError: there is no head yet, or a key change of before is not kept here.
        StoreAlteredError: what is kept is not what was verified.
    """
    state.refresh()
    leaves, head = state.store.kept_leaves(), state.position().head
    if head is None:
        message = "no head of this vault's log is here yet"
        raise NotFoundError(message, hint="Sync first.")
    account, size = state.account, head.head.size
    steps = known_steps(account)
    if len(steps) + 1 != account.generation:
        message = "how the keys were changed is not kept on this device"
        raise NotFoundError(message, hint="Write it on another device, or log in here again.")
    return AuditLog(
        head=head.note,
        entries=size,
        beyond=len(leaves) - size,
        lines=write_audit(
            Preamble(
                account.card,
                account.card_signature,
                tuple(steps),
                _grants(state, leaves[:size]),
                head,
            ),
            leaves[:size],
        ),
    )


def _grants(state: VaultState, leaves: Sequence[bytes]) -> tuple[AppGrant, ...]:
    """Every grant to an app that wrote an entry; those to other apps are nobody's business."""
    try:
        authors = {parse_leaf(leaf).entry.author.app_id for leaf in leaves}
    except FormatError:
        raise log_was_changed() from None
    rows = sorted(state.store.grants.all(), key=lambda row: row.granted_at)
    return tuple(
        AppGrant(row.grant, row.manifest)
        for row in rows
        if row.granted_at < len(leaves) and row.statement().app_id in authors
    )
