"""Whatever the server takes from an app, a device can read: nothing an app writes stops a sync.

Writings that are nearly right are sent to a real server; then its whole log is replayed by the code
that devices verify it with.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from coffret_vault.envelope.signature import verify_statement
from coffret_vault.errors import FormatError, TrustError
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.entry import Leaf
from coffret_vault.formats.memory import HEADER, Record, peek_header
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verifier
from server import forge
from server.stand import Stand

if TYPE_CHECKING:
    from coffret_vault.log.replay import MemoryState

pytestmark = pytest.mark.asyncio
ATTEMPTS = 250
REFUSALS = {400, 403, 404, 409, 413, 422}
DAY = 86_400_000_000
NUMBER = 8
Fields = list[bytes]
KEK = b"\x00" + forge.u64(1)


def split(data: bytes) -> tuple[str, Fields]:
    """The purpose and the fields, the suite first, of a PAE made here."""
    parts, at = [], 0
    size = int.from_bytes(data[:8], "big")
    label, at = data[8 : 8 + size].decode(), 16 + size
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "big")
        parts.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return label.removeprefix("coffret/v1/"), parts


def spoil(rng: random.Random, data: bytes) -> bytes:
    """A PAE with one of its fields changed in some way."""
    purpose, fields = split(data)
    index = rng.choice((*range(len(fields)), *_numbers(fields) * 3))
    field = fields[index]
    likely = _number if len(field) == NUMBER else _flip
    fields[index] = rng.choice((likely, likely, *SPOILERS))(rng, field)
    return forge.pae(purpose, *fields[1:], suite=fields[0])


def _numbers(fields: Fields) -> list[int]:
    """Where the versions, key numbers and times are: what is wrong there may look right."""
    return [index for index, field in enumerate(fields) if len(field) == NUMBER]


def _flip(rng: random.Random, field: bytes) -> bytes:
    changed = bytearray(field or b"\0")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(rng: random.Random, field: bytes) -> bytes:
    by = rng.choice((-2, -1, -1, 1, 1, 2, 10**9, 10**11, 2**62, 2**63))
    return forge.u64((int.from_bytes(field[-8:], "big") + by) % 2**64)


def _text(rng: random.Random, _: bytes) -> bytes:
    wrong = ("", "e\u0301", "a\0", "\u0085", "\U00016d67\U00016d67", "x" * 65, "x" * 513, "café")
    return rng.choice([text.encode() for text in wrong] + [b"\xff", b"\xed\xa0\x80"])


def _set(rng: random.Random, field: bytes) -> bytes:
    items = [_text(rng, field) for _ in range(rng.randrange(3))]
    return forge.listing(*rng.choice((items, sorted(set(items)), [b"b", b"a"], [b"a"] * 2)))


SPOILERS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _number,
    _text,
    _set,
    lambda _, field: field[:-1],
    lambda _, field: field + b"\0",
    lambda _, field: bytes(len(field)),
    lambda _, field: b"\xff" * len(field),
    lambda rng, _: forge.author(rng.choice((None, uuid.UUID(int=7)))),
    lambda rng, _: rng.choice((b"put", b"delete", b"accept", b"reject", b"revoke", b"grant")),
)


@dataclass
class Known:
    """Where a memory stands."""

    version: int = 0
    digest: bytes = bytes(32)
    key_number: int = 1


class World:
    """A vault with memories in every state, and an app that may do everything."""

    def __init__(self, stand: Stand, owner: forge.Owner, app: forge.App, grant: uuid.UUID) -> None:
        self.stand, self.owner, self.app, self.grant = stand, owner, app, grant
        self.begins = stand.clock.now
        self.known: dict[uuid.UUID, Known] = {}
        self.pending: list[forge.Record] = []
        self.answers: dict[int, int] = {}

    @classmethod
    async def begin(cls, stand: Stand) -> "World":
        """Memories of the owner and the app: in force, rekeyed, deleted, decided, waiting."""
        owner, app = await stand.sign_up(), await stand.new_app()
        world = cls(stand, owner, app, await stand.grant(owner, app))
        for keys in (1, 1, 2):
            await world.remember(keys)
        gone = await world.remember(1)
        known = world.known[gone]
        await stand.append(owner, owner.append(owner.entry("delete", gone, 2, known.digest)))
        for kind in ("accept", "reject", None):
            item = app.memory(owner.account, world.grant)
            assert await world.write([item], [world.entry_of(item)]) == 201
            if kind:
                await world.decide(world.pending.pop(), kind)
        return world

    async def remember(self, keys: int) -> uuid.UUID:
        """A memory of the owner's with this many versions and keys, all of them granted."""
        memory = forge.new_id()
        for version in range(1, keys + 1):
            item = self.owner.memory(memory, version, key_number=version)
            wrap = [self.grant, memory, version, forge.wrapped()]
            answer = await self.stand.append(self.owner, self.owner.put(item, wraps=[wrap]))
            assert answer.is_success
            self.known[memory] = Known(version, forge.digest_of(item), version)
        return memory

    async def decide(self, item: forge.Record, kind: str) -> int:
        """Accept or reject; the status of the answer."""
        memory, version = forge.identity_of(item[0])
        accepts = [[memory, version, KEK, forge.wrapped()]] if kind == "accept" else []
        entry = self.owner.entry(kind, memory, version, forge.digest_of(item))
        append = self.owner.append(entry, accepts=accepts)
        return (await self.stand.append(self.owner, append)).status_code

    def entry_of(self, item: forge.Record) -> bytes:
        """The entry of a put."""
        memory, version = forge.identity_of(item[0])
        return self.entry("put", memory, version, forge.digest_of(item))

    def entry(self, kind: str, memory: uuid.UUID, version: int, digest: bytes) -> bytes:
        """An entry by the app, of now."""
        account, app, now = self.owner.account, self.app.app, self.stand.clock.now
        return forge.entry(account, kind, memory, version, digest, app=app, at=now)

    async def write(self, items: list[forge.Record], entries: list[bytes]) -> int:
        """Sign the entries and send them; the status of the answer."""
        leaves = [raw + forge.sign(self.app.key, "app-entry", raw) for raw in entries]
        body = {"records": [list(item) for item in items], "leaves": leaves}
        status = (await self.stand.write(self.app, self.grant, body, self.owner)).status_code
        self.answers[status] = self.answers.get(status, 0) + 1
        if status == 201:
            self.pending += items
            for raw in entries:
                self.learn(raw, items)
        return status

    def learn(self, raw: bytes, items: list[forge.Record]) -> None:
        """What the log has of a memory now."""
        fields = split(raw)[1]
        memory, version = uuid.UUID(bytes=fields[3]), int.from_bytes(fields[4], "big")
        before = self.known.get(memory, Known())
        number = before.key_number
        for item in items:
            if forge.identity_of(item[0])[0] == memory:
                number = int.from_bytes(split(item[0])[1][4], "big")
        self.known[memory] = Known(version, fields[5], number)

    def near(self, rng: random.Random) -> tuple[list[forge.Record], list[bytes]]:
        """A writing that is right but for at most two things."""
        memory = rng.choice([*self.known, forge.new_id()])
        known = self.known.get(memory, Known())
        faults = rng.choice((0, 1, 1, 1, 2))
        version = known.version + 1
        if rng.random() < 0.25:
            raw = self.entry("delete", memory, version, known.digest)
            for _ in range(faults):
                raw = spoil(rng, raw)
            return [], [raw]
        now = self.stand.clock.now
        head = forge.header(
            self.owner.account,
            memory,
            version,
            key_number=known.key_number,
            app=self.app.app,
            updated=now,
        )
        item = forge.record(head, kek=b"\x01" + self.grant.bytes)
        where = [rng.choice(("header", "header", "entry", "part")) for _ in range(faults)]
        for _ in range(where.count("header")):
            item = (spoil(rng, item[0]), *item[1:])
        if "part" in where:
            item = self.spoil_part(rng, item)
        raw = self.follow(item[0], forge.digest_of(item))
        for _ in range(where.count("entry")):
            raw = spoil(rng, raw)
        return [item], [raw]

    def follow(self, head: bytes, digest: bytes) -> bytes:
        """An entry that says what a header, right or wrong, says."""
        fields = split(head)[1]
        now = forge.u64(self.stand.clock.now)
        return forge.pae(
            "log-entry", fields[1], b"put", fields[2], fields[3], digest, fields[5], now
        )

    @staticmethod
    def spoil_part(rng: random.Random, item: forge.Record) -> forge.Record:
        """A record with another envelope, kek or wrap."""
        parts = list(item)
        index = rng.randrange(1, 4)
        field = parts[index]
        parts[index] = rng.choice((field[:-1], field + b"\0", b"\2" + field[1:], b"", KEK))
        return parts[0], parts[1], parts[2], parts[3]


class Device:
    """Reads the whole log as the owner's device does, and every record beside it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.states: dict[bytes, MemoryState] = {}

    def check_app_leaf(self, leaf: Leaf) -> None:
        """Raise unless the app may have made this leaf."""
        world = self.world
        if not world.begins <= leaf.entry.time <= world.begins + DAY:
            message = "an entry is out of its grant's time"
            raise TrustError(message)
        assert leaf.entry.author.app_id == world.app.app.bytes
        public = forge.public(world.app.key)
        verify_statement(public, "app-entry", leaf.message, leaf.signature)

    def read(self, head: str, items: list[list[Any]]) -> int:
        """Verify; the number of leaves by the app."""
        account, key = self.world.owner.account.bytes, forge.public(self.world.owner.key)
        position = Position(account, key, None, Frontier())
        verifier = Verifier(position, lambda _: None, self.check_app_leaf)
        leaves = [verifier.take(leaf) for leaf, _ in items]
        by_app = [leaf for leaf in leaves if not leaf.entry.author.is_owner]
        for leaf in by_app:
            self.check_app_leaf(leaf)
        self.states = verifier.finish(parse_head(head)).states
        records = [Record(*record) for _, record in items if record is not None]
        assert {self.identity(record) for record in records} == self.wanted()
        return len(by_app)

    def identity(self, record: Record) -> tuple[bytes, int, bytes]:
        """Which version a record is, read as strictly as a device reads it."""
        header = peek_header(record.header) or HEADER.parse(record.header)
        assert header.account_id == self.world.owner.account.bytes
        assert header.key_number == self.world.known[uuid.UUID(bytes=header.memory_id)].key_number
        return header.memory_id, header.version, record.digest

    def wanted(self) -> set[tuple[bytes, int, bytes]]:
        """The versions in force and those that wait."""
        wanted = set()
        for memory, state in self.states.items():
            if state.current:
                wanted.add((memory, state.current, state.digest))
            for item in state.pending:
                if not item.deletion:
                    wanted.add((memory, item.version, item.digest))
        return wanted


@pytest.mark.parametrize("seed", range(3))
async def test_what_the_server_takes_from_an_app_a_device_can_read(
    sqlite_stand: Stand, seed: int
) -> None:
    """After hundreds of writings with faults the log replays, and every record parses."""
    rng = random.Random(seed)  # noqa: S311 - the same writings every time
    world = await World.begin(sqlite_stand)
    for number in range(ATTEMPTS):
        items, entries = world.near(rng)
        status = await world.write(items, entries)
        assert status == 201 or status in REFUSALS, status
        if number % 10 == 0 and world.pending:
            chosen = world.pending.pop(rng.randrange(len(world.pending)))
            assert await world.decide(chosen, rng.choice(("accept", "reject"))) in {200, 409}
    _, head, items_read = await sqlite_stand.sync(world.owner)
    try:
        found = Device(world).read(head, items_read)
    except (TrustError, FormatError) as error:
        pytest.fail(f"a device refuses what the server took: {error!r}")
    assert found == world.answers.pop(201)
    assert found > ATTEMPTS // 10
    assert {400, 409, 422} <= set(world.answers)
