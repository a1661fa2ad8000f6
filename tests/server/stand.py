"""A server in the test's own process, and the steps that most tests begin with."""

import contextlib
import json
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from coffret_server.app import create_app
from coffret_server.settings import Settings
from server import forge
from server.answers import is_as_described

ORIGIN = "http://testserver"
PACK = "application/msgpack"
START = 1_800_000_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START
        self.seconds = 1_000.0

    def __call__(self) -> int:
        """µs since 1970."""
        return self.now

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * 1_000_000)
        self.seconds += seconds


class Stand:
    """A running server and a client of it."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock, app: Any, database: str) -> None:
        self.http = http
        self.clock = clock
        self.app = app
        self.database = database

    async def get(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        """GET below the base."""
        return await self.request("GET", path, b"", token, options.pop("headers", {}))

    async def post(self, path: str, body: Any, token: str = "", **options: Any) -> httpx.Response:
        """POST a JSON body."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        raw = b"" if body is None else json.dumps(body).encode()
        return await self.request("POST", path, raw, token, headers | options.pop("headers", {}))

    async def delete(self, path: str, token: str) -> httpx.Response:
        """DELETE below the base."""
        return await self.request("DELETE", path, b"", token)

    async def request(
        self, method: str, path: str, body: bytes, token: str = "", headers: Any = None
    ) -> httpx.Response:
        """Send a request, with a proof where there is a token."""
        shown = self.bound(method, path, body, token) if token else {}
        return await self.http.request(
            method, f"/api/v1{path}", content=body, headers=shown | (headers or {})
        )

    def bound(self, method: str, path: str, body: bytes, token: str) -> dict[str, str]:
        """The headers of a request under a token: itself, and a proof that it is ours."""
        url = f"{ORIGIN}/api/v1{path}"
        return forge.bound(method, url, body, token=token, at=self.clock.now // 1_000_000)

    async def send(
        self, method: str, path: str, body: Any, token: str = "", **options: Any
    ) -> httpx.Response:
        """Send a MessagePack body; bytes go as they are."""
        raw = body if isinstance(body, bytes) else msgspec.msgpack.encode(plain(body))
        headers = {"Content-Type": PACK} | options.pop("headers", {})
        return await self.request(method, path, raw, token, headers)

    async def sign_up(self, username: str = "ada") -> forge.Owner:
        """A new owner, logged in."""
        owner = forge.Owner(username)
        first = owner.first_append()
        answer = await self.post("/accounts", owner.creation(first))
        assert answer.status_code == 201, answer.text
        owner.commit(first)
        await self.log_in(owner)
        return owner

    async def log_in(self, owner: forge.Owner) -> None:
        """A session for an owner."""
        body = {"username": owner.username, "kind": "passphrase"}
        challenge = (await self.post("/auth/challenge", body)).json()
        answer = await self.post("/auth/login", owner.login_body(challenge, ORIGIN))
        assert answer.status_code == 200, answer.text
        owner.token = answer.json()["token"]
        forge.HOLDERS[owner.token] = owner.session

    async def append(
        self, owner: forge.Owner, append: dict[str, Any], path: str = "/log"
    ) -> httpx.Response:
        """Send an append; if it is accepted the owner's view follows."""
        answer = await self.send("POST", path, append, owner.token)
        if answer.is_success:
            owner.commit(append)
        return answer

    async def remember(self, owner: forge.Owner, **fields: Any) -> uuid.UUID:
        """A new memory."""
        memory = fields.pop("memory", None) or forge.new_id()
        answer = await self.append(owner, owner.put(owner.memory(memory, **fields)))
        assert answer.is_success, answer.text
        return memory

    async def new_app(self, name: str = "Wayfarer") -> forge.App:
        """A registered app with a token."""
        app = forge.App(name)
        body = {"name": "Wayfarer Ltd", "contact": "hello@wayfarer.example"}
        developer = (await self.post("/developers", body)).json()["developer_key"]
        manifest = app.manifest()
        body = {
            "manifest": forge.b64(manifest),
            "signature": forge.b64(forge.sign(app.key, "app-manifest", manifest)),
        }
        answer = await self.post("/apps", body, developer)
        assert answer.status_code == 201, answer.text
        app.developer_key, app.api_key = developer, answer.json()["api_key"]
        await self.authorize(app)
        return app

    async def authorize(self, app: forge.App) -> None:
        """A new token for an app."""
        answer = await self.take_token(app)
        app.token = answer.json()["access_token"]
        forge.HOLDERS[app.token] = app.key

    async def take_token(self, app: forge.App, key: Any = None) -> httpx.Response:
        """Ask for a token with an app's API key, proving its registered key or another."""
        body, path = json.dumps({"api_key": app.api_key}).encode(), "/auth/token"
        url, at = f"{ORIGIN}/api/v1{path}", self.clock.now // 1_000_000
        proof = forge.bound("POST", url, body, token="", at=at, key=key or app.key)
        headers = {"Content-Type": "application/json", "DPoP": proof["DPoP"]}
        return await self.request("POST", path, body, headers=headers)

    async def ask(self, app: forge.App, owner: forge.Owner, **fields: Any) -> bytes:
        """A pending access request; its bytes."""
        request = app.request(owner, created=self.clock.now, **fields)
        answer = await self.post("/access-requests", signed_request(app, request), app.token)
        assert answer.status_code == 201, answer.text
        return request

    async def grant(
        self,
        owner: forge.Owner,
        app: forge.App,
        scopes: tuple[str, ...] = ("create", "delete", "read", "update"),
        *,
        activate: bool = True,
    ) -> uuid.UUID:
        """An approved, and by default active, grant."""
        request = await self.ask(app, owner, scopes=scopes)
        grant, app.time = forge.new_id(), self.clock.now
        statement = forge.grant_statement(
            owner, app, request, grant=grant, scopes=scopes, created=self.clock.now
        )
        body, append = decision(owner, grant, statement)
        path = f"/access-requests/{request_id(request)}/decision"
        answer = await self.post(path, body, owner.token)
        assert answer.status_code == 200, answer.text
        owner.commit(append)
        owner.statements[grant] = statement
        if activate:
            answer = await self.post(f"/grants/{grant}/activate", None, owner.token)
            assert answer.status_code == 200, answer.text
        return grant

    async def share(self, owner: forge.Owner, grant: uuid.UUID, *memories: uuid.UUID) -> None:
        """Give a grant the keys of memories."""
        wraps = [[memory, 1, forge.wrapped()] for memory in memories]
        answer = await self.send("POST", f"/grants/{grant}/wraps", {"wraps": wraps}, owner.token)
        assert answer.status_code == 200, answer.text

    async def set_state(
        self, owner: forge.Owner, grant: uuid.UUID, state: str, version: int
    ) -> httpx.Response:
        """Pause, resume or revoke a grant."""
        kind = {"active": "resume", "paused": "pause", "revoked": "revoke"}[state]
        digest = forge.hash_of(owner.statements[grant])
        append = owner.append(owner.entry(kind, grant, version, digest))
        body = {"state": state, "append": forge.as_json(append)}
        answer = await self.post(f"/grants/{grant}/state", body, owner.token)
        if answer.is_success:
            owner.commit(append)
        return answer

    async def write(
        self, app: forge.App, grant: uuid.UUID, body: dict[str, Any], owner: forge.Owner
    ) -> httpx.Response:
        """An app's writing; if it is accepted the owner's view of the log follows."""
        answer = await self.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)
        if answer.is_success:
            owner.follow(body["leaves"])
        return answer

    async def sync(self, owner: forge.Owner, start: int = 0) -> list[Any]:
        """The sync feed."""
        answer = await self.get(f"/sync?from={start}&limit=5000", owner.token)
        assert answer.status_code == 200, answer.text
        found: list[Any] = msgspec.msgpack.decode(answer.content)
        return found


def plain(value: Any) -> Any:
    """A value as MessagePack holds it: ids are 16 bytes."""
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def request_id(request: bytes) -> uuid.UUID:
    """The id in an access request."""
    start = 8 + len(b"coffret/v1/access-request") + 8 + 8 + 1 + 8
    return uuid.UUID(bytes=request[start : start + 16])


def signed_request(app: forge.App, request: bytes) -> dict[str, str]:
    """The body that places a request."""
    return {
        "request": forge.b64(request),
        "signature": forge.b64(forge.sign(app.key, "access-request", request)),
    }


def decision(
    owner: forge.Owner, grant: uuid.UUID, statement: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body of an approval, and its append."""
    append = owner.append(owner.entry("grant", grant, 1, forge.hash_of(statement)))
    body = {
        "decision": "approve",
        "grant": forge.approval(owner, statement),
        "append": forge.as_json(append),
    }
    return body, append


def code(answer: httpx.Response) -> tuple[int, str]:
    """The status and code of a refusal, which must be a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["code"]


@contextlib.asynccontextmanager
async def serving(database: str, clock: Clock, **settings: Any) -> AsyncIterator[Stand]:
    """A server on a database, until the block is left."""
    chosen = Settings(database, origins=(ORIGIN,), **settings)
    app = create_app(chosen, clock=clock, monotonic=clock.monotonic)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=ORIGIN,
            event_hooks={"response": [is_as_described]},
        ) as http,
    ):
        yield Stand(http, clock, app, database)


def place(*values: object) -> str:
    """A place in a table of the server's view, as it would stand in a query."""
    return quote(urlsafe_b64encode(msgspec.msgpack.encode(values)))
