"""Somebody with what a log or a broken connection shows: tokens, and whole requests."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coffret.flows.session import get
from harness.network import BASE
from server import forge

if TYPE_CHECKING:
    from coffret import App, Vault

PASSING = frozenset({"sessions", "used_nonces", "idempotency", "login_failures"})
"""Tables that say who was here, not what they keep."""


def session_of(vault: Vault) -> tuple[str, Ed25519PrivateKey]:
    """A device's token, and the key that its proofs are made with."""
    session = vault._state.session
    assert session is not None
    seed = session.prover.key.seed().reveal()
    return session.token, Ed25519PrivateKey.from_private_bytes(seed)


def token_of(app: App) -> tuple[str, Ed25519PrivateKey]:
    """An app's token, and its registered key."""
    state = app._state
    seed = state.identity.signing.seed().reveal()
    return state.token, Ed25519PrivateKey.from_private_bytes(seed)


def kept(vault: Vault) -> dict[str, Any]:
    """Everything the server keeps about an account, by table."""
    flow = get(vault._state, "/accounts/me/server-view", ("limit", "500"))
    tables = vault._driver.run(flow).body
    found = httpx.Response(200, content=tables).json()["tables"]
    return {row["table"]: row["rows"] for row in found if row["table"] not in PASSING}


def said_again(client: httpx.Client, heard: httpx.Request, **changed: Any) -> httpx.Response:
    """The very bytes of a request again, or with a part of it changed."""
    headers = {**heard.headers, **changed.pop("headers", {})}
    for name in ("content-length", "transfer-encoding", "host"):
        headers.pop(name, None)
    return client.request(
        changed.get("method", heard.method),
        changed.get("url", str(heard.url)),
        content=changed.get("content", heard.content),
        headers={name: value for name, value in headers.items() if value is not None},
    )


def proved_again(heard: httpx.Request, token: str, key: Ed25519PrivateKey) -> dict[str, str]:
    """The headers of a request, made anew by somebody who has the key."""
    address, body = str(heard.url), heard.content
    return forge.bound(heard.method, address, body, token=token, at=int(time.time()), key=key)


def path_of(request: httpx.Request) -> str:
    """A request's method and path behind the base."""
    return f"{request.method} {request.url.path.removeprefix(BASE)}"


def is_session(token: str) -> bool:
    """Whether a token is an owner's, not an app's."""
    return token.startswith("cfs_") and len(b64decode(token[4:], altchars=b"-_")) > 0
