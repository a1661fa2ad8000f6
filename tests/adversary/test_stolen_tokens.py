"""A thief with a token and all that was said with it, but not with the key it is bound to."""

from __future__ import annotations

import hmac
import json
import time
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import UUID

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coffret.flows.apps import send
from coffret.flows.http import Request
from coffret_server.proofs import Proofs
from harness import thief
from harness.network import BASE, Recorder, once
from server import forge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import App
    from harness.world import Clock, Owner, World

BY_HEAD = {
    ("post", "/log"),
    ("post", "/memory-blobs"),
    ("post", "/memory-blobs/batch"),
    ("put", "/memory-blobs/{id}"),
    ("delete", "/memory-blobs/{id}"),
}
"""Calls whose body carries a head that the owner signed; docs/adr/0021."""
PACK = {"content-type": "application/msgpack"}
NOWHERE = "0190b4de-0000-7000-8000-000000000000"


class Scene:
    """An owner and an app at a server, and a thief who has their tokens."""

    def __init__(self, world: World, client: httpx.Client) -> None:
        """Let them do a little."""
        self.client = client
        self.url = world.url + BASE
        self.network = Recorder()
        self.owner: Owner = world.owner(transport=self.network)
        self.owner.vault.remember("precious")
        self.app: App = world.app(transport=self.network)
        self.grant, self.access = world.granted(self.owner, self.app)
        self.access.memories()
        self.token, self.key = thief.session_of(self.owner.vault)

    def get(self, headers: dict[str, str], path: str = "/sync") -> httpx.Response:
        """Read something."""
        return self.client.get(self.url + path, headers=headers)

    def proof(self, key: Any = None, **changed: Any) -> dict[str, str]:
        """A proof for reading the sync feed, with parts of it changed; None takes one out."""
        claims = forge.claims_of(
            "GET", f"{self.url}/sync", token=self.token, at=int(time.time())
        ) | changed.pop("claims", {})
        header = forge.header_of(self.key) | changed.pop("header", {})
        made = forge.jws(
            key or self.key,
            {name: value for name, value in header.items() if value is not None},
            {name: value for name, value in claims.items() if value is not None},
        )
        return {"authorization": f"DPoP {self.token}", "dpop": made}


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    """The scene."""
    with httpx.Client() as client:
        yield Scene(world, client)


def _refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["www-authenticate"].startswith("DPoP ")
    return answer.status_code, answer.json()["code"]


def _calls(scene: Scene) -> list[tuple[str, str]]:
    """Every call that takes a session or an app's token, by the server's own description."""
    paths = scene.client.get(f"{scene.url}/openapi.json").json()["paths"]
    return [
        (method, path.removeprefix(BASE))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if {"dpop": []} in operation.get("security", [])
    ]


@pytest.mark.attack(45)
def test_a_token_alone_opens_no_call(scene: Scene) -> None:
    """Without a proof, under either scheme, every call is refused; appends want a signed head."""
    before = thief.kept(scene.owner.vault)
    app_token, _ = thief.token_of(scene.app)
    calls = _calls(scene)
    assert set(calls) >= BY_HEAD
    for method, path in calls:
        url = scene.url + path.replace("{id}", NOWHERE).replace("{username}", "ada")
        for token in (scene.token, app_token):
            headers = {"authorization": f"DPoP {token}", "if-match": '"1"', **PACK}
            answer = scene.client.request(method, url, headers=headers, content=b"\x80")
            if (method, path) in BY_HEAD:
                assert answer.status_code in {400, 403, 404}, (method, path)
            else:
                assert _refusal(answer) == (401, "invalid-proof"), (method, path)
            headers["authorization"] = f"Bearer {token}"
            answer = scene.client.request(method, url, headers=headers, content=b"\x80")
            assert _refusal(answer) == (401, "unauthenticated"), (method, path)
    assert thief.kept(scene.owner.vault) == before


@pytest.mark.control(45)
def test_a_token_alone_opens_a_server_that_asks_for_no_proof(scene: Scene) -> None:
    """Control: where proofs are not looked at, the token is all that it takes."""
    with patch.object(Proofs, "check"):
        answer = scene.get({"authorization": f"DPoP {scene.token}"})
    assert answer.status_code == 200
    assert scene.get(scene.proof()).status_code == 200


def _hs256(scene: Scene) -> str:
    """A proof whose MAC key is the public key, for those who verify as the header says."""
    header = forge.header_of(scene.key) | {"alg": "HS256"}
    claims = forge.claims_of("GET", f"{scene.url}/sync", token=scene.token, at=int(time.time()))
    signed = ".".join(forge.b64url(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.digest(forge.public(scene.key), signed.encode(), "sha256")
    return f"{signed}.{forge.b64url(mac)}"


def _unsigned(scene: Scene) -> str:
    return scene.proof(header={"alg": "none"})["dpop"].rpartition(".")[0] + "."


def _hashed(data: bytes) -> str:
    return forge.b64url(sha256(data).digest())


STRANGER = Ed25519PrivateKey.generate()
WRONG: dict[str, Callable[[Scene], dict[str, str]]] = {
    "another key": lambda it: it.proof(STRANGER, header=forge.header_of(STRANGER)),
    "another key under our jwk": lambda it: it.proof(STRANGER),
    "our key under another jwk": lambda it: it.proof(header=forge.header_of(STRANGER)),
    "a jwk with the private half": lambda it: it.proof(
        header={"jwk": forge.header_of(it.key)["jwk"] | {"d": forge.b64url(bytes(32))}}
    ),
    "a key of small order": lambda it: it.proof(
        header={"jwk": forge.header_of(it.key)["jwk"] | {"x": forge.b64url(bytes(32))}}
    ),
    "no key": lambda it: it.proof(header={"jwk": None}),
    "alg none": lambda it: it.proof(header={"alg": "none"}),
    "alg none, unsigned": lambda it: it.proof() | {"dpop": _unsigned(it)},
    "alg HS256": lambda it: it.proof() | {"dpop": _hs256(it)},
    "alg ES256": lambda it: it.proof(header={"alg": "ES256"}),
    "no alg": lambda it: it.proof(header={"alg": None}),
    "another typ": lambda it: it.proof(header={"typ": "JWT"}),
    "a critical extension": lambda it: it.proof(header={"crit": ["b64"], "b64": False}),
    "another method": lambda it: it.proof(claims={"htm": "POST"}),
    "another path": lambda it: it.proof(claims={"htu": f"{it.url}/tags"}),
    "another origin": lambda it: it.proof(claims={"htu": "https://evil.example/api/v1/sync"}),
    "another token": lambda it: it.proof(claims={"ath": _hashed(b"another")}),
    "no token's hash": lambda it: it.proof(claims={"ath": None}),
    "another query": lambda it: it.proof(claims={"bdg": _hashed(b"from=1\n")}),
    "another body": lambda it: it.proof(claims={"bdg": _hashed(b"\nbody")}),
    "no digest": lambda it: it.proof(claims={"bdg": None}),
    "a minute old": lambda it: it.proof(claims={"iat": int(time.time()) - 62}),
    "a minute ahead": lambda it: it.proof(claims={"iat": int(time.time()) + 60}),
    "no time": lambda it: it.proof(claims={"iat": None}),
    "a time that is text": lambda it: it.proof(claims={"iat": str(int(time.time()))}),
    "a nonce of the thief": lambda it: it.proof(
        claims={"iat": 0, "nonce": forge.b64url(int(time.time()).to_bytes(8, "big") + bytes(24))}
    ),
    "no jti": lambda it: it.proof(claims={"jti": None}),
    "a short jti": lambda it: it.proof(claims={"jti": "1"}),
    "a claim more": lambda it: it.proof(claims={"admin": True}),
    "the token itself": lambda it: it.proof() | {"dpop": it.token},
    "nothing": lambda it: it.proof() | {"dpop": ""},
    "dots": lambda it: it.proof() | {"dpop": ".."},
    "four parts": lambda it: it.proof() | {"dpop": it.proof()["dpop"] + ".AAAA"},
    "a long one": lambda it: it.proof() | {"dpop": "A" * 9_000 + ".A.A"},
    "one of an app": lambda it: it.proof(thief.token_of(it.app)[1]),
}


@pytest.mark.attack(45)
def test_a_proof_is_right_in_every_part(scene: Scene) -> None:
    """One claim, key or form other than it should be, and the proof is refused; each on its own."""
    assert scene.get(scene.proof()).status_code == 200
    for name, wrong in WRONG.items():
        assert _refusal(scene.get(wrong(scene))) == (401, "invalid-proof"), name
    assert scene.get(scene.proof()).status_code == 200


@pytest.mark.attack(45)
def test_two_proofs_are_none(scene: Scene) -> None:
    """A request with two proofs, or two tokens, is refused before either is looked at."""
    good = scene.proof()
    for twice in ("authorization", "dpop"):
        headers = [*good.items(), (twice, good[twice])]
        answer = scene.client.get(f"{scene.url}/sync", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.attack(43, 45)
def test_a_proof_works_once(scene: Scene) -> None:
    """The very same request is refused the second time, and one with the same id but newer too."""
    proof = scene.proof(claims={"jti": "one-and-the-same-id"})
    assert scene.get(proof).status_code == 200
    assert _refusal(scene.get(proof)) == (401, "invalid-proof")


ALTERED: dict[str, Callable[[httpx.Request], dict[str, Any]]] = {
    "body": lambda it: {"content": it.content + b" "},
    "method": lambda it: {"method": "PUT" if it.method == "POST" else "POST"},
    "path": lambda it: {"url": f"{it.url.copy_with(query=None)}/{NOWHERE}"},
    "another call": lambda it: {"url": str(it.url.copy_with(path=f"{BASE}/auth/sessions"))},
    "query": lambda it: {"url": str(it.url.copy_with(query=b"from=0&limit=1"))},
    "scheme": lambda it: {
        "headers": {"authorization": it.headers["authorization"].replace("DPoP", "Bearer")}
    },
    "no proof": lambda _: {"headers": {"dpop": None}},
}


@pytest.mark.attack(45)
@pytest.mark.parametrize("part", ALTERED)
def test_a_request_that_was_held_back_cannot_be_altered(world: World, part: str) -> None:
    """Stopped on its way, so that its proof was never used, a request works only as it is."""
    with httpx.Client() as client:
        scene = Scene(world, client)
        held: list[httpx.Request] = []
        chosen = once("POST", f"/grants/{scene.grant}")

        def holding(request: httpx.Request) -> httpx.Response:
            if chosen(request):
                held.append(request)
                raise httpx.ConnectError(part)
            return Recorder.handle_request(scene.network, request)

        with patch.object(scene.network, "handle_request", holding):
            scene.owner.vault.pause(scene.grant)
        (request,) = held
        before = thief.kept(scene.owner.vault)
        answer = thief.said_again(client, request, **ALTERED[part](request))
        assert answer.status_code in {401, 404, 405}, answer.text
        assert thief.kept(scene.owner.vault) == before
        answer = thief.said_again(client, request)
        assert answer.status_code != 401, "the request itself is good"


@pytest.mark.attack(45)
def test_an_api_key_alone_gives_no_token(scene: Scene) -> None:
    """Whoever has an app's API key needs its registered private key too."""
    url, body = f"{scene.url}/auth/token", json.dumps({"api_key": scene.app._state.file.api_key})
    _, key = thief.token_of(scene.app)
    for shown, status in ((None, 401), (STRANGER, 401), (key, 200)):
        now = int(time.time())
        headers = forge.bound("POST", url, body.encode(), token="", at=now, key=shown or STRANGER)
        del headers["Authorization"]
        if shown is None:
            del headers["DPoP"]
        headers["content-type"] = "application/json"
        answer = scene.client.post(url, content=body, headers=headers)
        assert answer.status_code == status
        assert ("DPoP" in answer.text) == (status == 200)


def _append(scene: Scene) -> dict[str, Any]:
    """The append that was heard last."""
    heard = [item for item in scene.network.requests if item.url.path.endswith("/memory-blobs")]
    found: dict[str, Any] = msgspec.msgpack.decode(heard[-1].content)
    return found


def _nothing_under_the_head_in_force(scene: Scene) -> dict[str, Any]:
    """An append of nothing under the owner's head, which apps are told, that takes keys away."""
    asked = Request("GET", f"/grants/{scene.grant}/head", media="application/msgpack")
    current = msgspec.msgpack.decode(scene.app._driver.run(send(scene.app._state, asked)).body)
    memories, grant = scene.owner.vault.memory_ids(), UUID(scene.grant).bytes
    unwraps = [[grant, UUID(item).bytes] for item in memories]
    return {"base": current["size"], "head": current["head"], "leaves": [], "unwraps": unwraps}


def _altered(**changed: Any) -> Callable[[Scene], dict[str, Any]]:
    return lambda scene: _append(scene) | changed


APPENDS: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "the one that was heard": _append,
    "with another base": _altered(base=4),
    "without its records": _altered(records=[]),
    "with a stranger's head": lambda it: (
        _append(it) | {"head": forge.Owner().first_append()["head"]}
    ),
    "of nothing, under the head in force": _nothing_under_the_head_in_force,
}


@pytest.mark.attack(45)
@pytest.mark.parametrize("name", APPENDS)
def test_a_token_alone_appends_nothing(world: World, name: str) -> None:
    """Appends need no proof: no one but the owner can sign their head, and old ones do nothing."""
    with httpx.Client() as client:
        scene = Scene(world, client)
        body = APPENDS[name](scene)
        before = thief.kept(scene.owner.vault)
        answer = client.post(
            f"{scene.url}/log",
            content=msgspec.msgpack.encode(body),
            headers={"authorization": f"DPoP {scene.token}", **PACK},
        )
        assert b"current" not in answer.content
        assert thief.kept(scene.owner.vault) == before
        assert len(scene.access.memories()) == 1


@pytest.mark.attack(45)
def test_a_wrong_clock_does_not_lock_a_device_out(world: World, server_clock: Clock) -> None:
    """A device that is days off is given a nonce when it needs one, and need not log in again."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.remember("one")
    for days in (3, -6):
        world.clock.forward(days=days)
        server_clock.forward(seconds=62)
        before = len(network.requests)
        owner.vault.sync()
        assert network.paths[before:] == ["/sync", "/sync"]
        owner.vault.sync()
        assert network.paths[before:] == ["/sync"] * 3
    server_clock.offset = timedelta()
    assert network.paths.count("/auth/login") == 1


@pytest.mark.attack(45)
@pytest.mark.parametrize("code", ["unauthenticated", "invalid-proof", "session-ended"])
def test_no_server_talks_a_device_out_of_its_proofs(world: World, code: str) -> None:
    """Whatever a server asks for, every request under a token is bound to its key, or a head."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.remember("one")
    body = {"code": code, "status": 401}
    headers = {
        "www-authenticate": "Bearer",
        "content-type": "application/problem+json",
        "dpop-nonce": "made-up",
    }

    def asking(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/challenge"):
            return Recorder.handle_request(network, request)
        network.requests.append(request)
        return httpx.Response(401, json=body, headers=headers)

    before = len(network.requests)
    with patch.object(network, "handle_request", asking), pytest.raises(Exception, match=r"."):
        owner.vault.sync()
    sent = network.requests[before:]
    assert 2 <= len(sent) <= 8
    for request in sent:
        if "authorization" in request.headers:
            assert request.headers["authorization"].startswith("DPoP ")
            assert "dpop" in request.headers
