"""Keys that an app kept, in league with a server, against what is written or rotated after."""

from __future__ import annotations

from base64 import b64decode
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows import freshness, handover
from coffret.flows import grants as grant_flows
from coffret_vault.errors import NetworkError, OpenError
from coffret_vault.ingest import read_export
from coffret_vault.records.seal import open_version
from harness.league import TIMES, Pen, looking_away
from harness.network import Losing
from harness.world import MONTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import Access, Vault
    from coffret_vault.primitives.secret import SecretBytes
    from harness.world import Clock, Owner, World

DAY: timedelta = MONTH / 30
MICROSECOND = timedelta(microseconds=1)


def key_of(access: Access, memory_id: str) -> SecretBytes:
    """The memory key that an app has."""
    access.memories()
    key = access._shelf.one(memory_id).key
    assert key is not None
    return key


def opens(vault: Vault, access: Access, memory_id: str, key: SecretBytes) -> bool:
    """Whether a kept key opens the current version, as the server has it."""
    return Pen(access, key).opens(vault, memory_id)


def opened(vault: Vault, key: SecretBytes) -> set[str]:
    """What a kept key opens of all that the server has, pending versions too."""
    tables = {table["table"]: table for table in vault.server_view()["tables"]}
    entries = tables["entries"]
    at = entries["columns"].index("record")
    found = set()
    for row in entries["rows"]:
        if row[at] is None:
            continue
        header, envelope, _, _ = msgspec.msgpack.decode(b64decode(row[at]))
        with suppress(OpenError):
            found.add(open_version(header, envelope, key).content)
    return found


@contextmanager
def lazy() -> Iterator[None]:
    """A weak client: fresh keys at the owner's next write, whoever else may write before."""
    nothing: Any = lambda *_: []  # noqa: E731 - one for all
    with (
        patch.object(freshness, "exposed", nothing),
        patch.object(grant_flows, "exposed", nothing),
        patch.object(grant_flows, "may_be_exposed", nothing),
        patch.object(handover, "stale_among", nothing),
        patch("coffret.flows.review.is_stale", return_value=False),
    ):
        yield


def made_by_a_writer(world: World, owner: Owner) -> tuple[Access, Pen, str]:
    """A create-only app made a memory, which the owner accepted; the app kept its key."""
    _, access = world.granted(owner, world.app(), scopes=["create"])
    pen = Pen(access)
    memory_id = pen.put("by the create-only app")
    owner.vault.sync()
    return access, pen, memory_id


def updated_by_another(world: World, owner: Owner, memory_id: str, when: str) -> None:
    """Another app may update the memory, asked before or after it is accepted, and does."""
    asking: dict[str, Any] = {"scopes": ["read", "update"]}
    if when == "standing":
        asking |= {"standing": True, "approve_standing": True}
        _, other = world.granted(owner, world.app("Other"), **asking)
        owner.vault.accept(memory_id)
    else:
        owner.vault.accept(memory_id)
        _, other = world.granted(owner, world.app("Other"), **asking)
    other.update(memory_id, content="private, by the other app")
    owner.vault.sync()
    owner.vault.accept(memory_id)
    assert owner.vault.get(memory_id).content == "private, by the other app"


@pytest.mark.attack(38)
@pytest.mark.parametrize("when", ["standing", "asked after"])
def test_an_app_that_may_only_create_reads_no_other_app(world: World, when: str) -> None:
    """The key that a create-only app made is in use no more when another app writes."""
    owner = world.owner()
    _, pen, memory_id = made_by_a_writer(world, owner)
    updated_by_another(world, owner, memory_id, when)
    assert opened(owner.vault, pen.key) == {"by the create-only app"}


@pytest.mark.control(38)
@pytest.mark.parametrize("when", ["standing", "asked after"])
def test_a_lazy_client_would_let_it_read(world: World, when: str) -> None:
    """Control: where the app's key stays until the owner writes, it opens another app's words."""
    owner = world.owner()
    _, pen, memory_id = made_by_a_writer(world, owner)
    with lazy():
        updated_by_another(world, owner, memory_id, when)
    assert "private, by the other app" in opened(owner.vault, pen.key)


def two_writers(world: World, owner: Owner, days: int = 30) -> tuple[str, Access, Access, str]:
    """A memory that two apps hold; the first one's grant, both accesses, the memory."""
    memory = owner.vault.remember("shared")
    grant_id, gone = world.granted(owner, world.app(), duration=days * DAY)
    _, stays = world.granted(owner, world.app("Stays"), duration=5 * MONTH)
    return grant_id, gone, stays, memory.id


def written_by_the_other(owner: Owner, stays: Access, memory_id: str) -> None:
    """The app that stays changes the memory, and the owner accepts."""
    stays.update(memory_id, content="after the end")
    owner.vault.sync()
    owner.vault.accept(memory_id)
    assert owner.vault.get(memory_id).content == "after the end"


@pytest.mark.attack(37, 38)
@pytest.mark.parametrize("end", ["revoked", "over"])
def test_nothing_another_app_writes_after_the_end_opens(
    world: World, server_clock: Clock, end: str
) -> None:
    """When a grant was revoked, or its time is over, what a third app writes is under a new key."""
    owner = world.owner()
    grant_id, gone, stays, memory_id = two_writers(world, owner, 2 if end == "over" else 30)
    kept = key_of(gone, memory_id)
    assert opens(owner.vault, gone, memory_id, kept)
    if end == "revoked":
        owner.vault.revoke(grant_id)
    else:
        world.clock.forward(days=3)
        server_clock.forward(days=3)
        owner.vault.sync()
    written_by_the_other(owner, stays, memory_id)
    server_clock.offset *= 0
    assert opened(owner.vault, kept) == {"shared"}


@pytest.mark.control(37, 38)
def test_a_lazy_client_would_let_a_revoked_app_read(world: World) -> None:
    """Control: where keys change only at the owner's next write, the third app's words open."""
    owner = world.owner()
    grant_id, gone, stays, memory_id = two_writers(world, owner)
    kept = key_of(gone, memory_id)
    with lazy():
        owner.vault.revoke(grant_id)
        written_by_the_other(owner, stays, memory_id)
    assert opened(owner.vault, kept) == {"shared", "after the end"}


def dated_by_its_app(world: World, owner: Owner, clock: Clock, days: int) -> SecretBytes:
    """What an app made, dated as it liked, and changed after another's grant had ended; its key.

    Both grants are standing ones; the app's own goes on.
    """
    standing: dict[str, Any] = {"standing": True, "approve_standing": True}
    _, gone = world.granted(owner, world.app("Gone"), duration=2 * DAY, **standing)
    _, stays = world.granted(owner, world.app(), duration=5 * MONTH, **standing)
    with looking_away(TIMES):
        pen = Pen(stays)
        memory_id = pen.put("shared", time=pen.now() + days * DAY // MICROSECOND)
    owner.vault.sync()
    owner.vault.accept(memory_id)
    kept = key_of(gone, memory_id)
    world.clock.forward(days=3)
    clock.forward(days=3)
    try:
        owner.vault.sync()
        written_by_the_other(owner, stays, memory_id)
    finally:
        clock.offset *= 0
    return kept


@pytest.mark.attack(38)
@pytest.mark.parametrize("days", [-7_000, 0, 3, 7_000])
def test_an_app_s_word_about_time_keeps_no_key_in_use(
    world: World, server_clock: Clock, days: int
) -> None:
    """Whenever an app says that it made a memory: each end of a grant comes after that."""
    owner = world.owner()
    kept = dated_by_its_app(world, owner, server_clock, days)
    assert opened(owner.vault, kept) == {"shared"}


@pytest.mark.control(38)
@pytest.mark.parametrize("days", [0, 3])
def test_a_lazy_client_would_let_the_app_s_word_count(
    world: World, server_clock: Clock, days: int
) -> None:
    """Control: where keys change only at the owner's next write, the kept key opens the change."""
    owner = world.owner()
    with lazy():
        kept = dated_by_its_app(world, owner, server_clock, days)
    assert opened(owner.vault, kept) == {"shared", "after the end"}


@pytest.mark.attack(38)
def test_rotate_covers_what_a_create_only_app_made(world: World) -> None:
    """Fresh keys for a grant are for what its app was given and for what it made itself."""
    owner = world.owner()
    grant_id, access = world.granted(owner, world.app(), scopes=["create"])
    pen = Pen(access)
    memory_id = pen.put("by the app")
    owner.vault.remember("the owner's own")
    owner.vault.sync()
    owner.vault.accept(memory_id)
    owner.vault.revoke(grant_id)
    assert pen.opens(owner.vault, memory_id)
    other, _ = world.granted(owner, world.app("Other"), scopes=["read"])
    owner.vault.revoke(other)
    assert owner.vault.rotate(grant_id) == 1
    assert not pen.opens(owner.vault, memory_id)


@pytest.mark.attack(38)
def test_an_interrupted_rotation_goes_on_where_it_was(world: World) -> None:
    """A network that goes away between two pages: the rest gets fresh keys, and only the rest."""
    network = Losing()
    owner = world.owner(transport=network)
    memories = [owner.vault.remember(f"shared {n}") for n in range(5)]
    grant_id, access = world.granted(owner, world.app(), scopes=["read"])
    kept = {memory.id: key_of(access, memory.id) for memory in memories}
    owner.vault.revoke(grant_id)
    seen: list[tuple[int, int]] = []

    def watch(_what: str, done: int, of: int) -> None:
        seen.append((done, of))
        network.left = 0

    with patch("coffret.flows.batches.BATCH", 2):
        with pytest.raises(NetworkError):
            owner.vault.rotate(grant_id, watch)
        network.left = -1
        assert owner.vault.rotate(grant_id, lambda *told: seen.append(told[1:])) == 1
    assert seen == [(2, 5), (1, 1)]
    assert {owner.vault.get(memory.id).version for memory in memories} == {2}
    for memory_id, key in kept.items():
        assert not opens(owner.vault, access, memory_id, key)


def taken_in(owner: Owner, other: Owner, file: Path) -> None:
    """Take the export of a vault into another one."""
    file.write_bytes(b"".join(owner.vault.export()))
    assert other.vault.import_drafts(read_export(file)).created == 1


def test_who_wrote_it_is_known_for_good(world: World, tmp_path: Path) -> None:
    """Accepted, rotated, changed, exported, taken in elsewhere: the app's mark stays."""
    owner, other = world.owner(), world.owner()
    grant_id, access = world.granted(owner, world.app(), scopes=["create"])
    app_id = access.remember("by an app", provenance={"written_by": "the owner"}).author
    owner.vault.sync()
    memory_id = owner.vault.pending()[0].memory_id
    accepted = owner.vault.accept(memory_id)
    assert accepted is not None
    assert (accepted.author, accepted.review.by) == (app_id, "owner")
    owner.vault.revoke(grant_id)
    assert owner.vault.rotate() == 1
    assert owner.vault.get(memory_id).provenance["written_by"] == app_id
    owner.vault.update(memory_id, content="in the owner's words")
    assert owner.vault.get(memory_id).provenance["written_by"] == app_id
    taken_in(owner, other, tmp_path / "export.jsonl")
    assert other.vault.list()[0].provenance["written_by"] == app_id


def test_what_was_never_written_again_is_marked_in_an_export(world: World, tmp_path: Path) -> None:
    """What was accepted and never written again takes the app's mark along too."""
    owner, other = world.owner(), world.owner()
    _, access = world.granted(owner, world.app(), scopes=["create"], auto_accept=True)
    app_id = access.remember("by an app").author
    owner.vault.sync()
    taken_in(owner, other, tmp_path / "export.jsonl")
    assert other.vault.list()[0].provenance["written_by"] == app_id
