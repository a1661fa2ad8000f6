"""What is counted of an account is what is stored, whatever mix of changes came before."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import pytest

from coffret_server import held
from coffret_server.storage import Tx
from coffret_server.wire.log import parse_entry
from coffret_server.wire.records import parse_header
from server import forge
from server.changes import Change, make, stage, wraps_of
from server.stand import Stand

pytestmark = pytest.mark.asyncio
STEPS = 90
SEEDS = range(2)
TAGS = ("a", "b", "travel")
ACCEPTED, PENDING = 0, 1


@dataclass
class Here:
    """A memory as the server has it, and as a batch that is being made up leaves it."""

    memory: UUID
    newest: int
    digest: bytes
    key_number: int
    has_current: bool
    is_deleted: bool
    pending: dict[int, tuple[str, bytes]] = field(default_factory=dict)


async def _query(stand: Stand, sql: str, *values: Any) -> list[Any]:
    async def job(tx: Tx) -> list[Any]:
        return list(await tx.all(sql, *values))

    return list(await stand.app.state.services.storage.query(job))


def _entry(leaf: bytes) -> Any:
    raw: bytes = msgspec.msgpack.decode(leaf)
    try:
        return parse_entry(raw)
    except Exception:  # noqa: BLE001 - an app's, which ends with its signature
        return parse_entry(raw[:-64])


async def _memories(stand: Stand, owner: forge.Owner) -> list[Here]:
    found = {
        row[0]: Here(UUID(bytes=row[0]), row[1], row[2], row[3], row[4] is not None, bool(row[5]))
        for row in await _query(
            stand,
            "SELECT memory_id, newest_version, newest_digest, key_number, current_version, deleted"
            " FROM memories WHERE account_id = ? ORDER BY memory_id",
            owner.account.bytes,
        )
    }
    for subject, version, kind, leaf in await _query(
        stand,
        "SELECT subject, version, kind, leaf FROM entries WHERE account_id = ? AND status = 1",
        owner.account.bytes,
    ):
        found[subject].pending[version] = kind, _entry(leaf).digest
    return list(found.values())


class History:
    """A random history of one owner and the apps of theirs."""

    def __init__(self, stand: Stand, seed: int) -> None:
        self.stand = stand
        self.chance = random.Random(seed)  # noqa: S311 - a test's
        self.grants: dict[UUID, tuple[forge.App, str]] = {}
        self.done: Counter[tuple[str, bool]] = Counter()

    async def begin(self) -> None:
        """An owner and an app with a grant."""
        self.owner = await self.stand.sign_up()
        self.app = await self.stand.new_app()
        await self.grant()

    async def step(self) -> None:
        """Something that an owner or an app does, which may be refused."""
        steps: list[tuple[int, Any]] = [
            (10, self.own),
            (8, self.write),
            (2, self.share),
            (1, self.grant),
            (1, self.revoke),
            (1, self.change),
        ]
        weights, calls = zip(*steps, strict=True)
        call = self.chance.choices(calls, weights)[0]
        answer = await call()
        self.done[call.__name__, answer is None or answer.is_success] += 1

    async def own(self) -> Any:
        """An append of a few entries, each on top of those before it."""
        memories = await _memories(self.stand, self.owner)
        leaves, made, accepts, unwraps = [], [], [], []
        for _ in range(self.chance.choice((1, 1, 2, 3, 5))):
            here = self.chance.choice(memories) if memories else None
            kind = self.chance.choice(("new", "put", "delete", "accept", "reject", "reject"))
            if here is None or kind == "new":
                here = Here(forge.new_id(), 0, b"", 0, has_current=False, is_deleted=False)
                memories.append(here)
                kind = "put"
            version = here.newest + 1
            if kind in {"accept", "reject"}:
                if not here.pending:
                    continue
                version = self.chance.choice(list(here.pending))
                what, digest = here.pending.pop(version)
                if kind == "accept" and what == "put" and self.chance.random() < 0.8:
                    kek = b"\x00" + forge.u64(self.owner.generation)
                    accepts.append([here.memory, version, kek, forge.wrapped()])
            elif kind == "put":
                item = self._record(here, version)
                made.append(list(item))
                here.newest, here.digest = version, forge.digest_of(item)
                digest = here.digest
            else:
                here.newest, digest = version, here.digest
            leaves.append(self.owner.entry(kind, here.memory, version, digest))
            if self.grants and self.chance.random() < 0.1:
                unwraps.append([self.chance.choice(list(self.grants)), here.memory])
        if not leaves:
            return None
        append = self.owner.append(*leaves, records=made, accepts=accepts, unwraps=unwraps)
        return await self.stand.append(self.owner, append)

    def _record(self, here: Here, version: int) -> forge.Record:
        tags = tuple(self.chance.sample(TAGS, self.chance.randrange(len(TAGS) + 1)))
        number = max(1, here.key_number + self.chance.choice((0, 0, 1)))
        here.key_number = number
        head = forge.header(self.owner.account, here.memory, version, key_number=number, tags=tags)
        size = self.chance.choice((256, 512, 1024))
        return forge.record(head, kek=b"\x00" + forge.u64(self.owner.generation), size=size)

    def _active(self) -> UUID | None:
        found = [grant for grant, (_, state) in self.grants.items() if state == "active"]
        return self.chance.choice(found) if found else None

    async def write(self) -> Any:
        """An app's versions, or deletions, of what it made and of what it was given."""
        grant = self._active()
        if grant is None:
            return await self.grant()
        app = self.grants[grant][0]
        memories = await _memories(self.stand, self.owner)
        leaves, made = [], []
        is_deletion = self.chance.random() < 0.2
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            here = self.chance.choice(memories) if memories else None
            if is_deletion and here is not None:
                here.newest += 1
                leaf = app.leaf(self.owner.account, "delete", here.memory, here.newest, here.digest)
                leaves.append(leaf)
                continue
            if here is None or self.chance.random() < 0.4:
                here = Here(forge.new_id(), 0, b"", 1, has_current=False, is_deleted=False)
                memories.append(here)
            here.newest += 1
            tags = tuple(self.chance.sample(TAGS, self.chance.randrange(len(TAGS) + 1)))
            fields = {"key_number": here.key_number, "tags": tags}
            item = app.memory(self.owner.account, grant, here.memory, here.newest, **fields)
            here.digest = forge.digest_of(item)
            made.append(list(item))
            leaves.append(
                app.leaf(self.owner.account, "put", here.memory, here.newest, here.digest)
            )
        body = {"records": made, "leaves": leaves}
        return await self.stand.write(app, grant, body, self.owner)

    async def share(self) -> Any:
        """Keys of memories for a grant."""
        grant, memories = self._active(), await _memories(self.stand, self.owner)
        live = [here for here in memories if not here.is_deleted]
        if grant is None or not live:
            return None
        some = self.chance.sample(live, min(len(live), 3))
        wraps = [[here.memory, here.key_number, forge.wrapped()] for here in some]
        path = f"/grants/{grant}/wraps"
        return await self.stand.send("POST", path, {"wraps": wraps}, self.owner.token)

    async def grant(self) -> Any:
        """One more grant, of the same app."""
        self.stand.clock.advance(86_400 // 10)  # an app asks so often a day
        await self.stand.log_in(self.owner)
        await self.stand.authorize(self.app)
        self.grants[await self.stand.grant(self.owner, self.app)] = self.app, "active"

    async def revoke(self) -> Any:
        """The end of a grant."""
        grant = self._active()
        if grant is None:
            return None
        answer = await self.stand.set_state(self.owner, grant, "revoked", 2)
        assert answer.is_success, answer.text
        self.grants[grant] = self.grants[grant][0], "revoked"
        return answer

    async def change(self) -> Any:
        """New keys of the owner's, with all that is wrapped for them."""
        change = Change(self.owner)
        states = {grant: state for grant, (_, state) in self.grants.items()}
        change.grants = {
            grant: (2, self.owner.statements[grant])
            for grant, state in states.items()
            if state == "active"
        }
        for memory, number, _, _ in await wraps_of(self.stand, self.owner):
            wrap = UUID(bytes=memory), number, forge.wrapped()
            assert (await stage(self.stand, change, wrap)).is_success
        body = change.body()
        body["grants"] = [
            {"grant_id": str(grant), "owner_wrap": forge.b64(forge.wrapped())} for grant in states
        ]
        answer = await make(self.stand, change, body)
        assert answer.is_success, answer.text
        change.after.commit(change.append())
        self.owner = change.after
        self.grants = {grant: (app, "revoked") for grant, (app, _) in self.grants.items()}
        await self.stand.log_in(self.owner)
        return answer


async def _check(stand: Stand, owner: forge.Owner) -> None:
    """Count everything anew."""
    account = owner.account.bytes
    entries = await _query(
        stand,
        "SELECT e.seq, e.kind, e.subject, e.version, e.status, e.grant_id, e.record_seq, e.record,"
        " e.key_number, m.deleted, m.current_seq, m.shown_seq, m.list_seq, m.key_number"
        " FROM entries e LEFT JOIN memories m"
        " ON m.account_id = e.account_id AND m.memory_id = e.subject"
        " WHERE e.account_id = ? ORDER BY e.seq",
        account,
    )
    ((size, count, used),) = await _query(
        stand, "SELECT size, memories, bytes FROM logs WHERE account_id = ?", account
    )
    assert size == len(entries) == owner.tree.size
    ((keys,),) = await _query(
        stand, "SELECT COUNT(*) FROM grant_wraps WHERE account_id = ?", account
    )
    said = await _query(
        stand,
        "SELECT LENGTH(g.statement) + LENGTH(g.sealed_key) + LENGTH(r.request) FROM grants g"
        " JOIN access_requests r ON r.request_id = g.request_id WHERE g.account_id = ?",
        account,
    )
    records = sum(len(row[7] or b"") for row in entries)
    assert used == records + held.SIZE * keys + sum(row[0] for row in said)
    listed = {row[2]: row[12] for row in entries if row[12] is not None}
    assert count == len(listed)
    waits: dict[bytes, tuple[int, int]] = {}
    for row in entries:
        seq, kind, _, _, status, grant, beside, record, _, deleted, current, shows, *_ = row
        assert record is None or (not deleted and status in {ACCEPTED, PENDING}), kind
        if status == PENDING and not deleted:
            before = waits.get(grant, (0, 0))
            waits[grant] = before[0] + 1, before[1] + len(record or b"")
            assert beside == (seq if kind == "put" else None)
        elif beside is not None:
            assert (seq, beside) == (shows, current), "the record in force stands in one place"
    kept = await _query(
        stand, "SELECT grant_id, entries, bytes FROM waiting WHERE account_id = ?", account
    )
    assert {row[0]: (row[1], row[2]) for row in kept if row[1] or row[2]} == waits
    headers = {row[0]: row[7] for row in entries if row[7] is not None}
    tags = {
        (subject, tag)
        for subject, seq in listed.items()
        for tag in parse_header(msgspec.msgpack.decode(headers[seq])[0]).tags
    }
    found = await _query(
        stand, "SELECT memory_id, tag FROM memory_tags WHERE account_id = ?", account
    )
    assert {(row[0], row[1]) for row in found} == tags
    alive = {row[2]: row[13] for row in entries if row[9] == 0}
    given = await _query(
        stand,
        "SELECT grant_id, memory_id, key_number FROM grant_wraps WHERE account_id = ?",
        account,
    )
    assert all(number <= alive[memory] for _, memory, number in given)
    assert len({(grant, memory) for grant, memory, _ in given}) == len(given)


@pytest.mark.parametrize("seed", SEEDS)
async def test_counts_are_of_what_is_stored(stand: Stand, seed: int) -> None:
    """Usage, what waits, tags, what the feed shows and keys of grants fit after every change.

    Refused changes are among them, and batches in which one entry builds on another.
    """
    history = History(stand, seed)
    await history.begin()
    for _ in range(STEPS):
        await history.step()
        await _check(stand, history.owner)
    assert all(history.done[call, True] for call in ("own", "write", "share", "change"))
