"""Bearer tokens: opaque ones, of which only the SHA-256 is kept, and an app's short JWT.

An opaque token is `<prefix>_<base64url of id (16) ‖ random (32) ‖ end (8) ‖ mark (16)>`. The id
says where to look (an account, a developer, an app); the 256 random bits are the secret; the end,
in µs since 1970, is 0 where there is none. The mark is a MAC by this server: that a token is made
up is known before anything is looked up. What was given before there were marks is `id ‖ random`.
"""

import base64
import binascii
import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from uuid import UUID

import jwt
import msgspec

from coffret_server.problems import ProblemError

if TYPE_CHECKING:
    from jwt.types import Options

SESSION: Final = "cfs"
DEVELOPER: Final = "cfd"
API_KEY: Final = "cfa"
SECRET_SIZE: Final = 32
_ID_SIZE: Final = 16
_END_SIZE: Final = 8
_MARK_SIZE: Final = 16
_UNMARKED_SIZE: Final = _ID_SIZE + SECRET_SIZE
_SIZE: Final = _UNMARKED_SIZE + _END_SIZE + _MARK_SIZE
_ISSUER: Final = "coffret"
_ALGORITHM: Final = "HS256"


def new_secret() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(SECRET_SIZE)


def derived_secret(key: bytes, *parts: bytes) -> bytes:
    """The secret of a call that may be repeated: the same again, and kept nowhere."""
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, text, "sha256")


class Opaque(msgspec.Struct, frozen=True):
    """What an opaque token says of itself.

    Attributes:
        owner: the id that says where to look.
        digest: what is kept of the token.
        ends: µs since 1970, or 0 without end.
        is_marked: it bears this server's mark; without it, it may be anybody's guess.
    """

    owner: bytes
    digest: bytes
    ends: int
    is_marked: bool


def _mark(key: bytes, prefix: str, body: bytes) -> bytes:
    return derived_secret(key, b"token", prefix.encode(), body)[:_MARK_SIZE]


def write(key: bytes, prefix: str, owner: bytes, secret: bytes, ends: int = 0) -> str:
    """A token for the caller to keep; `key` is the server's, `ends` is µs since 1970."""
    body = owner + secret + ends.to_bytes(_END_SIZE, "big")
    return f"{prefix}_{base64.urlsafe_b64encode(body + _mark(key, prefix, body)).decode()}"


def unauthenticated() -> ProblemError:
    """The one answer to a token that is missing, wrong, expired or revoked."""
    code = "unauthenticated"
    return ProblemError(code, "a valid token is needed")


def read(key: bytes, prefix: str, token: str) -> Opaque:
    """What a token says; one with a mark that is not ours is refused.

    Raises:
        ProblemError: `unauthenticated`.
    """
    kind, _, text = token.partition("_")
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if kind != prefix or len(data) not in {_SIZE, _UNMARKED_SIZE}:
        raise unauthenticated()
    if text != base64.urlsafe_b64encode(data).decode():  # "+" reads as "-" does: no other spelling
        raise unauthenticated()
    if len(data) == _UNMARKED_SIZE:
        return Opaque(data[:_ID_SIZE], digest(token), 0, is_marked=False)
    body, mark = data[:-_MARK_SIZE], data[-_MARK_SIZE:]
    if not hmac.compare_digest(mark, _mark(key, prefix, body)):
        raise unauthenticated()
    ends = int.from_bytes(body[-_END_SIZE:], "big")
    return Opaque(data[:_ID_SIZE], digest(token), ends, is_marked=True)


def is_marked(key: bytes, prefix: str, token: str) -> bool:
    """Whether a token bears this server's mark, be it over or not: nobody can guess one."""
    try:
        return read(key, prefix, token).is_marked
    except ProblemError:
        return False


def digest(token: str) -> bytes:
    """What is kept of a token: 256 random bits need no slow hash."""
    return sha256(token.encode()).digest()


class AppToken(msgspec.Struct, frozen=True):
    """What an app's JWT says.

    Attributes:
        app: whose it is.
        api_key: the id of the API key that it was given for.
        bound_to: the thumbprint of the key that its holder has to prove (RFC 9449, `cnf.jkt`).
        ends: seconds since 1970.
    """

    app: UUID
    api_key: UUID
    bound_to: str
    ends: int


def sign_app_token(key: bytes, given: AppToken, now: int) -> str:
    """A JWT that says this, given at `now`."""
    claims = {
        "iss": _ISSUER,
        "sub": str(given.app),
        "iat": now,
        "exp": given.ends,
        "api_key": str(given.api_key),
        "cnf": {"jkt": given.bound_to},
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def read_app_token(key: bytes, token: str) -> AppToken:
    """What a JWT of ours says, also when its time is over.

    Raises:
        ProblemError: `unauthenticated`.
    """
    options: Options = {
        "require": ["iss", "sub", "iat", "exp", "api_key", "cnf"],
        "verify_exp": False,
        "verify_iat": False,
    }
    try:
        claims = jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)
        return AppToken(
            UUID(claims["sub"]), UUID(claims["api_key"]), claims["cnf"]["jkt"], int(claims["exp"])
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, KeyError):
        raise unauthenticated() from None
