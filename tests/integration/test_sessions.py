"""Sessions seen and ended, from the SDK and the command line."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from coffret.testing import cheap
from coffret_vault.errors import (
    KeysChangedError,
    LockedError,
    NetworkError,
    NotFoundError,
    SessionEndedError,
)
from harness.network import Evil, Losing, Recorder
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.world import World


def test_devices_are_seen_and_one_is_ended(either: World) -> None:
    """The ended device locks itself with a clear error, keeps what it has, and can come back."""
    owner = either.owner()
    owner.vault.remember("kept")
    other = either.device(owner)
    owner.vault.sync()
    first, second = owner.vault.sessions()
    assert (first.current, second.current) == (True, False)
    assert first.created <= second.created <= second.last_seen
    assert first.address == "127.0.0.1"
    owner.vault.end_session(second.session_id)
    with pytest.raises(SessionEndedError):
        other.sync()
    assert other.is_locked
    with pytest.raises(LockedError):
        other.search("kept")
    assert [item.session_id for item in owner.vault.sessions()] == [first.session_id]
    other.unlock(PASSPHRASE, owner.secret_key)
    other.sync()
    assert other.status().memories == 1
    assert len(owner.vault.sessions()) == 2
    with pytest.raises(NotFoundError):
        owner.vault.end_session(second.session_id)


def test_an_ended_device_does_not_come_back_by_itself(world: World) -> None:
    """It asks whether the keys were changed, and sends no proof of its keys."""
    network = Recorder()
    owner = world.owner()
    other = world.device(owner, transport=network)
    (session,) = [item for item in owner.vault.sessions() if not item.current]
    owner.vault.end_session(session.session_id)
    before = len(network.requests)
    with pytest.raises(SessionEndedError):
        other.sync()
    assert network.paths[before:] == ["/sync", "/auth/challenge"]
    assert other.is_locked


def test_a_device_is_told_when_keys_were_changed(world: World) -> None:
    """Where sessions ended because the owner changed the keys, that is what the error says."""
    owner = world.owner()
    other = world.device(owner)
    owner.vault.change_keys("another passphrase", lambda _: None)
    with pytest.raises(KeysChangedError):
        other.sync()


def test_logging_out_ends_the_session_and_locks(either: World) -> None:
    """The token is worth nothing afterwards; logging out twice, or without a session, is fine."""
    owner = either.owner()
    owner.vault.sync()
    other = either.device(owner)
    owner.vault.log_out()
    assert owner.vault.is_locked
    owner.vault.log_out()
    assert [item.current for item in other.sessions()] == [True]
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    owner.vault.sync()
    assert len(other.sessions()) == 2


def test_logging_out_locks_without_a_network(world: World) -> None:
    """Whatever the server says, the keys are gone."""
    network = Losing()
    owner = world.owner(transport=network)
    owner.vault.sync()
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.log_out()
    assert owner.vault.is_locked


def test_what_was_opened_goes_with_an_ended_session(world: World) -> None:
    """The search index in memory is dropped as by lock."""
    owner = world.owner()
    owner.vault.remember("precious")
    other = world.device(owner)
    assert other.search("precious")
    assert other._finder._kept.index is not None
    (session,) = [item for item in owner.vault.sessions() if not item.current]
    owner.vault.end_session(session.session_id)
    with pytest.raises(SessionEndedError):
        other.sync()
    assert other._finder._kept.index is None


def test_devices_are_told_apart_by_names_that_the_server_cannot_read(world: World) -> None:
    """A session has the name of its device on the owner's devices, and nowhere else."""
    named = msgspec.structs.replace(cheap(), device=lambda: "kitchen laptop")
    network = Recorder()
    owner = world.owner(ambient=named, transport=network)
    owner.vault.remember("x")
    other = world.device(owner)
    assert [item.name for item in other.sessions()] == ["kitchen laptop", ""]
    sent = b"".join(request.content for request in network.requests)
    assert b'"name":' in sent
    assert b"kitchen" not in sent
    assert "kitchen" not in repr(owner.vault.server_view())


def test_a_device_says_what_it_is_called(either: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is its own name in the network, unless its owner says another; after a login at once."""
    owner = either.owner()
    owner.vault.sync()
    monkeypatch.setenv("COFFRET_DEVICE", "bed-side tablet")
    other = either.device(owner)
    other.log_out()
    other.unlock(PASSPHRASE, owner.secret_key)
    other.sync()
    names = [item.name for item in owner.vault.sessions()]
    assert names == [" ".join(platform.node().split()), "bed-side tablet"]


def test_a_server_gives_no_session_the_name_of_another(world: World) -> None:
    """A name that is shown beside another session, or is none, is no name; the list is one."""
    network = Evil()
    owner = world.owner(transport=network)
    owner.vault.remember("x")
    other = world.device(owner)
    other.lock()
    other.unlock(PASSPHRASE, owner.secret_key)
    other.sync()
    honest = owner.vault.sessions()
    assert [bool(item.name) for item in honest] == [True, False, True]

    def exchanged(rows: list[dict[str, Any]]) -> None:
        rows[0]["name"], rows[1]["name"], rows[2]["name"] = rows[2]["name"], "AAAA", "%"

    network.rewrite["/auth/sessions"] = exchanged
    assert [item.name for item in owner.vault.sessions()] == ["", "", ""]
