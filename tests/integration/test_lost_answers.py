"""A server that goes away, and answers that are lost: nothing is, and nothing comes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import Fields, NewMemory, Vault
from coffret_vault.errors import (
    NetworkError,
)
from coffret_vault.ingest import Draft
from harness.network import BASE, Losing, once
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Owner, World


def reopened(world: World, owner: Owner, folder: Path) -> Vault:
    """A vault of this device, unlocked again."""
    vault: Vault = world.closing(Vault.open(folder, **world.around()))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


def test_a_server_gone_mid_sync_leaves_a_vault_that_goes_on(world: World) -> None:
    """Cut after any request, a sync has kept whole pages or nothing; the next brings the rest."""
    owner, app = world.owner(), world.app()
    network = Losing()
    behind = world.device(owner, transport=network)
    memory = owner.vault.remember("trip", tags=["t"])
    _, access = world.granted(owner, app, tags=["t"])
    access.update(memory.id, content="proposed")
    owner.vault.remember("more")
    with patch("coffret.flows.sync.PAGE", 2), patch("coffret.transport._TRIES", 1):
        for allowed in range(12):
            network.left = allowed
            try:
                behind.sync()
            except NetworkError:
                behind.list()
                behind.search("trip")
                behind.pending()
            else:
                break
        else:
            pytest.fail("a sync never came to its end")
    network.left = -1
    behind.sync()
    assert {item.content for item in behind.list()} == {"trip", "more"}
    assert [item.version for item in behind.pending()] == [2]
    assert behind.grants()[0].memories == 1
    assert behind.check() == 0


def test_keyslots_replaced_while_the_server_goes_away_are_taken_up_later(world: World) -> None:
    """A sync cut between the log and the keyslots it names is repeated, not believed in part."""
    owner = world.owner()
    network = Losing()
    behind = world.device(owner, transport=network)
    code = owner.kit.recovery_code_text()
    vault, secret_key = Vault.recover(
        world.url, owner.username, code, "new", world.place(), **world.around()
    )
    world.closing(vault)
    size = behind.status().entries
    network.lose = lambda request: request.url.path.endswith("/accounts/me")
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        behind.sync()
    assert behind.status().entries == size
    network.lose = lambda _: False
    behind.sync()
    behind.lock()
    behind.unlock("new", secret_key)


def test_a_login_cut_short_can_be_made_again_in_the_same_folder(world: World) -> None:
    """A device that could not finish its first sync keeps nothing that stands in the way."""
    owner = world.owner()
    owner.vault.remember("trip")
    place = world.place()
    network = Losing()
    network.lose = lambda request: request.url.path.endswith("/sync")
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        Vault.login(
            world.url, owner.username, PASSPHRASE, owner.secret_key, place,
            transport=network, **world.around(),
        )  # fmt: skip
    vault = world.closing(
        Vault.login(
            world.url, owner.username, PASSPHRASE, owner.secret_key, place, **world.around()
        )
    )
    assert [memory.content for memory in vault.list()] == ["trip"]


def test_no_server_is_a_network_error(world: World) -> None:
    """With nobody listening every call that needs a server says so, and reading goes on."""
    owner = world.owner()
    network = Losing()
    vault = world.device(owner, transport=network)
    network.left = 0
    with patch("coffret.transport._TRIES", 1):
        for use in (vault.sync, vault.requests, lambda: vault.remember("x")):
            with pytest.raises(NetworkError):
                use()
    assert list(vault.list()) == []


@pytest.mark.parametrize(
    "path", ["/memory-blobs", "/memory-blobs/batch", "/log", "/auth/login", "/accounts"]
)
def test_a_lost_answer_is_no_second_memory(world: World, path: str) -> None:
    """A request whose answer is lost is sent again, and what it does is done once."""
    network = Losing()
    network.lose = once("POST", path)
    owner = world.owner(transport=network)
    first = owner.vault.remember("one")
    owner.vault.import_drafts([])
    owner.vault.remember_many([NewMemory(Fields(content=text)) for text in ("two", "three")])
    owner.vault.update(first.id, content="one changed")
    gone = owner.vault.remember("gone")
    owner.vault.forget(gone.id)
    assert network.lose(httpx.Request("POST", f"{world.url}{BASE}{path}")) is False
    expected = {"one changed", "two", "three"}
    assert {memory.content for memory in world.device(owner).list()} == expected
    assert [step.version for step in owner.vault.history(first.id)] == [1, 2]


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
def test_a_lost_answer_is_recognised_though_others_wrote_since(world: World, kind: str) -> None:
    """A change that the server took before its answer was lost is found again in the log."""
    network = Losing()
    owner = world.owner(transport=network)
    memory = owner.vault.remember("before")
    other = world.device(owner)

    def write() -> None:
        other.remember("in between")

    network.between = write

    def lost_once(request: httpx.Request) -> bool:
        if request.method == "GET" or "auth" in request.url.path:
            return False
        network.lose = lambda _: False
        return True

    network.lose = lost_once
    if kind == "create":
        owner.vault.remember("created")
    elif kind == "update":
        assert owner.vault.update(memory.id, content="updated").version == 2
    else:
        owner.vault.forget(memory.id)
    expected = {
        "create": {"before", "created", "in between"},
        "update": {"updated", "in between"},
        "delete": {"in between"},
    }[kind]
    assert {item.content for item in owner.vault.list()} == expected
    assert {item.content for item in world.device(owner).list()} == expected


def test_an_app_s_lost_answer_is_no_second_proposal(world: World) -> None:
    """What an app writes is written once, though its answer is lost; so is a cancellation."""
    owner = world.owner()
    network = Losing()
    app = world.app(transport=network)
    _, access = world.granted(owner, app)
    network.lose = once("POST", "/grants/")
    access.remember("once")
    owner.vault.sync()
    assert len(owner.vault.pending()) == 1
    request_id = ask(app, owner)
    network.lose = once("POST", "/access-requests/")
    app.cancel(request_id)
    assert app.status(request_id) == "cancelled"


def test_a_half_finished_import_goes_on(world: World) -> None:
    """An import cut anywhere, even after the server took a batch, ends with every memory once."""
    network = Losing()
    owner = world.owner(transport=network)
    drafts = [Draft(key=f"k{n}", source="s", content=f"memory {n}") for n in range(30)]
    with patch("coffret.flows.batches.BATCH", 10), patch("coffret.transport._TRIES", 1):
        network.lose = once("POST", "/memory-blobs/batch")
        with pytest.raises(NetworkError):
            owner.vault.import_drafts(drafts)
        network.lose = lambda _: False
        network.left = 3
        with pytest.raises(NetworkError):
            owner.vault.import_drafts(drafts)
        network.left = -1
        report = owner.vault.import_drafts(drafts)
    assert report.created + report.unchanged == 30
    assert report.unchanged >= 10
    assert sorted(memory.content for memory in owner.vault.list()) == sorted(
        draft.content for draft in drafts
    )
