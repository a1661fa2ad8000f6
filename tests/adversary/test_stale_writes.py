"""Writes on top of what is not so any more: hidden revocations, two writers, two branches."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import Fields, NewMemory, Vault
from coffret.flows import written
from coffret.flows.http import LogMovedError
from coffret.flows.keys import grant_wraps
from coffret_vault.errors import CoffretError, OpenError, TrustError
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import Kek, parse_header
from coffret_vault.records.seal import Wrapping, open_version, unwrap_memory_key
from harness.keeping import keeping_keys
from harness.network import BASE, Fabricating, Recorder
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coffret.flows.state import VaultState
    from coffret_vault.primitives.secret import SecretBytes
    from coffret_vault.store import GrantRow
    from harness.database import Row
    from harness.stage import Stage
    from harness.victim import Victim
    from harness.world import World

EACH = 500


@pytest.fixture
def before(stage: Stage) -> Iterator[dict[str, Sequence[Row]]]:
    """The server's database as it was, which is put back in the end."""
    found = stage.database.copy()
    yield found
    stage.database.write(found)


def keys_of(access: Any) -> list[SecretBytes]:
    """Every key that an app can lay hands on."""
    access.refresh()
    return [access._held.key, *(item.key for item in access._shelf._readable.values())]


def opens(vault: Vault, keys: list[SecretBytes], memory_id: str) -> bool:
    """Whether one of them opens the version that stands."""
    store, identifier = vault._state.store, parse_id(memory_id)
    state = store.state(identifier)
    record = None if state is None else store.record(identifier, state.current)
    assert record is not None
    for key in keys:
        try:
            open_version(record.header, record.envelope, key)
        except OpenError:
            continue
        return True
    return False


def kept(victim: Victim) -> list[str]:
    """Every row that the victim keeps, but for the change that is yet to be settled."""
    return [row for row in victim.dump() if "'unsent'" not in row]


# -- a revocation that a device is not shown ----------------------------------------------------


@pytest.mark.attack(55)
def test_a_write_on_a_log_that_moved_on_unseen_stops(victim: Victim) -> None:
    """A server that hides a revocation and refuses the write gets it once, and no other key."""
    world, owner = victim.world, victim.owner
    grant_id, access = world.granted(owner, world.app())
    keys = keys_of(access)
    pages: list[list[Any]] = []
    victim.evil.rewrite["/sync"] = pages.append
    victim.vault.sync()
    size, head = pages[-1][:2]
    owner.vault.revoke(grant_id)
    victim.evil.rewrite["/sync"] = lambda _: [size, head, []]
    stored = kept(victim)
    with pytest.raises(TrustError, match="shows nothing"):
        victim.vault.update(victim.seen.id, content="under which key?")
    assert kept(victim) == stored
    sent = [item for item in victim.evil.requests if "memor" in item.url.path]
    assert len({item.content for item in sent if item.method in {"POST", "PUT"}}) == 1
    victim.evil.rewrite.clear()
    victim.vault.update(victim.seen.id, content="under a fresh one")
    assert not opens(victim.vault, keys, victim.seen.id)


def written_behind(world: World, act: Callable[[Vault], object], end: str = "revoke") -> bool:
    """Whether a shut out app reads what a device wrote that had not heard of it, by what went out.

    The server refuses the first try, and keeps what came with it for the app.
    """
    owner = world.owner()
    if act is WRITING["update"]:
        owner.vault.remember("before")
    if act is WRITING["accept"]:
        writer = world.app("Writer", "https://writer.example")
        _, writes = world.granted(owner, writer, scopes=["create", "read"])
        writes.remember("after", tags=["t"])
        owner.vault.sync()
    asking = {"tags": ["t"], "standing": True, "approve_standing": True}
    grant_id, access = world.granted(owner, world.app(), **asking)
    wire = Recorder()
    behind = world.device(owner, transport=wire)
    behind.sync()
    wire.requests.clear()
    getattr(owner.vault, end)(grant_id)
    owner.vault.remember_many([THERE])
    act(behind)
    wrapping = Wrapping(Kek(grant_id=parse_id(grant_id)), access._held.key)
    tried = [item for item in wire.requests if b"wraps" in item.content]
    sent = [wrap for item in tried for wrap in msgspec.msgpack.decode(item.content)["wraps"]]
    ((_, memory_id, number, wrap),) = [each for each in sent if each[0] == parse_id(grant_id)]
    current = {item.memory_id: item.record for item in behind._state.store.current_records()}
    header = parse_header(current[memory_id].header)
    key = unwrap_memory_key(msgspec.structs.replace(header, key_number=number), wrap, wrapping)
    return opens(behind, [key], id_text(memory_id))


THERE = NewMemory(Fields(content="meanwhile"), "01890000-0000-7000-8000-000000000001")
AFTER = NewMemory(Fields(content="after", tags=("t",)))
WRITING: dict[str, Callable[[Vault], object]] = {
    "one": lambda vault: vault.remember("after", tags=["t"]),
    "many": lambda vault: vault.remember_many([AFTER]),
    "many of which some are there": lambda vault: vault.remember_many([THERE, AFTER]),
    "update": lambda vault: vault.update(vault.memory_ids()[0], content="after", tags=["t"]),
    "accept": lambda vault: vault.accept(vault.pending()[0].memory_id),
}


@pytest.mark.attack(55)
@pytest.mark.parametrize("end", ["revoke", "pause"])
@pytest.mark.parametrize("how", WRITING)
def test_a_key_that_went_out_for_a_grant_that_ended_seals_nothing(
    world: World, how: str, end: str
) -> None:
    """What was refused because of a revocation or a pause is written behind it by another key."""
    assert not written_behind(world, WRITING[how], end)


@pytest.mark.control(55)
@pytest.mark.parametrize("how", ["one", "update"])
def test_a_client_that_keeps_the_key_of_a_refused_try_is_read(world: World, how: str) -> None:
    """Control: the wrap of the first try opens what the second one wrote."""
    with patch.object(written, "_wrapped", _as_it_is), keeping_keys():
        assert written_behind(world, WRITING[how], "pause")


def _as_it_is(state: VaultState, live: list[GrantRow], item: written.Written) -> tuple[Any, Any]:
    return item, grant_wraps(state, live, item.memory, item.stamp, item.key, item.before)


@pytest.mark.attack(55)
def test_who_saw_a_revocation_does_not_write_on_a_log_without_it(
    stage: Stage, before: dict[str, Sequence[Row]]
) -> None:
    """Put back to before it, the server gets no write at all from a device that saw it."""
    device = stage.world.device(stage.owner)
    grant = next(item for item in device.grants() if item.state == "active")
    keys = keys_of(stage.access)
    memory = next(iter(device.memory_ids()))
    device.revoke(grant.grant_id)
    stage.database.turn_back(before)
    with pytest.raises(TrustError):
        device.update(memory, content="after")
    with pytest.raises(TrustError):
        device.remember("after")
    assert stage.read() <= stage.written
    assert all(item.state == "revoked" for item in device.grants())
    assert keys


@pytest.mark.attack(55)
def test_a_write_on_a_branch_without_the_revocation_shows(
    stage: Stage, before: dict[str, Sequence[Row]]
) -> None:
    """What no device can know shows when two meet: a branch that goes without the revocation."""
    kept_apart, device = stage.world.device(stage.owner), stage.world.device(stage.owner)
    grant = next(item for item in device.grants() if item.state == "active")
    device.revoke(grant.grant_id)
    revoked = stage.database.copy()
    stage.database.turn_back(before)
    kept_apart.remember("on the branch")
    with pytest.raises(TrustError):
        device.confirm(kept_apart.status().head)
    stage.database.turn_back(revoked)
    with pytest.raises(TrustError):
        kept_apart.sync()


@pytest.mark.control(55)
def test_a_client_that_does_not_go_by_the_log_writes_under_the_old_key(world: World) -> None:
    """Control: without the rule about stale keys the revoked app reads what is written later."""
    owner = world.owner()
    memory = owner.vault.remember("before")
    grant_id, access = world.granted(owner, world.app())
    keys = keys_of(access)
    owner.vault.revoke(grant_id)
    with keeping_keys():
        owner.vault.update(memory.id, content="after")
    assert opens(owner.vault, keys, memory.id)


# -- two writers --------------------------------------------------------------------------------


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs in threads; raise what one of them raised."""
    failed: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def until_taken(use: Callable[[], object]) -> None:
    """Write; where the other was quicker a hundred times in a row, which is an error, again."""
    while True:
        try:
            use()
        except LogMovedError:
            continue
        return


@pytest.mark.attack(56)
def test_two_devices_race_a_thousand_appends(world: World) -> None:
    """Of a thousand writes by two devices at once, new and changed, each is there, once."""
    owner = world.owner()
    shared = owner.vault.remember("counted", metadata={})
    other = world.device(owner)

    def writer(vault: Vault, name: str) -> Callable[[], None]:
        def job() -> None:
            for number in range(EACH):
                if number % 5:
                    until_taken(partial(vault.remember, f"{name} {number}"))
                else:
                    until_taken(partial(vault.update, shared.id, tags=[f"{name}{number}"]))

        return job

    together(writer(owner.vault, "one"), writer(other, "two"))
    rest = {f"{name} {n}" for name in ("one", "two") for n in range(EACH) if n % 5}
    changes = {(f"{name}{n}",) for name in ("one", "two") for n in range(0, EACH, 5)}
    for vault in (owner.vault, other):
        vault.sync()
        contents = [memory.content for memory in vault.list()]
        assert len(contents) == len(set(contents))
        assert set(contents) == rest | {"counted"}
    assert owner.vault.status().head == other.status().head
    steps = owner.vault.history(shared.id)
    assert {step.memory.tags for step in steps if step.memory} == changes | {()}
    assert owner.vault.get(shared.id).version == 1 + len(changes)


@pytest.mark.attack(56)
def test_a_server_that_takes_both_branches_is_found_out(world: World) -> None:
    """A write that the server said it took and dropped for another's is missed at the next sync."""
    owner = world.owner()
    network = Fabricating()
    device = world.device(owner, transport=network)
    taken = httpx.Response(201, headers={"content-type": "application/msgpack"}, content=b"\x80")
    network.invented["/memory-blobs"] = taken
    device.remember("dropped")
    network.invented.clear()
    owner.vault.remember("taken")
    with pytest.raises(TrustError):
        device.sync()
    with pytest.raises(CoffretError):
        device.remember("on top")
    assert {memory.content for memory in device.list()} == {"dropped"}


class LastWins:
    """A vault without heads: whoever writes last replaces the whole."""

    def __init__(self) -> None:
        """Nothing in it."""
        self.kept: frozenset[str] = frozenset()

    def write(self, known: frozenset[str], content: str) -> None:
        """Put what a device knows, and one more, in the place of all there is."""
        self.kept = known | {content}


@pytest.mark.control(56)
def test_without_heads_one_of_two_writes_is_lost(world: World) -> None:
    """Control: on one base, the last of two writers wins, and nobody hears of the other."""
    weak = LastWins()
    one, two = weak.kept, weak.kept
    weak.write(one, "one")
    weak.write(two, "two")
    assert weak.kept == {"two"}
    owner = world.owner()
    device = world.device(owner)
    owner.vault.remember("one")  # on the base that the other device still has
    device.remember("two")
    assert {memory.content for memory in device.list()} == {"one", "two"}


# -- recovery that the server asks for ----------------------------------------------------------


@pytest.mark.control(59)
def test_a_client_that_recovers_when_told_to_is_heard(world: World) -> None:
    """Control: one that takes "recovery required" for its cue proves the recovery code's key."""
    owner, evil = world.owner(), Fabricating()
    device = world.device(owner, transport=evil)
    told = httpx.Response(403, json={"code": "recovery-required", "status": 403})
    evil.invented["/sync"] = told
    with pytest.raises(CoffretError):
        device.sync()
    assert not any(b"recovery" in request.content for request in evil.requests)
    evil.invented.clear()
    vault, _ = Vault.recover(
        world.url, owner.username, owner.kit.recovery_code_text(), PASSPHRASE, world.place(),
        **world.around(transport=evil),
    )  # fmt: skip
    world.closing(vault)
    asked = [item for item in evil.requests if item.url.path == f"{BASE}/auth/challenge"]
    assert any(b'"recovery"' in request.content for request in asked)
