"""Bearer tokens: opaque ones, of which only the SHA-256 is kept, and an app's short JWT.

An opaque token is `<prefix>_<base64url of a 16-byte id and 32 random bytes>`. The id says where to
look (an account, a developer, an app); the 256 random bits are the secret.
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
_ISSUER: Final = "coffret"
_ALGORITHM: Final = "HS256"


def new_secret() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(SECRET_SIZE)


def derived_secret(key: bytes, *parts: bytes) -> bytes:
    """The secret of a call that may be repeated: the same again, and kept nowhere."""
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, text, "sha256")


def write(prefix: str, owner: bytes, secret: bytes) -> str:
    """A token for the caller to keep."""
    return f"{prefix}_{base64.urlsafe_b64encode(owner + secret).decode()}"


def unauthenticated() -> ProblemError:
    """The one answer to a token that is missing, wrong, expired or revoked."""
    code = "unauthenticated"
    return ProblemError(code, "a valid token is needed")


def read(prefix: str, token: str) -> tuple[bytes, bytes]:
    """The id and the hash of a token.

    Raises:
        ProblemError: `unauthenticated`.
    """
    kind, _, text = token.partition("_")
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if kind != prefix or len(data) != _ID_SIZE + SECRET_SIZE:
        raise unauthenticated()
    return data[:_ID_SIZE], digest(token)


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


def read_app_token(key: bytes, token: str, now: float) -> AppToken:
    """What a JWT of ours says, while it is good.

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
        given = AppToken(
            UUID(claims["sub"]), UUID(claims["api_key"]), claims["cnf"]["jkt"], int(claims["exp"])
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, KeyError):
        raise unauthenticated() from None
    if given.ends <= now:
        raise unauthenticated()
    return given
