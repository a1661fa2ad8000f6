"""Sign a head over what apps wrote, once that is much. docs/spec/5-log.md, The tail.

A device refuses a log that goes far beyond what its owner signed, and the server takes nothing more
from apps long before that. So a device that has read many entries of apps puts a head over them,
without any entry of its own.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from coffret.flows.append import append
from coffret.flows.written import Change
from coffret_vault.errors import ConflictError, NetworkError, ServerError

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState

COVERED_FROM = 1_000
"""So many entries get a head; fewer wait for the owner's next change, so that quiet vaults, and
devices of one owner that sync at once, have nothing to race for."""


def cover_tail(state: VaultState) -> Flow[None]:
    """Sign a head over what apps wrote since the last one, if that is much.

    Nobody waits for it: where another device is quicker it is not needed, and where the server does
    not take it now, it goes out before the next change or with a later sync.
    """
    if state.is_locked or len(state.position().tail) < COVERED_FROM:
        return
    with suppress(ConflictError, NetworkError, ServerError):
        yield from append(state, _nothing_more)


def _nothing_more() -> Change:
    return Change(entries=())
