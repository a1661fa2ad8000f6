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

    from coffret import App, Vault
    from coffret_vault.formats.memory import Record
    from coffret_vault.primitives.secret import SecretBytes
    from harness.killed import Bench, Summary
    from harness.world import World

MEMORIES = 2
"""Beside one that is there already."""
COUNT = int(os.environ.get("COFFRET_FAULTS", "100"))
STEP = 1 if COUNT >= 1_000 else 6
"""Every so many moments it is killed: at each of them by `make faults`."""
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
        (grant,) = [
            item
            for item in vault.grants()
            if item.app.app_id == self.app.info.app_id and item.state == "active"
        ]
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
        for memory_id, number, wrap in wraps_of(self.sent):
            (record, *_) = (one for name, one in self.before if parse_id(name) == memory_id)
            header = msgspec.structs.replace(parse_header(record.header), key_number=number)
            for wrapping in wrappings:
                with suppress(OpenError):
                    keys.setdefault(memory_id, []).append(unwrap_memory_key(header, wrap, wrapping))
        assert keys.keys() == {parse_id(name) for name in self.names}
        found = []
        for name, record in self.before:
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


def test_a_device_that_writes_nothing_again_shares_what_was_before(sharing: Sharing) -> None:
    """Control: where keys are handed over as they are, they open what the memories said before."""
    act = sharing.prepared()
    with patch.object(handover, "_unfit", lambda *_: {}):
        act(sharing.bench.vault)
    assert sharing.opened() != []
