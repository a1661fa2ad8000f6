"""Proofs of possession, from docs/spec/7-http.md, Proof, and RFC 9449."""

from __future__ import annotations

import base64
import json
from typing import Any

from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import sha256
from vectors.verifier.refusal import INVALID_PROOF, USE_NONCE, Refused, require

Values = dict[str, Any]
_HEADER = {"typ", "alg", "jwk"}
_NEEDED = {"jti", "htm", "htu", "iat", "bdg"}
_MAY = {"ath", "nonce"}


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64url(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused(INVALID_PROOF) from None
    require(_b64url(data) == text, INVALID_PROOF)
    return data


def _object(data: bytes) -> Values:
    try:
        found = json.loads(data.decode())
        json.dumps(found, ensure_ascii=False).encode()  # no half of a character
    except ValueError:
        raise Refused(INVALID_PROOF) from None
    require(isinstance(found, dict), INVALID_PROOF)
    checked: Values = found
    return checked


def _is_text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most


def _claims(data: bytes) -> Values:
    claims = _object(data)
    require(_NEEDED <= claims.keys() <= _NEEDED | _MAY, INVALID_PROOF)
    require(_is_text(claims["jti"], 16, 64), INVALID_PROOF)
    require(type(claims["iat"]) is int and 0 <= claims["iat"] <= 1 << 53, INVALID_PROOF)
    require(_is_text(claims.get("nonce", ""), 0, 64), INVALID_PROOF)
    return claims


def _parsed(given: Values) -> Values:
    """The claims of a proof that is for this request, this token and this key."""
    proof, public = given["proof"], bytes.fromhex(given["public"])
    require(len(proof.encode()) <= 4_096 and proof.count(".") == 2, INVALID_PROOF)
    head, payload, signature = proof.split(".")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": _b64url(public)}
    header = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}
    require(_object(_unb64url(head)) == header, INVALID_PROOF)
    claims, signed = _claims(_unb64url(payload)), _unb64url(signature)
    require(len(signed) == 64, INVALID_PROOF)
    try:
        ed25519_verify(public, f"{head}.{payload}".encode(), signed)
    except Refused:
        raise Refused(INVALID_PROOF) from None
    require(claims["htm"] == given["method"], INVALID_PROOF)
    require(claims["htu"] in [o + given["path"] for o in given["origins"]], INVALID_PROOF)
    content = given["query"].encode() + b"\n" + bytes.fromhex(given["body"])
    require(claims["bdg"] == _b64url(sha256(content)), INVALID_PROOF)
    bound = {"ath": _b64url(sha256(given["token"].encode()))} if given["token"] else {}
    require({n: v for n, v in claims.items() if n == "ath"} == bound, INVALID_PROOF)
    return claims


class _Process:
    """A process of a server: since when it takes proofs, and which it took."""

    def __init__(self, given: Values) -> None:
        self.given = given
        self.began = self.latest = given["began"]
        self.names: set[str] = set()

    def take(self, proof: str, now: int) -> None:
        if now + 10 < self.latest:
            self.began = self.latest = now
        self.latest = max(self.latest, now)
        claims = _parsed(self.given | {"proof": proof})
        at, most = claims["iat"], now
        if "nonce" in claims:
            at, most = dict(self.given["nonces"]).get(claims["nonce"], -1), now + 10
        require(max(now - 60, self.began) <= at <= most, USE_NONCE)
        require(claims["jti"] not in self.names, INVALID_PROOF)
        self.names.add(claims["jti"])


def check(given: Values) -> Values:
    """Take a proof, behind those that came before."""
    process = _Process(given)
    for at, proof in given["earlier"]:
        try:
            process.take(proof, at)
        except Refused:
            continue
    process.take(given["proof"], given["now"])
    return {}


def thumbprint(given: Values) -> Values:
    """RFC 7638, of an Ed25519 key: its members in order, without spaces."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": _b64url(bytes.fromhex(given["public"]))}
    return {"thumbprint": _b64url(sha256(json.dumps(jwk, separators=(",", ":")).encode()))}
