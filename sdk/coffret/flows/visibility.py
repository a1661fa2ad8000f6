"""Whether a memory shows its title, importance and tags. ADR 0023.

Whoever writes says it, or leaves it to the vault. What was left to it is decided before the memory
goes out, and again when the log has moved on in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.settled import is_confirmed, sealed_by_default
from coffret.flows.sync import sync
from coffret_vault.formats.memory import parse_header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.records.memory import Fields

LOOK_AGAIN = 5 * 60 * 1_000_000
"""For so long (µs) a device shows titles without asking whether the owner has settled otherwise."""


def look(state: VaultState, many: Iterable[Fields]) -> Flow[bool]:
    """Read the log before something is shown because nobody said that it is not to be.

    Not where the vault keeps titles sealed anyway, nor where the log was at its end a short while
    ago: when it was read, or when the owner's newest head was signed on top of it.

    Returns:
        Whether what nobody says is to be sealed, as :func:`sealed_by_default`.

    Raises:
        NetworkError: the server went away; nothing was written.
        TrustError: as for a sync.
    """
    if state.store.is_lost():
        yield from sync(state)
    sealed = sealed_by_default(state)
    if not sealed and any(fields.sealed is None for fields in many):
        was_read = yield from _catch_up(state)
        return sealed_by_default(state) if was_read else False
    return sealed


def look_before(state: VaultState, header: bytes) -> Flow[None]:
    """The same before a version is written behind the one with this header, which may show.

    What nobody says is then as it was: but another device may have sealed the memory since.
    """
    if is_confirmed(state) and not parse_header(header).sealed:
        yield from _catch_up(state)


def look_before_again(state: VaultState, headers: Iterable[bytes]) -> Flow[None]:
    """The same before versions with these headers are sent again, which waited here till now.

    Whether what they show ever reached the server nobody knows, and the log may have moved on since
    then: what it has outgrown is not sent at all.
    """
    parsed = map(parse_header, headers)
    if any(header.title or header.tags or header.importance is not None for header in parsed):
        yield from _catch_up(state)


def _catch_up(state: VaultState) -> Flow[bool]:
    """Read the log, if this was not done a short while ago; whether it was read now."""
    now = state.ambient.now()
    if 0 <= now - state.looked < LOOK_AGAIN:
        return False
    head = state.position().head
    if head is not None and 0 <= now - head.head.time < LOOK_AGAIN:
        return False
    yield from sync(state)
    return True


def decided(fields: Fields, *, sealed: bool) -> Fields:
    """The fields of a new memory, ``sealed`` as the vault has it where they do not say."""
    if fields.sealed is not None:
        return fields
    return msgspec.structs.replace(fields, sealed=sealed)


def hidden(fields: Fields) -> Fields:
    """The same fields, sealed."""
    return msgspec.structs.replace(fields, sealed=True)
