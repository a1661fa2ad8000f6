"""A new passphrase, and a kit that is compared before it gives one."""

from __future__ import annotations

from unittest.mock import patch

import httpx
import pytest

from coffret import RecoveryKit, Vault
from coffret_vault.errors import (
    CoffretError,
    CredentialsError,
    KeysChangedError,
    NetworkError,
    ServerError,
)
from harness.network import Losing
from harness.world import MONTH, Clock, World
from harness.world import PASSPHRASE as OLD

NEW = "another passphrase"


def test_a_new_passphrase_that_the_server_never_heard_of(world: World) -> None:
    """Either passphrase opens the device; the one that stands at the server is named."""
    network = Losing()
    owner = world.owner(transport=network)
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    network.left = -1
    owner.vault.lock()
    owner.vault.unlock(NEW, owner.secret_key)
    with pytest.raises(CredentialsError) as refused:
        owner.vault.sync()
    assert "the one before" in refused.value.hint
    owner.vault.lock()
    owner.vault.unlock(OLD, owner.secret_key)
    owner.vault.sync()
    with pytest.raises(CredentialsError):
        owner.vault.change_passphrase("not it", NEW, owner.secret_key)


def test_keys_of_a_new_passphrase_that_is_not_answered_yet_are_held(world: World) -> None:
    """Another process that keeps them, as the agent does, opens the vault with them meanwhile."""
    network = Losing()
    owner = world.owner(transport=network)
    network.left = 0
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    owner.vault.lock()
    owner.vault.unlock(NEW, owner.secret_key)
    held = owner.vault.held_keys()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock_held(held)
    assert not again.is_locked


def test_a_new_passphrase_whose_answer_was_lost(world: World) -> None:
    """The server took it and the device did not hear: the new one opens, logs in and settles it."""
    network = Losing()
    owner = world.owner(transport=network)
    network.lose = lambda request: request.url.path.endswith("/keyslots")
    with pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(OLD, owner.secret_key)
    with pytest.raises(KeysChangedError):
        again.sync()
    again.lock()
    again.unlock(NEW, owner.secret_key)
    again.sync()
    again.lock()
    with pytest.raises(CredentialsError):
        again.unlock(OLD, owner.secret_key)
    again.unlock(NEW, owner.secret_key)


def test_a_device_that_has_not_heard_says_where_to_log_in(world: World) -> None:
    """A passphrase that opens another device and not this one is refused with what to do."""
    owner = world.owner()
    other = world.device(owner)
    other.lock()
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    with pytest.raises(CredentialsError) as refused:
        other.unlock(NEW, owner.secret_key)
    assert "coffret login" in refused.value.hint
    other.log_in_again(NEW, owner.secret_key)
    other.lock()
    other.unlock(NEW, owner.secret_key)


def test_a_new_passphrase_that_another_device_made(world: World, server_clock: Clock) -> None:
    """A device that knows of it and was never locked asks for it when its session is over."""
    owner = world.owner()
    other = world.device(owner)
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    other.sync()
    with patch.object(server_clock, "offset", MONTH), patch.object(world.clock, "offset", MONTH):
        with pytest.raises(KeysChangedError):
            other.sync()
        other.log_in_again(NEW, owner.secret_key)
    assert other.status().head == owner.vault.status().head


class Refusing(Losing):
    """A server that says of new keyslots, or of another path, what it likes."""

    status, code = 409, ""

    def __init__(self, path: str = "/keyslots") -> None:
        """Begin honest."""
        super().__init__()
        self.path = path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse new keyslots, unless the network is lost; the rest goes on."""
        if self.code and self.left and request.url.path.endswith(self.path):
            return httpx.Response(self.status, json={"code": self.code, "status": self.status})
        return super().handle_request(request)


@pytest.mark.parametrize(
    ("status", "code"), [(422, "invalid-input"), (403, "forbidden"), (429, "quota-exceeded")]
)
def test_a_new_passphrase_that_was_refused_opens_nothing(
    world: World, status: int, code: str
) -> None:
    """The server will not have it, for certain: it is as if it had never been typed."""
    network = Refusing()
    owner = world.owner(transport=network)
    network.status, network.code = status, code
    with pytest.raises(CoffretError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    owner.vault.lock()
    with pytest.raises(CredentialsError):
        owner.vault.unlock(NEW, owner.secret_key)
    owner.vault.unlock(OLD, owner.secret_key)
    owner.vault.remember("goes on")


@pytest.mark.parametrize(("status", "code"), [(503, "unavailable"), (500, "oops")])
def test_a_new_passphrase_that_may_have_been_taken_opens(
    world: World, status: int, code: str
) -> None:
    """A server that fails may have taken it: both open until it is known, and then one."""
    network = Refusing()
    owner = world.owner(transport=network)
    network.status, network.code = status, code
    with patch("coffret.transport._TRIES", 1), pytest.raises(ServerError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    for passphrase in (NEW, OLD):
        owner.vault.lock()
        owner.vault.unlock(passphrase, owner.secret_key)
    network.status, network.code = 422, "invalid-input"
    owner.vault.sync()  # which sends it again, and it is refused
    owner.vault.lock()
    with pytest.raises(CredentialsError):
        owner.vault.unlock(NEW, owner.secret_key)
    owner.vault.unlock(OLD, owner.secret_key)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(422, "invalid-input", CredentialsError), (500, "oops", KeysChangedError)],
)
def test_new_keys_that_were_refused_are_forgotten(
    world: World, status: int, code: str, error: type[CoffretError]
) -> None:
    """What the server refused for certain is unknown; what it may have taken says: log in again."""
    network = Refusing("/accounts/me/keys")
    owner = world.owner(transport=network)
    network.status, network.code = status, code
    kits: list[RecoveryKit] = []
    with patch("coffret.transport._TRIES", 1), pytest.raises(CoffretError):
        owner.vault.change_keys(NEW, kits.append)
    owner.vault.lock()
    with pytest.raises(error) as raised:
        owner.vault.unlock(NEW, kits[0].secret_key_code())
    assert type(raised.value) is error
    owner.vault.unlock(OLD, owner.secret_key)
    network.code = ""
    owner.vault.remember("goes on")


def test_a_new_passphrase_that_others_overtook_opens_nothing(world: World) -> None:
    """Where it never arrived and another device wrote, it never will: one passphrase is left."""
    network = Losing()
    owner = world.owner(transport=network)
    other = world.device(owner)
    network.left = 0
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    network.left = -1
    other.remember("by another device")
    owner.vault.sync()
    owner.vault.lock()
    with pytest.raises(CredentialsError):
        owner.vault.unlock(NEW, owner.secret_key)
    owner.vault.unlock(OLD, owner.secret_key)


def test_a_new_passphrase_goes_on_top_of_what_others_wrote(world: World) -> None:
    """Another device wrote first: it is put on top, and both open while that is under way."""
    network = Losing()
    owner = world.owner(transport=network)
    world.device(owner).remember("by another device")
    tries: list[httpx.Request] = []

    def second(request: httpx.Request) -> bool:
        tries.extend([request] if request.url.path.endswith("/keyslots") else [])
        return len(tries) == 2

    network.lose = second
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    network.lose = lambda _: False
    owner.vault.lock()
    owner.vault.unlock(NEW, owner.secret_key)
    owner.vault.sync()
    assert [memory.content for memory in owner.vault.list()] == ["by another device"]


def test_a_device_goes_on_after_a_new_passphrase(world: World) -> None:
    """It logs in again with the new one, its keys and memories as they were."""
    owner = world.owner()
    owner.vault.remember("before")
    other = world.device(owner)
    owner.vault.change_passphrase(OLD, NEW, owner.secret_key)
    other.lock()
    other.unlock(OLD, owner.secret_key)
    with pytest.raises(KeysChangedError):
        other.sync()
    other.log_in_again(NEW, owner.secret_key)
    other.remember("after")
    assert {memory.content for memory in other.list()} == {"before", "after"}
    other.lock()
    with pytest.raises(CredentialsError):
        other.unlock(OLD, owner.secret_key)
    other.unlock(NEW, owner.secret_key)


def test_a_device_that_learned_of_a_recovery_says_so(world: World) -> None:
    """Its old passphrase and Secret Key are refused with the reason, until the new ones open it."""
    owner = world.owner()
    owner.vault.sync()
    at, code = world.place(), owner.kit.recovery_code_text()
    recovered, code = Vault.recover(world.url, owner.username, code, NEW, at, **world.around())
    recovered.close()
    owner.vault.sync()
    owner.vault.lock()
    with pytest.raises(CredentialsError) as refused:
        owner.vault.unlock(OLD, owner.secret_key)
    assert "On another device they were replaced" in refused.value.hint
    owner.vault.unlock(NEW, code)
    owner.vault.lock()
    with pytest.raises(CredentialsError) as mistyped:
        owner.vault.unlock("typo", code)
    assert "were replaced" not in mistyped.value.hint


def test_a_kit_is_compared_before_anything_is_changed(world: World) -> None:
    """Another vault's kit, or a log without the kit's head, and the passphrase stays as it was."""
    owner, other = world.owner(), world.owner()
    for kit in (other.kit.text(), owner.kit.text().replace(owner.kit.head, other.kit.head)):
        text = "\n".join(
            other.kit.head if line.strip() == owner.kit.head.splitlines()[1] else line
            for line in kit.splitlines()
        )
        with pytest.raises(CoffretError):
            Vault.recover(
                world.url,
                owner.username,
                owner.kit.recovery_code_text(),
                NEW,
                world.place(),
                kit=text,
                **world.around(),
            )
    world.device(owner)
