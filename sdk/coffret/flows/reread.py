"""The log as it is kept here, to read again from it what this device is to know. ADR 0028, 0033."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from coffret.flows.grantfeed import check_app_leaf
from coffret_vault.errors import CoffretError, FormatError, TrustError
from coffret_vault.formats.entry import parse_leaf
from coffret_vault.log.replay import NEW, advance
from coffret_vault.log.verify import MEMORY_KINDS
from coffret_vault.store import log_was_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coffret.flows.grantfeed import Rows
    from coffret.flows.http import Flow, Request
    from coffret.flows.state import VaultState
    from coffret_vault.formats.entry import Leaf
    from coffret_vault.log.replay import MemoryState

T = TypeVar("T")


def with_nothing_known(state: VaultState, flow: Flow[T]) -> Flow[T]:
    """Run a flow for which what this device knows counts for nothing, and for which alone.

    While it waits for an answer, and where it is left before it has one, everybody else is refused
    what is being read again: a server that takes its time is not to have it shown meanwhile.
    """
    step: Callable[[], Request] = partial(next, flow)
    try:
        while True:
            with state.store.known.set_aside():
                request = step()
            try:
                answer = yield request
            except CoffretError as error:
                step = partial(flow.throw, error)
            else:
                step = partial(flow.send, answer)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        flow.close()


def kept_leaves(state: VaultState) -> list[tuple[int, Leaf]]:
    """The entries up to where this device stands, with their indexes.

    Raises:
        StoreAlteredError: they are not those of the position.
    """
    try:
        return list(enumerate(map(parse_leaf, state.store.kept_leaves())))
    except FormatError:
        raise log_was_changed() from None


def check_kept_tail(state: VaultState, rows: Rows, leaves: Iterable[tuple[int, Leaf]]) -> None:
    """See that apps made the entries here that no head of the owner covers, under their grants.

    Raises:
        StoreAlteredError: they did not, so no server can have shown them.
    """
    try:
        for _, leaf in leaves:
            check_app_leaf(state, rows, leaf)
    except TrustError:
        raise log_was_changed() from None


def replayed(leaves: Iterable[tuple[int, Leaf]]) -> dict[bytes, MemoryState]:
    """Where every memory stands after these entries, which are all that there are.

    Raises:
        TrustError: they do not follow from each other.
    """
    states: dict[bytes, MemoryState] = {}
    for index, leaf in leaves:
        entry = leaf.entry
        if entry.kind in MEMORY_KINDS:
            states[entry.subject] = advance(states.get(entry.subject) or NEW, entry, index)
    return states
