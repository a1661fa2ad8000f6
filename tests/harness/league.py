"""Apps that run their own code, alone or in league with a server that looks away."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec

from coffret.flows import access as access_flows
from coffret_server.wire import records as server_records
from coffret_vault.errors import OpenError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.author import Author
from coffret_vault.formats.entry import Entry
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.records.memory import Fields
from coffret_vault.records.seal import Stamp, make_record, open_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret import Access, Vault
    from coffret_vault.formats.memory import Record
    from coffret_vault.primitives.secret import SecretBytes

HELD = "coffret_server.data.writing._check_held"
SCOPES = "coffret_server.data.writing._check_scopes"
TIMES = "coffret_server.data.writing._check_times"


@contextmanager
def looking_away(*checks: str) -> Iterator[None]:
    """A server in this process that leaves out these checks of what apps write."""
    with ExitStack() as stack:
        for check in checks:
            stack.enter_context(patch(check, _nothing if check == SCOPES else _nothing_later))
        yield


def _nothing(*_: object) -> None:
    """Check nothing."""


async def _nothing_later(*_: object) -> None:
    """Check nothing."""


@contextmanager
def serving_whatever_the_state() -> Iterator[None]:
    """A server that takes every grant for active."""
    with patch("coffret_server.grants.state_at", return_value="active"):
        yield


@contextmanager
def believing_the_entry(
    app_id: bytes, memory: bytes | None = None, account: bytes | None = None
) -> Iterator[None]:
    """A server that takes records for this app's, of this memory, whatever their headers say."""
    real = server_records.parse_header

    def lax(raw: bytes) -> server_records.Header:
        header = real(raw)
        return msgspec.structs.replace(
            header,
            author=app_id,
            memory=memory or header.memory,
            account=account or header.account,
        )

    with patch("coffret_server.wire.records.parse_header", lax):
        yield


@dataclass
class Pen:
    """Writes as an app does, but with what its developer chooses: key, time, version, author."""

    access: Access
    key: SecretBytes = field(default_factory=lambda: generate_key(os.urandom), repr=False)

    @property
    def app_id(self) -> bytes:
        """The app's id."""
        return self.access._state.manifest.app_id

    def now(self) -> int:
        """The time by the world's clock."""
        return self.access._state.ambient.now()

    def put(
        self,
        content: str,
        *,
        memory_id: str | None = None,
        version: int = 1,
        time: int | None = None,
        author: Author | None = None,
        header_id: bytes | None = None,
        account_id: bytes | None = None,
        created: int = 0,
        number: int = 1,
    ) -> str:
        """Write a version under this pen's key, and give the memory's id.

        ``author``, ``header_id`` and ``account_id`` are what the header says; the entry says the
        truth. ``created`` and the key's ``number`` are in the header only.
        """
        state, held = self.access._state, self.access._held
        identifier = state.ambient.new_id() if memory_id is None else parse_id(memory_id)
        moment = self.now() if time is None else time
        by = Author(self.app_id)
        named = header_id or identifier
        account = account_id or held.grant.account_id
        stamp = Stamp(account, named, version, number, author or by, created, moment)
        wrapping = access_flows._wrapping(held)
        record = make_record(stamp, Fields(content=content), self.key, wrapping, random=os.urandom)
        entry = Entry(
            held.grant.account_id, kinds.PUT, identifier, version, record.digest, by, moment
        )
        self._submit(entry, (record,))
        return id_text(identifier)

    def delete(self, memory_id: str, version: int, digest: bytes, time: int | None = None) -> None:
        """Propose a deletion as this version, naming this digest."""
        held = self.access._held
        moment = self.now() if time is None else time
        entry = Entry(
            held.grant.account_id,
            kinds.DELETE,
            parse_id(memory_id),
            version,
            digest,
            Author(self.app_id),
            moment,
        )
        self._submit(entry, ())

    def _submit(self, entry: Entry, records: tuple[Record, ...]) -> None:
        flow = access_flows.submit(self.access._state, self.access._held, (entry,), records)
        self.access._driver.run(flow)

    def opens(self, vault: Vault, memory_id: str) -> bool:
        """Whether this pen's key opens the current version, as the server holds it."""
        store, identifier = vault._state.store, parse_id(memory_id)
        state = store.state(identifier)
        assert state is not None
        record = store.record(identifier, state.current)
        assert record is not None
        try:
            open_version(record.header, record.envelope, self.key)
        except OpenError:
            return False
        return True
