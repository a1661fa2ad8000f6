"""A vault that keeps titles and tags sealed: on every device, for everything that is written."""

from __future__ import annotations

from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import Fields, NewMemory
from coffret.flows import written
from coffret.flows.settled import settled
from coffret.flows.visibility import LOOK_AGAIN
from coffret_vault.errors import (
    ConflictError,
    NetworkError,
    NotFoundError,
    UnknownSettingError,
)
from coffret_vault.formats.settings import Settings
from coffret_vault.ingest import read_source
from harness.network import Fabricating, Losing, Recorder, once
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import RecoveryKit, Vault
    from harness.world import World

SAID: dict[str, Any] = {"title": "Telltale title", "tags": ["telltale-tag"], "importance": 0.5}
TOLD = b"Telltale title", b"telltale-tag"
AFTER = LOOK_AGAIN // 1_000_000 + 1
"""Seconds after which a device looks before it shows a title."""


def kept(value: Any) -> Iterator[bytes]:
    """Every text of what the server says that it keeps, and what it stands for in base64."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from kept(item)
    elif isinstance(value, str):
        yield value.encode()
        with suppress(ValueError):
            yield b64decode(value, validate=True)


def is_told(vault: Vault) -> bool:
    """Whether the server keeps a telltale title or tag anywhere."""
    whole = b"\n".join(kept(vault.server_view()))
    return any(word in whole for word in TOLD)


def test_a_sealed_vault_tells_no_title_whoever_writes(either: World, tmp_path: Path) -> None:
    """From its first entry on: one memory, many, an import, another device, an app, an edit."""
    owner, app = either.owner(sealed=True), either.app()
    vault = owner.vault
    one = vault.remember("one", **SAID)
    vault.remember_many([NewMemory(Fields(content="two", **{**SAID, "tags": ("telltale-tag",)}))])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# Telltale title\n\nthree #telltale-tag\n")
    vault.import_drafts(read_source(tmp_path / "notes"))
    other = either.device(owner)
    other.confirm(vault.status().head)
    other.remember("four", **SAID)
    _, access = either.granted(owner, app)
    proposed = access.remember("five", **SAID)
    vault.sync()
    vault.accept(proposed.id)
    vault.update(one.id, content="one again")
    other.sync()
    assert [memory.sealed for memory in other.list()] == [True] * 5
    assert all(memory.title == "Telltale title" for memory in other.list())
    assert not is_told(vault)
    assert vault.settings().sealed
    assert other.settings() == vault.settings()
    assert vault.count_shown() == 0


def test_the_word_of_one_call_goes_before_the_vault_s(either: World) -> None:
    """``sealed=False`` shows in a sealed vault, ``sealed=True`` hides in another; edits keep it."""
    hidden, shown = either.owner(sealed=True).vault, either.owner().vault
    exception = hidden.remember("x", sealed=False, **SAID)
    assert is_told(hidden)
    assert not exception.sealed
    assert not hidden.update(exception.id, content="y").sealed
    assert not hidden.update(exception.id, content="z", sealed=None).sealed
    memory = shown.remember("x", sealed=True, **SAID)
    assert not is_told(shown)
    assert shown.update(memory.id, content="y", title="Telltale title").sealed
    assert not is_told(shown)
    assert not shown.remember("plain", sealed=None, **SAID).sealed


def test_a_setting_reaches_every_device_and_lasts(either: World) -> None:
    """Settled on one device it holds on the others after a sync, on new ones, and reopened."""
    owner = either.owner()
    vault, other = owner.vault, either.device(owner)
    before = vault.remember("before", **SAID)
    assert not before.sealed
    assert not vault.settings().sealed
    assert vault.set_settings(sealed=True).sealed
    assert vault.set_settings(sealed=True).sealed
    assert not vault.get(before.id).sealed
    other.sync()
    for device in (vault, other, either.device(owner)):
        assert device.settings().sealed
    folder = other.folder
    other.close()
    again = either.closing(either.face.open(folder, **either.around()))
    assert again.settings().sealed
    again.unlock(PASSPHRASE, owner.secret_key)
    again.confirm(vault.status().head)
    assert again.remember("after", **SAID).sealed
    assert not again.set_settings(sealed=False).sealed
    vault.sync()
    assert not vault.remember("open", **SAID).sealed


def test_a_new_device_shows_no_title_before_it_is_confirmed(either: World) -> None:
    """It cannot know that it sees the newest settings; once it is confirmed it goes by them."""
    owner = either.owner()
    other = either.device(owner)
    assert not other.settings().sealed
    assert other.settings().sealed_here
    assert other.remember("careful", **SAID).sealed
    assert not other.remember("told to", sealed=False).sealed
    owner.vault.sync()
    other.confirm(owner.vault.status().head)
    assert not other.settings().sealed_here
    assert not other.remember("confirmed", **SAID).sealed


def test_a_fresh_key_alone_seals_nothing(world: World) -> None:
    """A new device that ends a grant leaves memories as visible as they were, and seals changes."""
    owner = world.owner()
    memory_id = owner.vault.remember("x", **SAID).id
    grant_id, _ = world.granted(owner, world.app())
    device = world.device(owner)
    device.revoke(grant_id)
    assert device.rotate(grant_id) == 1
    rotated = device.get(memory_id)
    assert (rotated.version, rotated.sealed, rotated.title) == (2, False, SAID["title"])
    assert device.update(memory_id, content="y").sealed


@pytest.mark.parametrize("many", [False, True])
def test_a_device_looks_before_it_shows_a_title(world: World, many: bool) -> None:  # noqa: FBT001 - a case
    """One that has not read the log for a while reads it first: the title is in no request."""
    owner, wire = world.owner(), Recorder()
    other = world.device(owner, transport=wire)
    other.confirm(owner.vault.status().head)
    owner.vault.set_settings(sealed=True)
    world.clock.forward(seconds=AFTER)
    if many:
        fields = Fields(content="x", title=SAID["title"], tags=tuple(SAID["tags"]))
        (memory,) = other.remember_many([NewMemory(fields)])
    else:
        memory = other.remember("x", **SAID)
    assert memory.sealed
    assert not any(word in wire.sent() for word in TOLD)
    before = len(wire.requests)
    other.remember("y", **SAID)
    assert wire.paths[before:] == ["/memory-blobs"]


@pytest.mark.parametrize("many", [False, True])
def test_what_a_look_finds_counts_at_once(world: World, many: bool) -> None:  # noqa: FBT001 - a case
    """A device that reads of the setting before it writes seals the memory so the first time."""
    owner = world.owner()
    other = world.device(owner)
    other.confirm(owner.vault.status().head)
    owner.vault.set_settings(sealed=True)
    world.clock.forward(seconds=AFTER)
    with patch.object(written, "_hidden") as again:
        if many:
            other.remember_many([NewMemory(Fields(content="x"))])
        else:
            other.remember("x")
    again.assert_not_called()


def test_a_device_that_looked_lately_does_not_look_again(world: World) -> None:
    """In a vault that shows titles, writing one after another costs no further request."""
    wire = Recorder()
    vault = world.owner(transport=wire).vault
    vault.remember("a")
    world.clock.forward(seconds=AFTER)
    before = len(wire.requests)
    vault.remember("b", sealed=False)
    assert wire.paths[before:] == ["/memory-blobs"]
    world.clock.forward(seconds=AFTER)
    vault.remember("c")
    assert "/sync" in wire.paths[before:]
    before = len(wire.requests)
    vault.remember("d")
    vault.remember("e")
    assert wire.paths[before:] == ["/memory-blobs"] * 2


@pytest.mark.parametrize("many", [False, True])
def test_a_memory_overtaken_by_the_setting_is_sealed_again(world: World, many: bool) -> None:  # noqa: FBT001 - a case
    """Refused because the log has moved on, it is written as the log says now."""
    owner = world.owner()
    other = world.device(owner)
    other.confirm(owner.vault.status().head)
    owner.vault.set_settings(sealed=True)
    if many:
        (memory,) = other.remember_many([NewMemory(Fields(content="x", title="Telltale title"))])
    else:
        memory = other.remember("x", **SAID)
    assert memory.sealed
    assert memory.title == "Telltale title"
    assert not is_told(owner.vault)


def test_a_repeated_call_finds_what_was_written_before_the_setting(world: World) -> None:
    """The same call with the same id after the setting changed gives the memory that is there."""
    vault = world.owner().vault
    name = "0a0b0c0d-0000-4000-8000-000000000000"
    first = vault.remember("x", memory_id=name, **SAID)
    vault.set_settings(sealed=True)
    assert vault.remember("x", memory_id=name, **SAID) == first
    with pytest.raises(ConflictError):
        vault.remember("x", memory_id=name, sealed=True, **SAID)


def test_what_is_there_is_sealed_on_request(either: World) -> None:
    """Every plain memory is written again, sealed; grants go on reading; history keeps both."""
    owner, app = either.owner(), either.app()
    vault = owner.vault
    ids = [vault.remember(f"{n}", **SAID).id for n in range(5)]
    vault.forget(ids.pop())
    vault.remember("sealed already", sealed=True)
    _, access = either.granted(owner, app, scopes={"read"})
    told: list[tuple[int, int]] = []
    with patch("coffret.flows.batches.BATCH", 3):
        assert vault.count_shown() == 4
        assert vault.seal_existing(lambda _, done, of: told.append((done, of))) == 4
        assert vault.seal_existing() == 0
    assert told == [(3, 4), (4, 4)]
    assert all(memory.sealed for memory in vault.list())
    assert {memory.title for memory in access.memories()} == {"Telltale title", ""}
    assert [step.memory.sealed for step in vault.history(ids[0]) if step.memory] == [False, True]
    assert not vault.settings().sealed


def test_an_interrupted_sealing_goes_on(world: World) -> None:
    """What was written before the network went away is not written again."""
    network = Losing()
    vault = world.owner(transport=network).vault
    for n in range(6):
        vault.remember(f"{n}", **SAID)
    network.lose = once("POST", "/log")
    with patch("coffret.flows.batches.BATCH", 2), patch("coffret.transport._TRIES", 1):
        with pytest.raises(NetworkError):
            vault.seal_existing()
        assert vault.seal_existing() == 4
    assert [memory.version for memory in vault.list()] == [2] * 6
    assert vault.count_shown() == 0


def test_a_memory_deleted_meanwhile_does_not_stop_a_sealing(world: World) -> None:
    """Another device deletes one of those that are to be sealed: the others are."""
    owner, network = world.owner(), Losing()
    ids = [owner.vault.remember(f"{n}", **SAID).id for n in range(3)]
    other = world.device(owner, transport=network)
    network.lose, network.reaching = once("POST", "/log"), False
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        other.seal_existing()
    owner.vault.forget(ids[0])
    assert other.seal_existing() == 2
    assert other.count_shown() == 0


def test_a_server_that_denies_a_memory_ends_a_sealing(world: World) -> None:
    """What its own log names is not looked for again and again."""
    network = Fabricating()
    vault = world.owner(transport=network).vault
    vault.remember("one", **SAID)
    answer = httpx.Response(404, json={"code": "not-found"})
    network.invented = {"/log": answer}
    with pytest.raises(NotFoundError):
        vault.seal_existing()
    assert network.paths.count("/log") == 1
    assert vault.count_shown() == 1


@pytest.mark.parametrize("reaching", [False, True])
def test_a_setting_whose_answer_was_lost_is_not_lost(world: World, reaching: bool) -> None:  # noqa: FBT001 - a case
    """Whether the server had it or not, the next call or sync settles it, once."""
    network = Losing()
    vault = world.owner(transport=network).vault
    network.lose, network.reaching = once("PUT", "/accounts/me/settings"), reaching
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        vault.set_settings(sealed=True)
    assert vault.remember("x", **SAID).sealed
    assert vault.set_settings(sealed=True).sealed
    assert settled(vault._state).version == 1


def test_two_devices_settle_one_after_the_other(world: World) -> None:
    """A change that another device got ahead of is made on top of it."""
    owner = world.owner()
    other = world.device(owner)
    with patch("coffret.flows.settings.sync", lambda _state: iter(())):
        owner.vault.set_settings(sealed=True)
        other.set_settings(sealed=True)
    owner.vault.sync()
    assert settled(owner.vault._state) == settled(other._state)
    assert settled(other._state).version == 2


def test_a_setting_outlives_a_key_change(world: World) -> None:
    """New keys, the same settings: on the device that made them and on one that logs in again."""
    owner = world.owner(sealed=True)
    other = world.device(owner)
    kits: list[RecoveryKit] = []
    owner.vault.change_keys("a new one", kits.append)
    assert owner.vault.remember("x", **SAID).sealed
    other.log_in_again("a new one", kits[0].secret_key_code())
    assert other.settings().sealed
    assert not is_told(owner.vault)


def newer(value: bytes) -> Any:
    """A newer version that settles more than this one knows."""
    return patch("coffret.flows.signup.serialize_settings", lambda _settings: value)


def test_what_a_newer_version_settled_stops_this_one(world: World) -> None:
    """A switch that has to be known and is not: an older version neither reads on nor writes."""
    owner = world.owner()
    other = world.device(owner)
    before = other.status()
    with newer(b"\3" + bytes(31)):
        owner.vault.set_settings(sealed=True)
    for _ in range(2):
        with pytest.raises(UnknownSettingError):
            other.sync()
        with pytest.raises(UnknownSettingError):
            other.remember("x", **SAID)
    assert other.status() == msgspec.structs.replace(before, unsent=True)  # until it is updated
    assert not is_told(owner.vault)


def test_what_may_be_unknown_is_kept(world: World) -> None:
    """A switch that an older version may pass over is still on after it changed another."""
    owner = world.owner()
    other = world.device(owner)
    with newer(b"\1" + bytes(30) + b"\x80"):
        owner.vault.set_settings(sealed=True)
    other.sync()
    other.set_settings(sealed=False)
    assert settled(other._state).settings == Settings(others=bytes(15) + b"\x80")
