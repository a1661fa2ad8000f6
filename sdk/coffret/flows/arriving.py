"""Records as a server shows them: each is compared with the log and opened before it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.grantfeed import wrapping_for
from coffret_vault.errors import FormatError, OpenError, TrustError
from coffret_vault.formats.memory import KEK, Header, Peek, Record, parse_header, peek_header
from coffret_vault.records.seal import check_opens, open_version, unwrap_memory_key
from coffret_vault.store import StoredRecord, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from coffret.flows.grantfeed import Rows
    from coffret.flows.state import VaultState
    from coffret_vault.records.seal import Wrapping


def check_records(
    state: VaultState,
    wanted: Mapping[tuple[bytes, int], Wanted],
    items: Iterable[tuple[bytes, Record | None]],
    rows: Rows,
) -> Iterator[StoredRecord]:
    """The records among ``items`` that are wanted, each compared with its digest and opened.

    Raises:
        TrustError: a record is not the one that the log names, or what the owner sealed or
            accepted does not open. What an app sealed badly is kept, to be shown and rejected.
    """
    opener = _Opener(state, rows)
    for _, record in items:
        if record is None:
            continue
        header = _header(record)
        named = None if header is None else wanted.get((header.memory_id, header.version))
        if header is None or named is None:
            continue
        if header.account_id != state.account_id or record.digest != named.digest:
            message = "a memory is not the one that the log names"
            raise TrustError(message)
        by_author = _author(header) == named.author
        opens = by_author and opener.opens(header, record)
        if not opens and (named.current or not named.author):
            message = "a memory that the owner wrote or accepted does not open"
            raise TrustError(message)
        if by_author:
            yield StoredRecord(header.memory_id, header.version, record)


def _header(record: Record) -> Header | Peek | None:
    """A record's header; None where it is none, which no entry can make it."""
    try:
        return peek_header(record.header) or parse_header(record.header)
    except FormatError:
        return None


def _author(header: Header | Peek) -> bytes:
    """The app that a header names as its author; empty for the owner."""
    return b"" if isinstance(header, Peek) else header.author.app_id or b""


class _Opener:
    """Opens records one after another; the keys that wrap memory keys are looked up once."""

    def __init__(self, state: VaultState, rows: Rows) -> None:
        self._state = state
        self._rows = rows
        self._wrappings: dict[bytes, Wrapping] = {}

    def opens(self, header: Header | Peek, record: Record) -> bool:
        """Whether a record whose digest is the log's opens.

        What is inside of an owner's record was checked by the device that sealed it; what an app
        sealed is read whole.
        """
        try:
            key = unwrap_memory_key(header, record.wrap, self._wrapping(record.kek))
            if isinstance(header, Peek):
                check_opens(record.header, record.envelope, key)
            else:
                open_version(record.header, record.envelope, key)
        except (OpenError, FormatError):
            return False
        return True

    def _wrapping(self, kek: bytes) -> Wrapping:
        known = self._wrappings.get(kek)
        if known is None:
            known = wrapping_for(self._state, KEK.decode(kek), self._rows)
            self._wrappings[kek] = known
        return known


def let_go_of_unopened(
    state: VaultState,
    named: Mapping[tuple[bytes, int], Wanted],
    taken: Iterable[StoredRecord],
    rows: Rows,
) -> None:
    """Take away what waited here and does not open, where the owner has accepted it meanwhile.

    What an app sealed may be kept unopened while it waits; what is accepted opens. So its wrap came
    wrong from the server, or was changed here, and it is fetched like what never came.
    """
    came = {(row.memory_id, row.version) for row in taken}
    wanted = {key: item for key, item in named.items() if item.current and item.author}
    opener = _Opener(state, rows)
    for memory_id, version in wanted.keys() - came:
        # What is known of it here may not be ours: what the log says by now counts.
        record = state.store.lying(memory_id, version)
        header = None if record is None else _header(record)
        if record is None or record.digest != wanted[memory_id, version].digest:
            continue  # it is not here, or is found out by whoever reads it
        if header is None or not opener.opens(header, record):
            state.store.take_away([StoredRecord(memory_id, version, record)])
