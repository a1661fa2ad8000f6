"""Bring this device up to date: read the log, verify it, take the records it names.

docs/spec/5-log.md, "Rules a device keeps". The log is verified before anything of it is stored, and
each page of records is a transaction, so an interrupted sync goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import msgspec

from coffret.flows.arriving import check_records, let_go_of_unopened
from coffret.flows.evidence import Shown, testify
from coffret.flows.grantfeed import Rows, check_app_leaf, follow_grants
from coffret.flows.http import MSGPACK, Request, decode_msgpack, succeed
from coffret.flows.lineage import check_generation, follow_lineage
from coffret.flows.reread import check_kept_tail, kept_leaves, replayed, with_nothing_known
from coffret.flows.session import send
from coffret.flows.settled import follow_settings
from coffret.flows.slots import follow_slots
from coffret.flows.state import account_meta
from coffret.flows.wraps import follow_wraps, wraps_may_have_moved
from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import (
    FormatError,
    StoreAlteredError,
    StoreMovedError,
    TrustError,
)
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.memory import Record
from coffret_vault.log.verify import Verified, Verifier
from coffret_vault.store import StoredRecord, Wanted, log_was_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState
    from coffret_vault.log.verify import Position

    Progress = Callable[[str, int, int], None]
    """Called with what is being done, how much of it is done, and how much there is."""
    Missing = dict[tuple[bytes, int], Wanted]
    _Taken = tuple[int, int, "_Lacking | None"]

PAGE = 2_000
_LEAVES = 10_000
_ROUNDS = 16
_MOST_TAIL = 100_000
"""Entries by apps that no head covers yet. An honest server takes a tenth of them, and a device
covers a hundredth (coffret.flows.covering): more is a server that hides the owner's heads."""


_READ_AGAIN = (
    "{} were changed in this device's folder, not by this vault; nothing was done by them, and "
    "they were read again from the log"
)
_WHO_WRITES = "See who can write to that folder."


class SyncReport(msgspec.Struct, frozen=True):
    """What a sync brought: how many log entries and records were new.

    ``unwritten`` are memories which an app may write to under a key that others know, because they
    cannot be written again under a fresh one. There are none unless something is wrong with them,
    or the account is full.
    ``unkept`` counts the changes that waited on this device and were given up: ``Vault.unkept()``.
    """

    entries: int
    records: int
    unwritten: tuple[str, ...] = ()
    unkept: int = 0


class _Lacking(NamedTuple):
    """What is not here of a log that stood so: from which entry on, and which versions."""

    stood: bytes
    at: int
    wanted: Missing


class _Page(msgspec.Struct, frozen=True, array_like=True):
    size: int
    head: str
    items: list[tuple[bytes, Record | None]]


class _Leaves(msgspec.Struct, frozen=True):
    size: int
    head: str
    leaves: list[bytes]


def silent(_what: str, _done: int, _of: int) -> None:
    """Show no progress."""


def sync(state: VaultState, progress: Progress = silent) -> Flow[SyncReport]:
    """Read, verify and keep everything that is new.

    Raises:
        TrustError: the server dropped, changed, reordered, forged or rolled back something. Nothing
            of it is stored.
        NetworkError: the server went away; what was verified so far is kept.
        StoreAlteredError: what this device knew of grants, settings or memories was not its own. It
            was read again from the log, all of it, and everything else is up to date.
    """
    entries, records, began = 0, 0, state.ambient.now()
    brought: set[tuple[bytes, int]] = set()  # some twice, where another process moved the log on
    lost, altered = state.store.is_lost(), state.store.altered()
    owed: frozenset[tuple[bytes, int]] = frozenset()
    for at in range(_ROUNDS):
        aside, is_ours = lost and at == 0, at > 0 or not altered
        found, taken, missing = yield from _next(state, progress, aside=aside, is_ours=is_ours)
        lacking = missing or _lacking(state)
        _nothing_withheld(owed & lacking.wanted.keys())  # asked for, and the log goes on with them
        fetched, owed = yield from _fetch_records(state, lacking, progress)
        entries, records, brought = entries + found, records + taken, brought | fetched
        stands = state.store.stand() == lacking.stood  # else another process moved it on meanwhile
        if stands and not found and not owed:
            break
    yield from follow_wraps(state)
    state.looked = began
    if altered:
        raise StoreAlteredError(_READ_AGAIN.format(altered), hint=_WHO_WRITES)
    return SyncReport(entries, records + len(brought))


def _next(state: VaultState, progress: Progress, *, aside: bool, is_ours: bool) -> Flow[_Taken]:
    """Ask for what follows, and take it.

    Where another process of this device took something meanwhile, the answer is to a question of
    before: it is thrown away, and asked for again. What a server answers moves nothing here unless
    it is verified, so it cannot have itself asked again for being wrong.

    Raises:
        StoreMovedError: others were quicker again and again.
    """
    for _ in range(_ROUNDS):
        if state.entering is None:  # else it has another account than the store, until it is kept
            state.refresh()
        asked = state.position()
        page = yield from _page(state, asked.size)
        try:
            taking = _take_or_testify(state, asked, page, progress, is_ours=is_ours)
            return (yield from with_nothing_known(state, taking) if aside else taking)
        except StoreMovedError:
            continue
    raise StoreMovedError


def _stands(state: VaultState, asked: Position) -> bool:
    """Whether nothing was taken into the store since it stood there, not even a head."""
    now = state.position()
    return now.size == asked.size and now.head == asked.head


def _page(state: VaultState, at: int, end: int = 0) -> Flow[_Page]:
    """A page of the feed; the next one, if there is one before ``end``, is fetched meanwhile."""
    following = _asking(at + PAGE) if at + PAGE < end else None
    request = msgspec.structs.replace(_asking(at), ahead=following)
    return decode_msgpack(succeed((yield from send(state, request))), _Page)


def _asking(at: int) -> Request:
    params = (("from", str(at)), ("limit", str(PAGE)))
    return Request("GET", "/sync", media=MSGPACK, params=params)


def _take_or_testify(
    state: VaultState, asked: Position, page: _Page, progress: Progress, *, is_ours: bool
) -> Flow[_Taken]:
    """As :func:`_take_entries`; a log that contradicts what is held here leaves evidence.

    What is held here and is not ours can be made to contradict any server: then two heads that the
    owner signed say something still, and this device's own record nothing.

    Raises:
        StoreMovedError: what is held here is not what it was when the page was asked for.
        StoreAlteredError: what is not ours does not go together with what the server shows.
    """
    shown = Shown()
    shown.take(page.size, page.head, (leaf for leaf, _ in page.items))
    if not _stands(state, asked):
        raise StoreMovedError
    try:
        return (yield from _take_entries(state, asked, page, progress, shown))
    except (TrustError, FormatError, StoreAlteredError) as error:
        if not _stands(state, asked):
            raise StoreMovedError from None
        if not isinstance(error, StoreAlteredError):
            yield from testify(state, error, shown, proofs_only=not is_ours)
        if isinstance(error, TrustError) and not (is_ours or error.evidence):
            raise log_was_changed() from None
        raise


def _take_entries(
    state: VaultState, before: Position, page: _Page, progress: Progress, shown: Shown
) -> Flow[_Taken]:
    """Verify and keep the entries behind our position; the first page's records with them.

    Returns how many entries and records were new, and where the store was empty what is missing
    now: nobody has to look for it there.
    """
    rows, again = Rows(), state.store.known.aside
    if page.size < before.size:
        _refuse("the log is shorter than one that this device has seen")
    kept = kept_leaves(state) if again else []
    fresh, behind = not kept and state.store.is_empty(), before.size + len(page.items)
    stood = replayed(kept)
    load = stood.get if again else _nothing if fresh else state.store.state
    verifier = Verifier(before, load, lambda leaf: check_app_leaf(state, rows, leaf))
    parsed = [verifier.take(leaf) for leaf, _ in page.items]
    size, head = page.size, page.head
    check_generation(state, parsed)
    _check_size(state, size, head)
    while verifier.size < size:
        more = yield from _leaves(state, verifier.size, size, behind)
        _check_size(state, more.size, more.head)
        parsed += [verifier.take(leaf) for leaf in more.leaves]
        size, head = more.size, more.head
        shown.take(size, head, more.leaves)
        with state.store.known.not_aside():  # who is told may look at the vault
            progress("log", verifier.size, size)
    indexed = [*kept, *enumerate(parsed, before.size)]
    earlier = yield from follow_lineage(state, indexed)
    account = msgspec.structs.replace(state.account, earlier=earlier)
    rows.update((yield from follow_grants(state, account, indexed)))
    verified = verifier.finish(parse_head(head))
    if again:
        check_kept_tail(state, rows, kept[verified.position.frontier.size :])
        verified = msgspec.structs.replace(verified, states=stood | verified.states)
    settings = follow_settings(state, (leaf for _, leaf in indexed))
    missing = _named(verified)
    taken = list(check_records(state, missing, page.items, rows))
    taken += _brought_along(state, missing, taken)
    if not fresh:
        let_go_of_unopened(state, missing, taken, rows)
    slots, stand = (yield from follow_slots(state, parsed)), b""
    if again or verified.leaves or verified.position.head != before.head:
        meta = wraps_may_have_moved(state) | settings
        meta |= slots.meta(account) if slots else account_meta(account)
        notes = state.entering.notes if state.entering else dict
        stand = state.store.commit(verified, taken, rows.values(), meta=lambda: {**meta, **notes()})
        state.entering = None
        state.reload()
    for row in taken:
        missing.pop((row.memory_id, row.version), None)
    lacking = _Lacking(stand, behind, missing) if fresh and missing else None
    return len(verified.leaves), len(taken), lacking


def _brought_along(
    state: VaultState, named: Missing, taken: Iterable[StoredRecord]
) -> list[StoredRecord]:
    """What was here under the keys of before and counts still, with the wraps of now.

    Raises:
        TrustError: the server shows no such wrap of some of it, so that no key would open that.
    """
    if state.entering is None:
        return []
    shown = {(row.memory_id, row.version) for row in taken}
    if state.entering.withheld & named.keys() - shown:
        _refuse("the server withholds the keys of memories that are on this device")
    return [row for row in state.entering.records if (row.memory_id, row.version) in named]


def _check_size(state: VaultState, size: int, note: str) -> None:
    """Refuse a log that is longer than the owner signed, but for a tail, before it is read."""
    head = verify_head(state.card.signing_public, parse_head(note))
    if size > head.size + _MOST_TAIL:
        _refuse("the server's log is longer than the owner signed")


def _nothing(_memory_id: bytes) -> None:
    """The state of every memory in a store that has none."""


def _leaves(state: VaultState, at: int, end: int, behind: int) -> Flow[_Leaves]:
    """Leaves of the log; the next ones, or the records after them, are fetched meanwhile."""
    following = _asking_log(at + _LEAVES) if at + _LEAVES < end else _asking(behind)
    request = msgspec.structs.replace(_asking_log(at), ahead=following)
    more = decode_msgpack(succeed((yield from send(state, request))), _Leaves)
    if not more.leaves:
        _refuse("the server's log is shorter than it says")
    return more


def _asking_log(at: int) -> Request:
    params = (("from", str(at)), ("limit", str(_LEAVES)))
    return Request("GET", "/log", media=MSGPACK, params=params)


def _named(verified: Verified) -> Missing:
    """The versions that are to be kept after these entries, by memory and version."""
    wanted = {}
    for memory_id, memory in verified.states.items():
        for item in memory.pending:
            if not item.deletion:
                named = Wanted(item.digest, current=False, author=item.app_id)
                wanted[memory_id, item.version] = named
        if memory.current:
            named = Wanted(memory.digest, current=True, author=memory.author)
            wanted[memory_id, memory.current] = named
    return wanted


def _lacking(state: VaultState) -> _Lacking:
    """What is not here of the log as it stands."""
    stood = state.store.stand()
    return _Lacking(stood, *state.store.wanted())


def _fetch_records(
    state: VaultState, lacking: _Lacking, progress: Progress
) -> Flow[tuple[set[tuple[bytes, int]], frozenset[tuple[bytes, int]]]]:
    """Fetch the records that verified entries name and that are not here yet, page by page.

    Each page is written while the next is opened.

    Returns:
        Which came, and which of the versions that count no page showed: a server owes them, unless
        the log has gone on from there.
    """
    (_, at, wanted), now = lacking, lacking
    owed = {key for key, item in wanted.items() if item.current}
    size, came = state.position().size, set[tuple[bytes, int]]()
    while wanted and at < size:
        page = yield from _page(state, at, size)
        if not page.items:
            break
        now, checked = _checked(state, now, page)
        state.store.put_records_soon(checked, now.stood)
        came.update((row.memory_id, row.version) for row in checked)
        at += len(page.items)
        progress("records", min(at, size), size)
    return came, frozenset(owed - came)


def _checked(
    state: VaultState, lacking: _Lacking, page: _Page
) -> tuple[_Lacking, list[StoredRecord]]:
    """The records of a page that are not here, by how the log stands here now.

    Where another process of this device moved that on meanwhile, the page is an answer to a
    question of before: it may show what was deleted since, or keys that were changed.

    Raises:
        TrustError: one is not the record that the log names, or does not open.
        StoreMovedError: others were quicker again and again.
    """
    for _ in range(_ROUNDS):
        try:
            checked = list(check_records(state, lacking.wanted, page.items, {}))
        except TrustError:
            if state.store.stand() == lacking.stood:
                raise
        else:
            if state.store.stand() == lacking.stood:
                return lacking, checked
        lacking = _lacking(state)
    raise StoreMovedError


def _nothing_withheld(owed: frozenset[tuple[bytes, int]]) -> None:
    if owed:
        _refuse("the server withholds memories that the log says it has")


def _refuse(message: str) -> NoReturn:
    raise TrustError(message)
