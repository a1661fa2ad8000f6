"""A recovery that is stopped is gone on with by the same call, with the same Secret Key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import RecoveryKit, Vault
from coffret_vault.errors import (
    ConflictError,
    CredentialsError,
    KeysChangedError,
    NetworkError,
    QuotaError,
)
from coffret_vault.formats.checkpoint import parse_head
from harness.network import BASE, Losing, once
from harness.stops import nothing_put_back
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from harness.world import Owner, World

pytestmark = pytest.mark.usefixtures("one_try")
NEW = "a new passphrase"
_KEYSLOTS = "/accounts/me/keyslots"


class _Heads(Losing):
    """A network that goes away, or at which somebody loses patience, and keeps what was signed."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.heads: set[str] = set()
        self.stop: Callable[[httpx.Request], bool] = lambda _: False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Keep the head of an append, whatever becomes of it."""
        self.heads.update(_heads(request))
        if self.stop(request):
            raise KeyboardInterrupt
        return super().handle_request(request)

    def has_forked(self) -> bool:
        """Whether two heads of one size went out."""
        sizes = [parse_head(note).head.size for note in self.heads]
        return len(set(sizes)) < len(sizes)


def _heads(request: httpx.Request) -> Iterator[str]:
    if request.method == "GET" or not request.content:
        return
    packed = "msgpack" in request.headers["content-type"]
    body = msgspec.msgpack.decode(request.content) if packed else json.loads(request.content)
    append = body.get("append", body)
    if "head" in append:
        yield append["head"]


@pytest.fixture
def owner(world: World) -> Owner:
    """An owner with a memory, and one of an app that is accepted unseen."""
    made: Owner = world.owner()
    made.vault.remember("here")
    _, access = world.granted(made, world.app(), auto_accept=True)
    access.remember("by an app")
    return made


def _recover(
    world: World, owner: Owner, place: Path, passphrase: str = NEW, **options: Any
) -> tuple[Vault, str]:
    code = options.pop("code", owner.kit.recovery_code_text())
    vault, secret_key = Vault.recover(
        world.url, owner.username, code, passphrase, place, **world.around(**options)
    )
    return world.closing(vault), secret_key


def _opens_elsewhere(world: World, owner: Owner, secret_key: str, passphrase: str = NEW) -> None:
    place = world.place()
    entered = Vault.login(
        world.url, owner.username, passphrase, secret_key, place, **world.around()
    )
    assert {memory.content for memory in world.closing(entered).list()} >= {"here", "by an app"}


@pytest.mark.parametrize("reaching", [True, False], ids=["answer lost", "request lost"])
def test_a_recovery_whose_answer_is_lost_is_gone_on_with(
    world: World, owner: Owner, *, reaching: bool
) -> None:
    """What it signed is sent again as it is, in that folder: no second head of a size goes out."""
    net, place = _Heads(), world.place()
    net.lose, net.reaching = once("PUT", _KEYSLOTS), reaching
    with pytest.raises(NetworkError) as raised:
        _recover(world, owner, place, transport=net)
    assert "in this folder" in raised.value.hint
    vault, secret_key = _recover(world, owner, place, transport=net)
    vault.remember("next")
    assert not net.has_forked()
    assert not vault.status().unkept
    _opens_elsewhere(world, owner, secret_key)


@pytest.mark.parametrize("path", [_KEYSLOTS, "/log"], ids=["keyslots", "by itself"])
def test_a_recovery_that_somebody_stops_is_gone_on_with(
    world: World, owner: Owner, path: str
) -> None:
    """While it puts its keyslot in place, or does what a device does by itself behind that."""
    net, place = _Heads(), world.place()
    net.stop = lambda request: request.method != "GET" and request.url.path == BASE + path
    with pytest.raises(KeyboardInterrupt):
        _recover(world, owner, place, transport=net)
    net.stop = lambda _: False
    vault, secret_key = _recover(world, owner, place, transport=net)
    assert {memory.content for memory in vault.list()} == {"here", "by an app"}
    assert not net.has_forked()
    _opens_elsewhere(world, owner, secret_key)


@pytest.mark.parametrize("step", ["sync", "confirm", "replace_passphrase", "_tidy", "drop_begun"])
def test_a_recovery_that_was_killed_is_gone_on_with(world: World, owner: Owner, step: str) -> None:
    """Wherever its process ended: no folder has to be taken out of the way."""
    net, place, text = _Heads(), world.place(), owner.kit.text()
    killed = patch(f"coffret.flows.entrance.{step}", side_effect=SystemExit)
    with killed, nothing_put_back(), pytest.raises(SystemExit):
        _recover(world, owner, place, transport=net, kit=text)
    with pytest.raises(ConflictError) as raised:
        Vault.login(world.url, owner.username, NEW, owner.secret_key, place, **world.around())
    assert "coffret recover" in raised.value.hint
    vault, secret_key = _recover(world, owner, place, transport=net, kit=text)
    assert vault.status().confirmed
    assert not net.has_forked()
    _opens_elsewhere(world, owner, secret_key)


def test_it_is_the_same_secret_key_until_its_owner_has_used_it(world: World, owner: Owner) -> None:
    """Who was not shown it is shown it again, whatever passphrase they choose by then."""
    place = world.place()
    vault, first = _recover(world, owner, place)
    vault.close()
    vault, again = _recover(world, owner, place, "yet another")
    assert again == first
    _opens_elsewhere(world, owner, first, "yet another")
    vault.lock()
    vault.unlock("yet another", first)
    with pytest.raises(ConflictError) as raised:
        _recover(world, owner, place)
    assert "coffret recover" not in raised.value.hint


def test_another_recovery_code_does_not_go_on_with_it(world: World, owner: Owner) -> None:
    """It opens nothing of what was begun, and takes nothing from it."""
    net, place = Losing(), world.place()
    net.lose = once("PUT", _KEYSLOTS)
    with pytest.raises(NetworkError):
        _recover(world, owner, place, transport=net)
    stranger = world.owner().kit.recovery_code_text()
    with pytest.raises(CredentialsError) as raised:
        _recover(world, owner, place, code=stranger)
    assert "another recovery code" in raised.value.hint
    _, secret_key = _recover(world, owner, place)
    _opens_elsewhere(world, owner, secret_key)


def test_keys_that_were_changed_meanwhile_end_a_recovery(world: World, owner: Owner) -> None:
    """It is said so; the device that it left is entered with the keys of now."""
    net, place, kits = Losing(), world.place(), list[RecoveryKit]()
    net.lose, net.reaching = once("PUT", _KEYSLOTS), False
    with pytest.raises(NetworkError):
        _recover(world, owner, place, transport=net)
    owner.vault.change_keys("changed", kits.append)
    with pytest.raises(KeysChangedError):
        _recover(world, owner, place)
    left = world.closing(Vault.open(place, **world.around()))
    left.log_in_again("changed", kits[0].secret_key_code(), give_up=True)
    assert [memory.content for memory in left.list()] == ["here"]


def test_a_recovery_that_is_refused_leaves_nothing(world: World, owner: Owner) -> None:
    """Nothing of it is anywhere then, and the owner's passphrase is what it was."""
    place = world.place()
    refused = patch("coffret.flows.entrance.replace_passphrase", side_effect=QuotaError)
    with refused, pytest.raises(QuotaError):
        _recover(world, owner, place)
    assert list(place.iterdir()) == []
    _opens_elsewhere(world, owner, owner.secret_key, PASSPHRASE)


def test_the_secret_key_does_not_lie_open_in_the_folder(world: World, owner: Owner) -> None:
    """It is noted under the keys of the vault, and not kept once it was used."""
    place = world.place()
    vault, secret_key = _recover(world, owner, place)
    state = vault._state
    assert state.store.meta("recovering")
    vault.lock()
    vault.unlock(NEW, secret_key)
    assert not state.store.meta("recovering")
