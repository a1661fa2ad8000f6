"""A server that names keys, places, settings and flows: no client does anything on its word."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import Vault
from coffret.flows.http import b64
from coffret_vault.errors import CoffretError, OpenError
from coffret_vault.primitives.identity import SealingKey, seal_to
from coffret_vault.primitives.secret import SecretBytes
from harness.bait import Bait, Elsewhere, Following, byte_strings
from harness.canary import traces
from harness.network import BASE, Evil, Recorder, answering
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.world import Owner, World

SERVER_KEY = SealingKey(SecretBytes(b"server's own key, 32 bytes long!"))
SEALED_KEY = 1_168
"""The length of a key that is sealed to a public one; the life has one such, the grant's."""
ELSEWHERE = "https://elsewhere.example/"
BAIT: dict[str, Any] = {
    **dict.fromkeys(
        (
            "organisation_key",
            "recovery_pk",
            "recovery_public_key",
            "admin_public_key",
            "escrow_key",
        ),
        b64(SERVER_KEY.public),
    ),
    **dict.fromkeys(("key_connector_url", "identity_url", "migrate_to", "next_url"), ELSEWHERE),
    **dict.fromkeys(("security_version", "min_version", "suite_version", "crypto"), 0),
    "features": {"per_item_keys": False, "encryption": "off", "padding": False},
    "config": {"server_version": "0.0.1", "legacy": True},
    **dict.fromkeys(("migration_required", "recovery_required", "sign_up", "reset"), True),
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|owner-\d+")


def life(world: World, network: Recorder) -> Owner:
    """Sign up, write, share, take back, rotate, and enter again by passphrase and by code."""
    owner = world.owner(transport=network)
    memory = owner.vault.remember("the same", title="Title", tags=["t"])
    app = world.app(transport=network)
    grant_id, access = world.granted(owner, app, tags=["t"])
    access.remember("by the app")
    access.memories()
    owner.vault.sync()
    owner.vault.accept(owner.vault.pending()[0].memory_id)
    owner.vault.update(memory.id, content="changed")
    owner.vault.revoke(grant_id)
    owner.vault.rotate()
    world.device(owner, transport=network)
    vault, _ = Vault.recover(
        world.url, owner.username, owner.kit.recovery_code_text(), "new", world.place(),
        **world.around(transport=network),
    )  # fmt: skip
    world.closing(vault)
    return owner


def shape(requests: Iterable[httpx.Request]) -> list[tuple[Any, ...]]:
    """What requests look like, without the ids, names and random bytes in them."""
    return [
        (
            request.method,
            request.url.host,
            _ID.sub("*", request.url.path),
            sorted(set(request.headers) - {"content-length"}),
            _fields(request),
        )
        for request in requests
    ]


def _fields(request: httpx.Request) -> Any:
    if "json" not in request.headers.get("content-type", "") or not request.content:
        return None
    return sorted(json.loads(request.content))


def opened(requests: Iterable[httpx.Request]) -> list[bytes]:
    """Everything in these requests that the server's own key opens."""
    found = []
    for request in requests:
        for data in byte_strings(request):
            try:
                found.append(SERVER_KEY.open(data, b"").reveal())
            except OpenError:
                continue
    return found


# -- keys, places and settings that answers name ------------------------------------------------


@pytest.mark.attack(1, 3, 13, 59)
def test_a_life_among_baits_is_a_life_without(world: World) -> None:
    """With fields about keys, places and settings in every answer, every request is as without."""
    honest, bait = Recorder(), Bait(BAIT, {"location": ELSEWHERE, "refresh": f"0; {ELSEWHERE}"})
    life(world, honest)
    reached: list[Any] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        reached.append(address)
        real(self, address)

    with patch.object(socket.socket, "connect", connect):
        life(world, bait)
    assert shape(bait.requests) == shape(honest.requests)
    assert len(bait.requests) > 30
    port = httpx.URL(world.url).port
    assert {address[:2] for address in reached} == {("127.0.0.1", port)}
    assert opened(bait.requests) == []
    sent = [data for request in bait.requests for data in byte_strings(request)]
    assert len({data for data in sent if len(data) == SEALED_KEY}) == 1


@pytest.mark.control(1)
def test_a_client_that_escrows_to_the_server_s_key_is_found_out(world: World) -> None:
    """Control: what is wrapped to a key from an answer is found among the requests, and opened."""
    bait = Bait(BAIT)
    owner = world.owner()
    vault = world.device(owner, transport=bait)
    account_key = vault._state.keys.keyring.account_key()
    answer = bait.handle_request(httpx.Request("GET", f"{world.url}{BASE}/accounts/me")).json()
    wrap = seal_to(SERVER_KEY.public, account_key, b"")
    assert answer["recovery_pk"] == b64(SERVER_KEY.public)
    body = {"escrow": b64(wrap)}
    bait.handle_request(httpx.Request("POST", f"{world.url}{BASE}/accounts/me/escrow", json=body))
    assert opened(bait.requests) == [account_key.reveal()]


@pytest.mark.control(13)
def test_a_client_that_obeys_settings_writes_in_the_clear(world: World) -> None:
    """Control: the scan finds what a client sends that leaves sealing to the server's settings."""
    bait = Bait(BAIT)
    owner = world.owner(transport=bait)
    settings = bait.handle_request(
        httpx.Request("GET", f"{world.url}{BASE}/accounts/{owner.username}")
    ).json()["features"]
    text = "a memory that is not to be seen"
    body = {"content": text} if settings["encryption"] == "off" else {}
    bait.handle_request(httpx.Request("POST", f"{world.url}{BASE}/memory-blobs", json=body))
    assert traces({"memory": text.encode()}, {"requests": bait.sent()}) == ["memory in requests"]


# -- other places -------------------------------------------------------------------------------


class Redirecting(Recorder):
    """Honest at first; later it answers everything with a redirect."""

    def __init__(self, status: int, url: str) -> None:
        """Point there, with this status, when ``on``."""
        super().__init__()
        self.on = False
        headers = {"location": url, "refresh": f"0; url={url}", "link": f"<{url}>; rel=next"}
        self._answer = httpx.Response(status, headers=headers)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, or point elsewhere."""
        return self._answer if self.on else super().handle_request(request)


@pytest.mark.attack(3)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308])
def test_nothing_follows_a_redirect(world: World, status: int) -> None:
    """Whatever is asked for: a server that points elsewhere is an error, and nobody goes there."""
    elsewhere, owner = Elsewhere(), world.owner()
    with elsewhere.listening() as url, patch("coffret.transport._TRIES", 1):
        network = Redirecting(status, url)
        vault = world.device(owner, transport=network)
        network.on = True
        for use in (
            vault.sync,
            lambda: vault.remember("here"),
            vault.requests,
            lambda: world.device(owner, transport=network),
            lambda: world.app(transport=network),
        ):
            with pytest.raises(CoffretError):
                use()
    assert elsewhere.heard == []


@pytest.mark.control(3)
def test_a_client_that_follows_takes_its_token_along(world: World) -> None:
    """Control: the other machine hears of a client that goes where it is sent."""
    elsewhere, owner, evil = Elsewhere(), world.owner(), Evil()
    with elsewhere.listening() as url:
        evil.rewrite["/sync"] = lambda _: httpx.Response(307, headers={"location": url})
        with pytest.raises(CoffretError):
            world.device(owner, transport=Following(evil))
    assert "authorization" in elsewhere.heard[0]


# -- a login that becomes a sign-up -------------------------------------------------------------


CODES = ("not-initialised", "not-found", "recovery-required", "migration-required", "conflict")


def _refusing(code: str, status: int) -> Evil:
    evil = Evil()
    body = {**BAIT, "code": code, "status": status}
    for path in ("/auth/challenge", "/auth/login", "/accounts/me"):
        evil.rewrite[path] = answering(httpx.Response(status, json=body))
    return evil


@pytest.mark.attack(4, 59)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 412, 422, 426, 500])
def test_no_refusal_starts_another_flow(world: World, status: int) -> None:
    """Whatever a login is refused with: one request, no sign-up, no recovery, nothing kept."""
    owner = world.owner()
    for code in CODES:
        evil, place = _refusing(code, status), world.place()
        with patch("coffret.transport._TRIES", 1), pytest.raises(CoffretError):
            Vault.login(
                world.url, owner.username, PASSPHRASE, owner.secret_key, place,
                **world.around(transport=evil),
            )  # fmt: skip
        assert evil.paths == ["/readyz", "/auth/challenge"]
        with pytest.raises(CoffretError):
            Vault.open(place)


@pytest.mark.control(4)
def test_a_client_that_signs_up_instead_is_heard(world: World) -> None:
    """Control: one that takes "not initialised" for its cue sends a new account to the server."""
    owner, evil = world.owner(), _refusing("not-initialised", 404)
    arguments = (world.url, owner.username, PASSPHRASE)
    around = world.around(transport=evil)
    try:
        Vault.login(*arguments, owner.secret_key, world.place(), **around)
    except CoffretError:
        with pytest.raises(CoffretError):
            Vault.create(*arguments, world.place(), **around)
    assert evil.paths == ["/readyz", "/auth/challenge", "/readyz", "/accounts"]


# -- decrypted content that becomes a request ---------------------------------------------------

PICTURE = "https://icons.example/a-secret-in-a-link.png"


class Exchanging(Recorder):
    """Puts every byte string of an answer where another one of that answer was."""

    def __init__(self, by: int) -> None:
        """Exchange with the one that many places further on."""
        super().__init__()
        self._by = by

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and exchange what comes back."""
        response = super().handle_request(request)
        if "json" not in response.headers.get("content-type", "") or response.is_error:
            return response
        text = response.text
        found = re.findall(r'"([A-Za-z0-9+/]{40,}={0,2})"', text)
        moved = iter(
            found[self._by % len(found) :] + found[: self._by % len(found)] if found else ()
        )
        text = re.sub(r'"[A-Za-z0-9+/]{40,}={0,2}"', lambda _: f'"{next(moved)}"', text)
        kind = {"content-type": response.headers["content-type"]}
        return httpx.Response(response.status_code, content=text.encode(), headers=kind)


@pytest.mark.attack(7)
def test_nothing_that_was_opened_goes_out_though_fields_change_places(world: World) -> None:
    """With all sealed fields of all answers exchanged, no request has anything secret in it."""
    owner = world.owner()
    owner.vault.remember(f"![]({PICTURE})", title="Title", source=PICTURE, summary=PICTURE)
    world.granted(owner, world.app())
    secrets = {
        "picture": PICTURE.encode(),
        "account key": owner.vault._state.keys.keyring.account_key().reveal(),
        "seed": owner.vault._state.keys.identity.signing.seed().reveal(),
    }
    for by in range(12):
        network = Exchanging(by)
        try:
            device = world.device(owner, transport=network)
        except CoffretError:
            assert by
        else:
            device.search("picture")
            device.update(device.list()[0].id, title="Changed")
        assert {request.url.host for request in network.requests} == {"127.0.0.1"}
        assert traces(secrets, {"requests": network.sent()}) == []


@pytest.mark.control(7)
def test_a_client_that_fetches_pictures_gives_them_away(world: World) -> None:
    """Control: the scan finds the request that a client makes for a picture it has just opened."""
    owner, network = world.owner(), Recorder()
    owner.vault.remember("text", source=f"{world.url}/favicon?of={PICTURE}")
    device = world.device(owner, transport=network)
    network.handle_request(httpx.Request("GET", device.list()[0].source))
    assert traces({"picture": PICTURE.encode()}, {"requests": network.sent()})
