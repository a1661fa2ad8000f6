"""The vault's settings as this device has them from the log. docs/spec/5-log.md, Settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.state import covered, entered
from coffret_vault.errors import FormatError, StoreDamagedError, UnknownSettingError
from coffret_vault.log.settled import Settled, pack_settled, settle, unpack_settled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret.flows.state import VaultState
    from coffret_vault.formats.entry import Leaf
    from coffret_vault.formats.settings import Settings

_NAME = "settings"


def settled(state: VaultState) -> Settled:
    """The settings, and how often they were settled.

    Raises:
        UnknownSettingError: a newer Coffret kept what this one does not know.
        StoreAlteredError: they are not what this vault kept.
    """
    state.store.known.check()
    kept = None if state.store.known.aside else state.store.meta(_NAME)
    try:
        return Settled() if kept is None else unpack_settled(kept)
    except UnknownSettingError:
        raise
    except FormatError:
        raise StoreDamagedError from None


def settings(state: VaultState) -> Settings:
    """The settings. Errors as :func:`settled`."""
    return settled(state).settings


def settled_meta(after: Settled) -> dict[str, bytes]:
    """The settings as the store's meta table keeps them, beside the entries that made them."""
    return {_NAME: pack_settled(after)} if after.version else {}


def follow_settings(state: VaultState, leaves: Iterable[Leaf]) -> dict[str, bytes]:
    """What is kept of the settings after these leaves, which were verified under a head.

    Raises:
        TrustError: they do not follow one another.
        UnknownSettingError: they say what this version does not know.
    """
    return settled_meta(settle(settled(state), (leaf.entry for leaf in leaves)))


def is_confirmed(state: VaultState) -> bool:
    """Whether this device knows that all it was shown when it entered is of the owner's log.

    A head confirms what it covers; behind that of an old recovery kit a server can have left out
    anything: that the vault keeps titles sealed, and that a memory was sealed.
    """
    if not state.is_covered:
        state.is_covered = covered(state.store) >= entered(state.store)
    return state.account.confirmed and state.is_covered and not state.store.known.aside


def sealed_by_default(state: VaultState) -> bool:
    """Whether a memory of which nobody says it shows neither title, tags nor importance.

    So it is as well while this device is not confirmed.
    """
    return not is_confirmed(state) or settings(state).sealed
