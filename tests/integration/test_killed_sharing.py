"""A device that is killed while it shares what it has to write again first: several memories.

The app that is given them may read what they say, and nothing of what they said before, or of what
was proposed for them: whatever the device had sent when it was killed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import handover
from coffret.flows.grantfeed import grant_wrapping
from coffret_vault.errors import ConflictError, OpenError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from coffret_vault.records.seal import open_version, unwrap_memory_key
from harness.killed import benched, sweep
from harness.stops import Stops
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from coffret import App, GrantInfo, Vault
    from coffret_vault.formats.memory import Record
    from coffret_vault.primitives.secret import SecretBytes
    from harness.killed import Bench, Summary
    from harness.world import World

MEMORIES = 2
"""Beside one that is there already."""
COUNT = int(os.environ.get("COFFRET_FAULTS", "100"))
STEP = 1 if COUNT >= 1_000 else 6
"""Every so many moments it is killed: at each of them by `make faults`."""
FEW = 3
"""The same, of what is done in fewer moments."""
MOST = 200
ENOUGH = 80
IN_PARTS = patch.object(handover, "_PART", 2)
IN_BATCHES = patch("coffret.flows.batches.BATCH", 2)


class Sharing:
    """Memories that one app holds by a standing grant, and another one asks to read."""

    def __init__(self, bench: Bench) -> None:
        """They are there; nothing was changed."""
        self.bench = bench
        self.app: App = bench.world.app("Second", "https://second.example")
        self.names = [bench.vault.remember(f"m{at} 0", tags=["t"]).id for at in range(MEMORIES)]
        self.names.append(next(m.id for m in bench.vault.list() if m.content == "kept"))
        self.before: list[tuple[str, Record]] = []
        self.sent: list[httpx.Request] = []
        self.request_id = ""
        self._rounds = count(1)

    def prepared(self) -> Callable[[Vault], object]:
        """Change all of them under the keys that they have, have one proposed, and be asked."""
        vault, number = self.bench.vault, next(self._rounds)
        for name in self.names:
            self._keep(name)
            vault.update(name, content=f"{name} {number}")
        self.bench.access.update(self.names[0], content=f"proposed {number}")
        vault.sync()
        self._keep(self.names[0])
        self._is_shared_before()
        self.request_id = ask(self.app, self.bench.owner, tags=["t"])
        vault.requests()
        self.sent.clear()
        request_id, words = self.request_id, self.app.words
        return lambda vault: vault.approve(request_id, words=words)

    def _keep(self, name: str) -> None:
        """What a server may have kept of a memory as it is now, and of what waits for it."""
        store = self.bench.vault._state.store
        memory = store.state(parse_id(name))
        assert memory is not None
        for version in (memory.current, *(item.version for item in memory.proposals)):
            record = store.record(parse_id(name), version)
            assert record is not None
            self.before.append((name, record))

    def granted(self) -> Callable[[Vault], object]:
        """Share all of them, and take all but the last out again: that is to be done."""
        vault = self.bench.vault
        for item in self._grants():
            vault.revoke(item.grant_id)
        self.sent.clear()
        self.request_id = ask(self.app, self.bench.owner, tags=["t"], scopes={"read"})
        vault.requests()
        grant_id = vault.approve(self.request_id, words=self.app.words)
        return lambda vault: vault.narrow(grant_id, self.names[:-1])

    def narrowed(self) -> None:
        """Take them out again: the app reads what is left, and nothing of what is written next."""
        vault = self.bench.vault
        (grant,) = self._grants()
        vault.narrow(grant.grant_id, self.names[:-1])
        self.before.clear()
        for name in self.names[:-1]:
            vault.update(name, content="written after it was taken out")
            self._keep(name)
        found = self.app.access(self.request_id).memories()
        assert [memory.id for memory in found] == self.names[-1:]
        assert self.opened() == []

    def _grants(self) -> list[GrantInfo]:
        """Those of the app that asks, which are in force."""
        mine = self.app.info.app_id
        found = self.bench.vault.grants()
        return [item for item in found if item.app.app_id == mine and item.state == "active"]

    def _is_shared_before(self) -> None:
        """Each of them is under a key that opens what it said before."""
        held = {row.memory_id: parse_header(row.record.header) for row, _ in self._current()}
        for name in self.names:
            header = held[parse_id(name)]
            assert header.key_number < header.version

    def _current(self) -> Iterator[Any]:
        yield from self.bench.vault._state.store.current()

    def finished(self) -> None:
        """Approve again: the app reads all of it as it is now, and can open nothing of before."""
        vault = self.bench.vault
        vault.requests()
        with suppress(ConflictError):  # it was whole already
            vault.approve(self.request_id, words=self.app.words)
        found = {
            memory.id: memory.content for memory in self.app.access(self.request_id).memories()
        }
        assert found == {name: vault.get(name).content for name in self.names}
        assert set(found) == set(self.names)
        assert self.opened() == []
        read = {memory.id: memory.content for memory in self.bench.access.memories()}
        assert {name: read[name] for name in self.names[1:]} == {
            n: found[n] for n in self.names[1:]
        }
        (grant,) = self._grants()
        vault.revoke(grant.grant_id)
        for item in vault.pending():
            vault.reject(item.memory_id)
        self.before.clear()

    def opened(self) -> list[str]:
        """What of before opens with any key that was sent for the app's grants, at any try."""
        state, app_id = self.bench.vault._state, parse_id(self.app.info.app_id)
        rows = [row for row in state.store.grants.all() if row.statement().app_id == app_id]
        wrappings = [grant_wrapping(state, row) for row in rows]
        keys: dict[bytes, list[SecretBytes]] = {}
        headers = {parse_id(name): parse_header(record.header) for name, record in self.before}
        for memory_id, number, wrap in wraps_of(self.sent):
            if (known := headers.get(memory_id)) is None:
                continue
            header = msgspec.structs.replace(known, key_number=number)
            for wrapping in wrappings:
                with suppress(OpenError):
                    key = unwrap_memory_key(header, wrap, wrapping)
                    keys.setdefault(memory_id, []).append(key)
        found = []
        for name, record in self.before:
            assert keys[parse_id(name)]
            for key in keys[parse_id(name)]:
                with suppress(OpenError):
                    found.append(open_version(record.header, record.envelope, key).content)
        return found


def wraps_of(sent: list[httpx.Request]) -> Iterator[tuple[bytes, int, bytes]]:
    """Memory, number and wrap of every key that requests carried for any grant."""
    for request in sent:
        if request.method == "POST" and "msgpack" in request.headers.get("content-type", ""):
            body = msgspec.msgpack.decode(request.read())
            for *_, memory_id, number, wrap in body.get("wraps", []):
                yield memory_id, number, wrap


@pytest.fixture
def sharing(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sharing]:
    """Someone whose device is killed while they share."""
    made = Sharing(benched(world))
    handle = Stops.handle_request

    def noted(stops: Stops, request: httpx.Request) -> httpx.Response:
        made.sent.append(request)
        return handle(stops, request)

    monkeypatch.setattr(Stops, "handle_request", noted)
    yield made
    made.bench.vault.close()


def approved(before: Summary) -> list[Summary]:
    """One grant more, which waits for its keys, and then is in force."""
    return [(*before[:2], tuple(sorted([*before[2], name]))) for name in ("activating", "active")]


def test_what_is_written_again_before_it_is_shared(sharing: Sharing) -> None:
    """Killed at every step, an approval goes on to what was granted, and shares nothing of before.

    Several memories get fresh keys first, in several batches, and are handed over in several parts.
    """
    with IN_PARTS, IN_BATCHES:
        steps = range(COUNT % STEP, MOST, STEP)
        moments = sweep(sharing.bench, sharing.prepared, approved, sharing.finished, steps)
    assert moments > ENOUGH


def test_what_is_taken_out_of_a_grant(sharing: Sharing) -> None:
    """Killed at every step, memories that are taken out go on to be, and no key comes after them.

    Each has its fresh key in a batch of its own, so that some of them are out, and others not yet.
    """
    with patch("coffret.flows.batches.BATCH", 1):
        steps = range(COUNT % FEW, MOST, 1 if STEP == 1 else FEW)
        moments = sweep(sharing.bench, sharing.granted, lambda _: [], sharing.narrowed, steps)
    assert moments > FEW


def test_a_device_that_writes_nothing_again_shares_what_was_before(sharing: Sharing) -> None:
    """Control: where keys are handed over as they are, they open what the memories said before."""
    act = sharing.prepared()
    with patch.object(handover, "_unfit", lambda *_: {}):
        act(sharing.bench.vault)
    assert sharing.opened() != []
