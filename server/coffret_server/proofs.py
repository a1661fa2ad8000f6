"""Proof of possession: RFC 9449 (DPoP) with Ed25519, over the body and the query as well.

A token says who calls; a proof shows that the caller holds the private key that the token is bound
to: a device's session key, or an app's registered key. A proof is for one request and works once.
That it works once is kept in the memory of this process, for as long as the proof is young enough
to be taken: another process of the same server could be shown it once more, but for the few calls
where that would matter (`coffret_server.once`). What is older than this process is not taken from
its own time alone, so that a restart forgets nothing; nor is what is dated ahead, since it could
come again after a restart and would be younger than that. What remains is the second of a restart
itself, and a clock of ours that was ahead before it (SECURITY.md, What is not promised, 6).

A device whose clock is wrong, or whose proof came twice, is given a nonce, which carries our time.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Final, Literal, NoReturn

import msgspec

from coffret_server.problems import ProblemError
from coffret_server.signatures import Verifier

WINDOW: Final = 60
"""Seconds for which a proof, or a nonce, is good."""
APART: Final = 10
"""Seconds by which clocks of processes of this server may differ, and ours be put back."""
MOST: Final = 250_000
"""Proofs remembered at once: more than a process can verify within the window."""
SECOND: Final = 1_000_000
STALE: Final = 'error="use_dpop_nonce"'
"""What a caller is told whose proof is by the right key, for the right request, of another time."""
_INVALID: Final = 'error="invalid_dpop_proof"'
_LONGEST: Final = 4_096
_MARK_SIZE: Final = 16
_NONCE_TIME: Final = 8
_NONCE_BODY: Final = 16
_NONCE_SIZE: Final = 32
_Digest = Annotated[str, msgspec.Meta(min_length=43, max_length=43)]


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: _Digest


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    typ: Literal["dpop+jwt"]
    alg: Literal["EdDSA"]
    jwk: _Key


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jti: Annotated[str, msgspec.Meta(min_length=16, max_length=64)]
    htm: str
    htu: str
    iat: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
    bdg: _Digest
    ath: _Digest | msgspec.UnsetType = msgspec.UNSET
    nonce: Annotated[str, msgspec.Meta(max_length=64)] | msgspec.UnsetType = msgspec.UNSET


_header = msgspec.json.Decoder(_Header).decode
_claims = msgspec.json.Decoder(_Claims).decode


class Shown(msgspec.Struct, frozen=True):
    """What a request shows of itself.

    Attributes:
        authorization: the header of that name, or empty.
        proof: the `DPoP` header, or empty.
        method: GET, POST…
        path: the path, without the query.
        query: the query as it stands in the request, without its question mark.
        body: the body.
    """

    authorization: bytes
    proof: bytes
    method: str
    path: str
    query: bytes
    body: bytes

    def __repr__(self) -> str:
        """Without the token and all else that only the caller may hold."""
        return f"<Shown {self.method}>"

    def token(self, scheme: str) -> str:
        """The token behind a scheme, or empty."""
        kind, _, token = self.authorization.decode("latin-1").partition(" ")
        return token if kind.lower() == scheme else ""


def encode(data: bytes) -> str:
    """Bytes as JOSE writes them: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: bytes) -> bytes:
    """Bytes that are written in the one form of `encode`; Python reads others as well."""
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if encode(data).encode() != text:
        message = "bytes are not in base64url without padding"
        raise ValueError(message)
    return data


def thumbprint(public_key: bytes) -> str:
    """The RFC 7638 thumbprint of an Ed25519 key, as `cnf.jkt` has it."""
    x = encode(public_key)
    return encode(sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())


class Proofs:
    """The proofs that this process has taken."""

    def __init__(self, origins: tuple[str, ...], key: bytes, clock: Callable[[], int]) -> None:
        """See the module.

        Args:
            origins: by which callers know this server.
            key: a secret of the server, for nonces.
            clock: µs since 1970.
        """
        self._origins = origins
        self._key = key
        self._clock = clock
        self._began = self._latest = clock() // SECOND
        self._taken: dict[int, set[bytes]] = {}

    def check(self, shown: Shown, token: str, holder: Verifier) -> bytes:
        """Take a proof, which must be for this request, this token and this key.

        Args:
            shown: the request.
            token: the token that it comes with; empty where it asks for one.
            holder: the key that the token is bound to.

        Returns:
            What the proof is known by, 16 bytes: another process may not have seen it.

        Raises:
            ProblemError: `invalid-proof`, with a nonce for another try.
        """
        claims = self._signed(shown.proof, holder)
        bound = encode(sha256(token.encode("latin-1")).digest()) if token else msgspec.UNSET
        if (
            claims.htm != shown.method
            or claims.htu not in [origin + shown.path for origin in self._origins]
            or claims.ath != bound
            or claims.bdg != encode(sha256(shown.query + b"\n" + shown.body).digest())
        ):
            self._refuse("the proof is for another request or token")
        mark = sha256(holder.public_key + claims.jti.encode()).digest()[:_MARK_SIZE]
        self._take(mark, claims)
        return mark

    def _signed(self, proof: bytes, holder: Verifier) -> _Claims:
        """The claims of a proof by this key."""
        try:
            head, payload, signature = (proof if len(proof) <= _LONGEST else b"").split(b".")
            header = _header(_decode(head))
            claims = _claims(_decode(payload))
            signed = _decode(signature)
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            self._refuse("a proof of possession is needed, in the published form")
        if header.jwk.x != encode(holder.public_key):
            self._refuse("the proof is by another key than the token's")
        try:
            holder.verify(signed, head + b"." + payload)
        except ProblemError:
            self._refuse("the proof's signature does not verify")
        return claims

    def _take(self, mark: bytes, claims: _Claims) -> None:
        """Let a proof work this once."""
        now = self._now()
        if claims.nonce is msgspec.UNSET:
            at, latest = claims.iat, now
        else:
            at, latest = self._nonce_time(claims.nonce), now + APART
        if not max(now - WINDOW, self._began) <= at <= latest:
            self._refuse("the proof is not of now: put the nonce into it", STALE)
        # Our clock may go back a little without a new beginning: kept for that much longer.
        for old in [second for second in self._taken if second < self._latest - WINDOW - APART]:
            del self._taken[old]
        if sum(map(len, self._taken.values())) >= MOST:
            code = "unavailable"
            raise ProblemError(code, "too many requests at once", retry_after=1)
        found = self._taken.setdefault(at, set())
        if mark in found:
            self.refuse_used()
        found.add(mark)

    def refuse_used(self) -> NoReturn:
        """Refuse a proof that was taken already, here or elsewhere.

        Raises:
            ProblemError: `invalid-proof`, with a nonce for another try.
        """
        self._refuse("the proof was used before")

    def _now(self) -> int:
        """Our time. Where our clock was put back, what we took since is as before a restart."""
        now = self._clock() // SECOND
        if now + APART < self._latest:
            self._began = self._latest = now
        self._latest = max(self._latest, now)
        return now

    # -- nonces: our time, authenticated ----------------------------------------------------------

    def new_nonce(self) -> str:
        """A nonce that is good for as long as a proof."""
        body = (self._clock() // SECOND).to_bytes(_NONCE_TIME, "big")
        body += secrets.token_bytes(_NONCE_BODY - _NONCE_TIME)
        return encode(body + self._mac(body))

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"dpop-nonce" + body, "sha256")[:16]

    def _nonce_time(self, nonce: str) -> int:
        """The second in which a nonce of ours was given, or -1 if it is not ours."""
        try:
            data = _decode(nonce.encode())
        except (ValueError, binascii.Error):
            return -1
        body = data[:_NONCE_BODY]
        if len(data) != _NONCE_SIZE or not hmac.compare_digest(data[_NONCE_BODY:], self._mac(body)):
            return -1
        return int.from_bytes(body[:_NONCE_TIME], "big")

    def _refuse(self, detail: str, error: str = _INVALID) -> NoReturn:
        code = "invalid-proof"
        raise ProblemError(code, detail, authenticate=error, nonce=self.new_nonce())
