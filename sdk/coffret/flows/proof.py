"""Prove that a request is by whoever holds its token's key. docs/spec/7-http.md, Proof.

RFC 9449 (DPoP) with Ed25519, and a claim of our own over what that leaves out, query and body. The
first bytes of what is signed are those of a JWS, which no statement of ours begins with, so that an
app's registered key can be used here too.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.unshown import Unshown
from coffret_vault.primitives.identity import KEY_SIZE, SigningKey
from coffret_vault.primitives.secret import SecretBytes

if TYPE_CHECKING:
    from coffret.flows.http import Flow, Request, Response
    from coffret.flows.state import Ambient

_UNAUTHENTICATED = 401
_JTI = 16
_LONGEST_NONCE = 64
_SECOND = 1_000_000
_encode = msgspec.json.Encoder().encode


def _b64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class Prover:
    """Makes proofs with one key.

    Attributes:
        nonce: the server's, which it wants where this device's clock is not to be relied on.
    """

    __slots__ = ("_ambient", "_header", "key", "nonce")

    def __init__(self, key: SigningKey, ambient: Ambient) -> None:
        """Prove possession of ``key``."""
        self.key = key
        self.nonce = ""
        self._ambient = ambient
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": _b64url(key.public)}
        self._header = _b64url(_encode({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}))

    def __repr__(self) -> str:
        return "<Prover>"

    def prove(self, request: Request, address: str, query: bytes) -> str:
        """A proof for one sending of a request to an address (without its query)."""
        claims: dict[str, str | int] = {
            "jti": _b64url(self._ambient.random(_JTI)),
            "htm": request.method,
            "htu": address,
            "iat": self._ambient.now() // _SECOND,
            "bdg": _b64url(sha256(query + b"\n" + request.body).digest()),
        }
        if request.token:
            claims["ath"] = _b64url(sha256(request.token.encode("ascii")).digest())
        if self.nonce:
            claims["nonce"] = self.nonce
        signed = f"{self._header}.{_b64url(_encode(claims))}"
        return f"{signed}.{_b64url(self.key.sign(signed.encode('ascii')))}"


class Session(Unshown, msgspec.Struct, frozen=True):
    """A login: a token, and what proves that it is ours."""

    token: str
    prover: Prover


def pack_session(session: Session | None) -> SecretBytes:
    """A session as another process of the same person keeps it; nothing where there is none."""
    if session is None:
        return SecretBytes(b"")
    return SecretBytes(session.prover.key.seed().reveal() + session.token.encode("ascii"))


def unpack_session(packed: SecretBytes, ambient: Ambient) -> Session | None:
    """Undo :func:`pack_session`."""
    data = packed.reveal()
    if len(data) <= KEY_SIZE:
        return None
    key = SigningKey(SecretBytes(data[:KEY_SIZE]))
    return Session(data[KEY_SIZE:].decode("ascii"), Prover(key, ambient))


def proved(request: Request) -> Flow[Response]:
    """Send a request; where its proof was refused and a nonce given, once more with that.

    So a device whose clock is wrong is understood, and so is one whose request came twice.
    """
    response: Response = yield request
    nonce = response.headers.get("dpop-nonce", "")
    if response.status != _UNAUTHENTICATED or request.prover is None or not _is_nonce(nonce):
        return response
    request.prover.nonce = nonce
    response = yield request
    return response


def _is_nonce(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NONCE and text.isascii() and text.isprintable()
