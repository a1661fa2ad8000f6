"""Proofs of possession (RFC 9449), written from the specification alone."""

import base64
import json
import os
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.forge.encoding import public

HOLDERS: dict[str, Ed25519PrivateKey] = {}
"""The key of every token that tests were given."""


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jws(key: Ed25519PrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A JWS in its compact form, signed with Ed25519 whatever its header says."""
    signed = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{b64url(key.sign(signed.encode()))}"


def header_of(key: Ed25519PrivateKey) -> dict[str, Any]:
    """The header of a proof."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url(public(key))}
    return {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}


def claims_of(
    method: str, address: str, body: bytes = b"", *, token: str = "", query: str = "", at: int
) -> dict[str, Any]:
    """The claims of a proof, `at` in seconds since 1970."""
    claims: dict[str, Any] = {
        "jti": b64url(os.urandom(16)),
        "htm": method,
        "htu": address,
        "iat": at,
        "bdg": b64url(sha256(query.encode() + b"\n" + body).digest()),
    }
    if token:
        claims["ath"] = b64url(sha256(token.encode()).digest())
    return claims


def bound(
    method: str, url: str, body: bytes = b"", *, token: str, at: int, key: Any = None
) -> dict[str, str]:
    """The headers of a request to an address (with its query) under a token, if it is known."""
    holder = key or HOLDERS.get(token)
    if holder is None:
        return {"Authorization": f"{'Bearer' if token.startswith('cfd_') else 'DPoP'} {token}"}
    address, _, query = url.partition("?")
    claims = claims_of(method, address, body, token=token, query=query, at=at)
    return {"Authorization": f"DPoP {token}", "DPoP": jws(holder, header_of(holder), claims)}
