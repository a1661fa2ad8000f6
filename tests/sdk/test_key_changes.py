"""Every key changed: stopped anywhere, the old state or the new one is whole."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret_vault.errors import (
    CoffretError,
    CredentialsError,
    KeysChangedError,
    NetworkError,
    TrustError,
)
from coffret_vault.store import Store
from harness.faces import FACES
from harness.network import Evil, Losing, once
from harness.world import PASSPHRASE as OLD
from harness.world import World, ask

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from coffret import RecoveryKit
    from harness.world import Owner

NEW = "another passphrase"


def change(vault: Vault, passphrase: str = NEW) -> RecoveryKit:
    """Change every key, and give the new kit."""
    kits: list[RecoveryKit] = []
    vault.change_keys(passphrase, kits.append)
    return kits[0]


def fill(owner: Owner) -> str:
    """A memory with an older version under another key, a pending proposal, and one more."""
    memory = owner.vault.remember("first words")
    owner.vault.remember("another")
    owner.vault.update(memory.id, content="later words")
    return memory.id


def whole(vault: Vault, memory_id: str) -> None:
    """A device that syncs, reads all there is, and writes."""
    vault.sync()
    assert {memory.content for memory in vault.list()} >= {"later words", "another"}
    steps = [step.memory.content for step in vault.history(memory_id) if step.memory]
    assert steps[:2] == ["first words", "later words"]
    vault.remember("after")


@pytest.mark.parametrize("face", FACES)
def test_everything_is_read_and_written_afterwards(
    coffret_url: str, tmp_path: Path, face: str
) -> None:
    """This device, another one, and one that comes later have it all; so has the new kit."""
    with World(coffret_url, tmp_path, FACES[face]()) as world:
        owner, app = world.owner(), world.app()
        memory_id = fill(owner)
        grant_id, access = world.granted(owner, app, scopes=["create", "read"])
        proposed = access.remember("proposed before")
        owner.vault.sync()
        other = world.device(owner)
        kits: list[RecoveryKit] = []
        done = owner.vault.change_keys(NEW, kits.append)
        assert (done.memory_keys, done.grants) == (3, (grant_id,))
        code = kits[0].secret_key_code()
        whole(owner.vault, memory_id)
        with pytest.raises(KeysChangedError):
            other.sync()
        other.log_in_again(NEW, code)
        whole(other, memory_id)
        fresh = world.closing(
            world.face.login(
                coffret_url, owner.username, NEW, code, world.place(), **world.around()
            )
        )
        whole(fresh, memory_id)
        assert [item.memory_id for item in fresh.pending()] == [proposed.id]
        fresh.accept(proposed.id)
        for kit in (owner.kit, kits[0]):
            assert fresh.confirm(kit.text())
        assert len({vault.status().fingerprint for vault in (other, fresh)}) == 1
        assert fresh.grant(grant_id).state == "revoked"
        assert [asked.state for asked in fresh.requests(None)] == ["approved"]
        recovered, _ = world.face.recover(
            coffret_url,
            owner.username,
            kits[0].recovery_code_text(),
            "a third passphrase",
            world.place(),
            kit=kits[0].text(),
            **world.around(),
        )
        world.closing(recovered)
        whole(recovered, memory_id)
        assert recovered.status().confirmed


def test_twice_in_a_row(world: World) -> None:
    """The keys before the keys before are still known, so the oldest kit's head is confirmed."""
    owner = world.owner()
    memory_id = fill(owner)
    change(owner.vault)
    owner.vault.remember("between")
    kit = change(owner.vault, "a third passphrase")
    code, name = kit.secret_key_code(), owner.username
    fresh = Vault.login(
        world.url, name, "a third passphrase", code, world.place(), **world.around()
    )
    world.closing(fresh)
    whole(fresh, memory_id)
    assert fresh.confirm(owner.kit.text()) == 3


def test_old_secrets_open_nothing(world: World) -> None:
    """Passphrase, Secret Key, recovery code: none of the old ones enters, and a new one is said."""
    owner = world.owner()
    device = world.device(owner)
    change(owner.vault)
    with pytest.raises(CredentialsError):
        world.device(owner)
    with pytest.raises(CredentialsError) as refused:
        Vault.recover(
            world.url,
            owner.username,
            owner.kit.recovery_code_text(),
            "mine now",
            world.place(),
            **world.around(),
        )
    assert "newest kit" in refused.value.hint
    with pytest.raises(KeysChangedError):
        device.sync()
    device.unlock(OLD, owner.secret_key)
    with pytest.raises(KeysChangedError):
        device.sync()
    with pytest.raises(CredentialsError):
        device.log_in_again(OLD, owner.secret_key)
    assert not device.is_locked
    owner.vault.lock()
    with pytest.raises(CredentialsError):
        owner.vault.unlock(OLD, owner.secret_key)


def test_a_network_that_goes_away_at_any_step(world: World) -> None:
    """Whichever request is the last, the old secrets or the new kit open all of it, to the end."""
    for step in count(1):
        network = Losing()
        owner = world.owner(transport=network)
        memory_id = fill(owner)
        network.left = step
        kits: list[RecoveryKit] = []
        try:
            owner.vault.change_keys(NEW, kits.append)
        except NetworkError:
            network.left = -1
        else:
            break
        owner.vault.close()
        again = world.closing(Vault.open(owner.vault.folder, **world.around()))
        again.unlock(OLD, owner.secret_key)
        whole(again, memory_id)
        kit = change(again)
        whole(again, memory_id)
        again.lock()
        again.unlock(NEW, kit.secret_key_code())
    assert step > 3


@pytest.mark.parametrize("stopped", ["the answer", "the device"])
def test_the_server_took_it_and_the_device_did_not_hear(world: World, stopped: str) -> None:
    """Old secrets are told to log in again, and the kit in hand does: here, and all of it."""
    network = Losing()
    owner = world.owner(transport=network)
    memory_id = fill(owner)
    kits: list[RecoveryKit] = []
    if stopped == "the answer":
        gone = once("POST", "/accounts/me/keys")
        network.lose = lambda request: gone(request) or network.left == 0

        def off() -> None:
            network.left = 0

        network.between = off
        with pytest.raises(NetworkError):
            owner.vault.change_keys(NEW, kits.append)
    else:
        with (
            patch.object(Store, "commit", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            owner.vault.change_keys(NEW, kits.append)
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    code = kits[0].secret_key_code()
    with pytest.raises(KeysChangedError):
        again.unlock(NEW, code)
    again.unlock(OLD, owner.secret_key)
    assert len(list(again.list())) == 2
    with pytest.raises(KeysChangedError):
        again.sync()
    again.log_in_again(NEW, code)
    whole(again, memory_id)
    again.lock()
    again.unlock(NEW, code)


@pytest.mark.parametrize("one", [False, True], ids=["all", "one"])
def test_requests_to_keys_that_a_device_has_not_heard_of_accuse_no_server(
    world: World,
    one: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Where the answer to a change of its keys was lost, it is told that they were changed."""
    network = Losing()
    owner = world.owner(transport=network)
    network.lose = once("POST", "/accounts/me/keys")
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        change(owner.vault)
    request = ask(world.app(), owner)
    with pytest.raises(KeysChangedError):
        _ = owner.vault.request(request) if one else owner.vault.requests()


def test_a_kit_that_is_not_taken_changes_nothing(world: World) -> None:
    """If the owner does not take the kit, nothing was sent."""
    network = Evil()
    owner = world.owner(transport=network)
    memory_id = fill(owner)

    def refuse(_kit: RecoveryKit) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        owner.vault.change_keys(NEW, refuse)
    assert not [path for path in network.paths if path.startswith("/accounts/me/")]
    owner.vault.lock()
    owner.vault.unlock(OLD, owner.secret_key)
    whole(owner.vault, memory_id)


def test_others_write_meanwhile(world: World) -> None:
    """A memory that another device writes during the change gets its new wrap as well."""

    class Between(Evil):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/me/keys") and "/accounts/me/keys" not in self.paths:
                other.remember("meanwhile")
                other.update(memory_id, content="changed meanwhile")
            return super().handle_request(request)

    owner = world.owner(transport=Between())
    memory_id = fill(owner)
    other = world.device(owner)
    change(owner.vault)
    owner.vault.sync()
    contents = {memory.content for memory in owner.vault.list()}
    assert contents == {"another", "meanwhile", "changed meanwhile"}
    assert len([step for step in owner.vault.history(memory_id) if step.memory]) == 3


def test_two_devices_change_them_at_once(world: World) -> None:
    """The first one wins; the other is told, and its kit opens nothing."""
    owner = world.owner()
    memory_id = fill(owner)
    other = world.device(owner)
    kits: list[RecoveryKit] = []

    def overtaken(kit: RecoveryKit) -> None:
        kits.append(change(other, "the other's"))
        kits.append(kit)

    with pytest.raises(KeysChangedError):
        owner.vault.change_keys(NEW, overtaken)
    with pytest.raises(CredentialsError):
        owner.vault.log_in_again(NEW, kits[1].secret_key_code())
    owner.vault.log_in_again("the other's", kits[0].secret_key_code())
    whole(owner.vault, memory_id)


def test_a_deletion_that_a_device_missed(world: World) -> None:
    """What was deleted before the keys changed has no new wrap, which is no lie."""
    owner = world.owner()
    memory_id = fill(owner)
    gone = owner.vault.remember("deleted while the other was away")
    other = world.device(owner)
    owner.vault.forget(gone.id)
    kit = change(owner.vault)
    with pytest.raises(KeysChangedError):
        other.sync()
    other.log_in_again(NEW, kit.secret_key_code())
    whole(other, memory_id)
    assert gone.id not in {memory.id for memory in other.list()}


@pytest.mark.parametrize("arrived", [False, True])
def test_what_was_sent_and_not_answered_before_the_change(world: World, arrived: bool) -> None:  # noqa: FBT001 - a parameter
    """A memory whose answer was lost is there if the server took it, and stands in nobody's way."""
    owner, network = world.owner(), Losing()
    memory_id = fill(owner)
    other = world.device(owner, transport=network)
    if arrived:
        network.lose = lambda request: request.url.path.endswith("/memory-blobs")
    else:
        network.left = 0
    with pytest.raises(NetworkError):
        other.remember("lost on the way")
    network.left, network.lose = -1, lambda _: False
    kit = change(owner.vault)
    with pytest.raises(KeysChangedError):
        other.sync()
    other.log_in_again(NEW, kit.secret_key_code())
    whole(other, memory_id)
    assert ("lost on the way" in {memory.content for memory in other.list()}) is arrived


def withhold(answer: list[object]) -> None:
    """No memory keys at all."""
    answer[1] = []


def exchange(answer: list[object]) -> None:
    """The keys of two memories, one for the other."""
    keys = answer[1]
    assert isinstance(keys, list)
    keys[0][3], keys[1][3] = keys[1][3], keys[0][3]


@pytest.mark.parametrize("lie", [withhold, exchange])
def test_a_server_that_lies_about_wraps_loses_nothing_here(world: World, lie: object) -> None:
    """A device that logs in again keeps what it has, and takes only wraps that open it."""
    owner = world.owner()
    memory_id = fill(owner)
    network = Evil()
    other = world.device(owner, transport=network)
    kit = change(owner.vault)
    with pytest.raises(CoffretError):
        other.sync()
    other.unlock(OLD, owner.secret_key)
    network.rewrite["/accounts/me/memory-keys"] = lie  # type: ignore[assignment]
    with pytest.raises(TrustError):
        other.log_in_again(NEW, kit.secret_key_code())
    network.rewrite.clear()
    other.log_in_again(NEW, kit.secret_key_code())
    whole(other, memory_id)


def test_a_grant_made_meanwhile_costs_no_kit(world: World) -> None:
    """Another device approves while the keys are wrapped: the change is made behind it, whole."""
    owner, app = world.owner(), world.app()
    other = world.device(owner)
    kits: list[RecoveryKit] = []
    request_id = ask(app, owner)
    other.requests(None)

    def hand_out(kit: RecoveryKit) -> None:
        kits.append(kit)
        other.approve(request_id, words=app.words)

    done = owner.vault.change_keys(NEW, hand_out)
    assert len(done.grants) == len(kits) == 1
    assert owner.vault.grant(done.grants[0]).state == "revoked"
    other.log_in_again(NEW, kits[0].secret_key_code())
    assert other.remember("after").content == "after"
