"""Which memories grants hold keys of, where another device has changed that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.freshness import live_grants, maker
from coffret.flows.grantfeed import ACTIVATING, HOLDING, grant_wrapping, wrapping_for
from coffret.flows.http import Cursor, decode_json, decode_msgpack, next_page
from coffret.flows.keys import is_made_under
from coffret.flows.session import get, get_packed
from coffret_vault.errors import FormatError, OpenError, TrustError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import KEK, parse_header
from coffret_vault.grants.given import was_given
from coffret_vault.records.seal import unwrap_memory_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.formats.memory import Record
    from coffret_vault.store import GrantRow

_PAGE = 5_000
_NEWER = 16
_MARK = 16


class _CountAnswer(msgspec.Struct, frozen=True):
    grant_id: str
    state: str
    memories: int
    wraps_changed: int = -1


class _WrapsAnswer(msgspec.Struct, frozen=True, array_like=True):
    next: Cursor | None
    wraps: list[tuple[bytes, int, bytes]]


def wraps_may_have_moved(state: VaultState) -> dict[str, bytes]:
    """Kept with entries of others, until :func:`follow_wraps` has looked; another one each time."""
    return {HOLDING: state.ambient.random(_MARK)}


def follow_wraps(state: VaultState) -> Flow[None]:
    """Learn which memories the live grants hold keys of, if others wrote since this was done.

    Interrupted, it is done by the next sync; so it is where another process of this device took
    more of the log meanwhile, and is still to ask about that. And where another device hands over
    keys, which stands in no log: until the server says that it is done, each sync asks again.
    """
    marked = state.store.meta(HOLDING)
    if not marked:
        return
    live = {id_text(row.statement().grant_id) for row in live_grants(state)}
    answers = (yield from _counts(state, live)) if live else []
    for answer in answers:
        if answer.grant_id in live:
            identifier = parse_id(answer.grant_id)
            seen = f"{answer.memories} {answer.wraps_changed}".encode()
            if state.store.meta(HOLDING + answer.grant_id) != seen:
                yield from _read_wraps(state, identifier)
                state.store.set_meta(HOLDING + answer.grant_id, seen)
    if not any(answer.grant_id in live and answer.state == ACTIVATING for answer in answers):
        state.store.release(HOLDING, marked)


def _counts(state: VaultState, live: AbstractSet[str]) -> Flow[list[_CountAnswer]]:
    """How many memories each grant holds keys of, as far as these grants are among them.

    There are no more pages than grants, but for some that another device has made meanwhile.

    Raises:
        TrustError: the list does not end.
    """
    found: list[_CountAnswer] = []
    cursor: str | None = ""
    for _ in range(len(state.store.grants.all()) + _NEWER):
        response = yield from get(state, "/grants", *([("cursor", cursor)] if cursor else []))
        found += decode_json(response, list[_CountAnswer])
        cursor = next_page(response)
        if cursor is None or live <= {answer.grant_id for answer in found}:
            return found
    message = "the server's list of grants does not end"
    raise TrustError(message)


def _read_wraps(state: VaultState, grant_id: bytes) -> Flow[None]:
    cursor: str | None = ""
    found: dict[bytes, int] = {}
    seen: set[bytes] = set()
    strange = 0
    row = state.store.grants.get(grant_id)
    if row is None:
        return
    while cursor is not None:
        params = [("limit", str(_PAGE))] + ([("cursor", cursor)] if cursor else [])
        path = f"/grants/{id_text(grant_id)}/wraps"
        page = decode_msgpack((yield from get_packed(state, path, *params)), _WrapsAnswer)
        found.update(
            (memory_id, number)
            for memory_id, number, wrap in page.wraps
            if _holds(state, row, (memory_id, number, wrap))
        )
        # Others may have begun memories since the log was read here, but not pages without end.
        here = {memory_id for memory_id, _, _ in page.wraps if state.store.state(memory_id)}
        strange += not here
        new = here - seen or (page.wraps and not here and strange <= _NEWER)
        seen |= here
        if page.next is not None and not new:
            message = "the server's list of a grant's memories does not end"
            raise TrustError(message)
        cursor = page.next
    state.store.grants.set_wraps(grant_id, found | _not_shown(state, grant_id, found))


def _holds(state: VaultState, row: GrantRow, given: tuple[bytes, int, bytes]) -> bool:
    """Whether the owner gave the grant a memory's key, or its app made that memory under it.

    The server's word is not enough, nor that the wrap opens: to those who hold a key the next one
    is handed over, so a server and an app that has the key by another grant, or from another app,
    could have it read that memory from then on. What is accepted is held by the owner's word only:
    by then anybody with the key could wrap an app's version under another grant of that app.
    """
    memory_id, number, wrap = given
    record = _newest(state, memory_id)
    if record is None:
        return False
    try:
        header = parse_header(record.header)
        if header.key_number != number:
            return False
        own = wrapping_for(state, KEK.decode(record.kek), {})
        key = unwrap_memory_key(header, record.wrap, own)
        wrapping = grant_wrapping(state, row)
        return was_given(state.keys.keyring, header, key, wrapping, wrap) or any(
            wrap == one.wrap and is_made_under(row, parse_header(one.header), one)
            for one in _made(state, memory_id)
        )
    except (OpenError, FormatError):
        return False


def _not_shown(state: VaultState, grant_id: bytes, found: Mapping[bytes, int]) -> dict[bytes, int]:
    """What the grant is known to hold, or to have held, and the server does not show.

    It is not forgotten: a server could keep a key in use that others know by hiding who may write
    under it. Where the key is another by now, nobody here knows whether the grant has that: it is
    given none, and number 0 says that it may.
    """
    known = state.store.grants.memories(grant_id)
    return {
        memory_id: number if number == _number(state, memory_id) else 0
        for memory_id, number in known.items()
        if memory_id not in found
    }


def _number(state: VaultState, memory_id: bytes) -> int:
    record = _newest(state, memory_id)
    try:
        return 0 if record is None else parse_header(record.header).key_number
    except FormatError:
        return 0


def _made(state: VaultState, memory_id: bytes) -> Iterator[Record]:
    """What the maker of a memory wrote of it, newest first, while nothing of it is accepted.

    What another app wrote behind that says nothing of who holds the memory: a server can take it of
    an app that has no key of it, under any key that this app made up.
    """
    memory = state.store.state(memory_id)
    if memory is None or memory.deleted or memory.current:
        return
    made_by = maker(state, memory)
    for item in memory.proposals[::-1]:
        record = state.store.record(memory_id, item.version) if item.app_id == made_by else None
        if record is not None:
            yield record


def _newest(state: VaultState, memory_id: bytes) -> Record | None:
    """The current record of a memory; where nothing is accepted yet, the newest by its maker."""
    memory = state.store.state(memory_id)
    if memory is None or memory.deleted or not memory.current:
        return next(_made(state, memory_id), None)
    return state.store.record(memory_id, memory.current)
