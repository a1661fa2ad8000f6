"""Somebody on the network: every request that was heard, said again, here and at another server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import NewMemory, Vault
from coffret.flows.session import get
from coffret.testing import Server
from coffret_server.proofs import Proofs
from coffret_vault.errors import CredentialsError
from coffret_vault.records.memory import Fields
from harness import thief
from harness.network import Recorder
from harness.world import PASSPHRASE, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.world import Owner


@pytest.fixture
def heard(world: World) -> tuple[Owner, list[httpx.Request]]:
    """An owner, and every request of a day."""
    return a_day(world)


def a_day(world: World) -> tuple[Owner, list[httpx.Request]]:
    """An owner, and every request of a day on which they and an app did most of what there is."""
    network = Recorder()
    owner = world.owner(transport=network)
    first = owner.vault.remember("one", title="first")
    owner.vault.remember_many(
        [NewMemory(Fields(content="two")), NewMemory(Fields(content="three"))]
    )
    owner.vault.update(first.id, content="one, again")
    app = world.app(transport=network)
    grant_id, access = world.granted(owner, app)
    access.remember("by the app")
    assert len(access.memories()) == 4
    owner.vault.sync()
    owner.vault.history(first.id)
    owner.vault.pause(grant_id)
    owner.vault.forget(first.id)
    return owner, list(network.requests)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Somebody else's connection."""
    with httpx.Client() as made:
        yield made


@pytest.mark.attack(43)
def test_nothing_that_was_heard_works_again(
    heard: tuple[Owner, list[httpx.Request]], client: httpx.Client
) -> None:
    """Said again, no request is answered with anything kept, and nothing changes by it."""
    owner, requests = heard
    before = thief.kept(owner.vault)
    refused, by_head = 0, 0
    for request in requests:
        answer = thief.said_again(client, request)
        if "dpop" in request.headers:
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid-proof")
            refused += 1
        elif "authorization" in request.headers and "/apps" not in request.url.path:
            assert answer.status_code in {200, 201, 409, 412}, thief.path_of(request)
            assert b"current" not in answer.content
            by_head += 1
        elif request.url.path.endswith("/auth/login"):
            assert answer.json()["code"] == "wrong-credentials"
    assert thief.kept(owner.vault) == before
    assert refused > 15
    assert by_head >= 4
    owner.vault.remember("and goes on")


@pytest.mark.control(43)
def test_what_was_heard_works_again_where_proofs_are_not_kept_in_mind(
    heard: tuple[Owner, list[httpx.Request]], client: httpx.Client
) -> None:
    """Control: a server that forgets which proofs it took gives everything once more."""
    _, requests = heard
    reads = [item for item in requests if item.method == "GET" and "dpop" in item.headers]
    with patch.object(Proofs, "_take"):
        answers = {thief.said_again(client, request).status_code for request in reads}
    assert 200 in answers
    assert 401 not in answers


@pytest.mark.attack(43, 44)
def test_nothing_that_was_heard_works_at_another_server(
    tmp_path: Path, client: httpx.Client
) -> None:
    """A server of another origin takes no proof, although it knows every token and has seen none.

    It works on the very same database; its origin alone is another.
    """
    database = f"sqlite:///{tmp_path / 'server.db'}"
    with Server(database) as first, Server(database) as other, World(first.url, tmp_path) as world:
        owner, requests = a_day(world)
        before = thief.kept(owner.vault)
        proved = [request for request in requests if "dpop" in request.headers]
        for request in proved:
            url = str(request.url).replace(first.url, other.url)
            answer = thief.said_again(client, request, url=url)
            assert answer.json()["code"] == "invalid-proof", thief.path_of(request)
        assert thief.kept(owner.vault) == before
    assert len(proved) > 15


class Relay(Recorder):
    """A server that passes everything on to another one, whose address it is not."""

    def __init__(self, target: str) -> None:
        """Pass it on to this one."""
        super().__init__()
        self._target = httpx.URL(target)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Say it in our own name; of ourselves, say nothing."""
        if request.url.path == "/readyz":
            return httpx.Response(200, json={})
        moved = request.url.copy_with(
            scheme=self._target.scheme, host=self._target.host, port=self._target.port
        )
        headers = {**request.headers, "host": f"{self._target.host}:{self._target.port}"}
        passed = httpx.Request(request.method, moved, headers=headers, content=request.content)
        passed.extensions = request.extensions
        return super().handle_request(passed)


def _log_in_at(world: World, owner: Owner, url: str, relay: Relay) -> Vault:
    vault: Vault = world.closing(
        Vault.login(
            url, owner.username, PASSPHRASE, owner.secret_key, world.place(),
            **world.around(transport=relay),
        )
    )  # fmt: skip
    return vault


@pytest.mark.attack(44)
def test_a_server_in_between_cannot_log_in(world: World) -> None:
    """A device that talks to server B signs for B, with keys made for B: A does not take it."""
    owner = world.owner()
    owner.vault.remember("precious")
    relay = Relay(world.url)
    with pytest.raises(CredentialsError):
        _log_in_at(world, owner, "https://other.example", relay)
    assert relay.paths == ["/auth/challenge", "/auth/login"]
    assert len(_sessions(owner)) == 1


@pytest.mark.control(44)
def test_a_server_in_between_logs_in_where_the_origin_is_not_signed(world: World) -> None:
    """Control: through the same relay a device that signs for A is logged in at A."""
    owner = world.owner()
    owner.vault.remember("precious")
    relay = Relay(world.url)
    assert _log_in_at(world, owner, world.url, relay).status().memories == 1
    assert len(_sessions(owner)) == 2


def _sessions(owner: Owner) -> list[object]:
    flow = get(owner.vault._state, "/auth/sessions")
    found: list[object] = httpx.Response(200, content=owner.vault._driver.run(flow).body).json()
    return found
