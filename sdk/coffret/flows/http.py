"""Requests, responses, and the server's problems as our errors. docs/spec/7-http.md."""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from coffret.flows.proof import Prover
from coffret_vault import errors

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

MSGPACK = "application/msgpack"
JSON = "application/json"
MAX_ANSWER = 64 << 20
"""Bytes of one answer; a larger one is refused before it is read whole."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A whole number in an answer: what a database, and a ``u64`` of ours, can hold."""

Bearer = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096, pattern=r"\A[!-~]+\Z")]
"""A token or key in an answer, which goes into a header later: printable ASCII, no spaces."""

Cursor = Annotated[str, msgspec.Meta(max_length=1_024)]
"""Where the next page begins, in the server's words, which go into an address."""


class Request(msgspec.Struct, frozen=True):
    """One request. ``path`` begins behind ``base``; ``token`` never shows in a repr.

    ``prover`` proves that the token is ours, unless ``by_head``: then the body carries a new head,
    which proves more.
    ``repeatable`` says that it may be sent again when its answer was lost. ``ahead`` is what will
    be asked next: a driver may fetch it meanwhile; and ``meanwhile`` is work that a driver may do
    while it waits for the answer, or leave. Where ``host`` is set, the request is not to the
    server: it asks that host for the file of its apps, and nothing else of it is sent. Where
    ``seconds`` is set, nothing is sent at all: the driver waits so long, and answers 204. So it is
    where ``aside`` is set, which the driver does; it raises nothing.
    """

    method: str
    path: str
    body: bytes = b""
    media: str = JSON
    token: str = ""
    prover: Prover | None = None
    by_head: bool = False
    headers: dict[str, str] = {}
    params: tuple[tuple[str, str], ...] = ()
    repeatable: bool = True
    ahead: Request | None = None
    meanwhile: Callable[[], None] | None = None
    host: str = ""
    seconds: float = 0.0
    aside: Callable[[], None] | None = None
    base: str = "/api/v1"

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


class Response(msgspec.Struct, frozen=True):
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


if TYPE_CHECKING:
    Flow = Generator[Request, Response, T]

_BY_CODE: dict[str, type[errors.CoffretError]] = {
    "wrong-credentials": errors.CredentialsError,
    "unauthenticated": errors.SessionError,
    "invalid-proof": errors.SessionError,
    "session-ended": errors.SessionEndedError,
    "forbidden": errors.ForbiddenError,
    "not-granted": errors.GrantError,
    "grant-activating": errors.GrantActivatingError,
    "grant-paused": errors.GrantPausedError,
    "grant-revoked": errors.GrantRevokedError,
    "grant-expired": errors.GrantExpiredError,
    "owner-gone": errors.OwnerGoneError,
    "not-found": errors.NotFoundError,
    "username-taken": errors.ConflictError,
    "not-approved": errors.ConflictError,
    "request-final": errors.ConflictError,
    "too-large": errors.TooLargeError,
    "too-slow": errors.TimedOutError,
    "quota-exceeded": errors.QuotaError,
    "rate-limited": errors.RateLimitedError,
    "malformed": errors.InputError,
    "invalid-input": errors.InputError,
    "unknown-suite": errors.InputError,
    "bad-signature": errors.KeysChangedError,  # of a device whose keys were replaced
    "weak-key": errors.InputError,
    "wrong-clock": errors.ClockError,
}
_SENTENCES = {
    "too-slow": "The network is so slow that the server stopped waiting for the request.",
    "username-taken": "That username is taken.",
    "not-approved": "The owner has not approved this request.",
    "request-final": "This request has been decided already.",
}
_HINTS = {
    # Whoever asks may be an app: what helps is its owner's to do.
    "quota-exceeded": "Its owner sees how full it is with coffret status --usage, can forget what "
    "is not needed, decide about what apps wrote, or ask the server's operator for more.",
}
_MOVED = frozenset(("log-moved", "version-moved"))
_STATUS_OK = range(200, 300)
_NEXT = re.compile(r'<\?(?:[^<>"]*&)?cursor=([0-9A-Za-z._~-]{1,128})>; rel="next"')


class LogMovedError(errors.ConflictError):
    """Another device, or an app, wrote to the vault in between."""

    code = "log-moved"


class VersionConflictError(errors.ConflictError):
    """A memory has a newer version than the one this change was made for.

    Attributes:
        version: the newest version, as the server says.
        digest: the digest that its log entry names.
    """

    def __init__(self, version: int, digest: bytes) -> None:
        """Say where the memory stands."""
        super().__init__()
        self.version = version
        self.digest = digest


class _Standing(msgspec.Struct, frozen=True):
    version: Count
    digest: str


class _Conflict(msgspec.Struct, frozen=True):
    current: _Standing


def _conflict(response: Response) -> errors.ConflictError:
    try:
        current = decode_json(response, _Conflict).current
        return VersionConflictError(current.version, unb64(current.digest))
    except errors.FormatError:
        return errors.ConflictError()


def problem(response: Response) -> errors.CoffretError:
    """The error for an answer that is not a success.

    Nothing of the server's own words is shown: a hostile one could talk to the person with them.
    """
    code = _problem_code(response)
    if code in _MOVED:
        return LogMovedError()
    if code == "conflict":
        return _conflict(response)
    kind = _BY_CODE.get(code)
    if kind is errors.RateLimitedError:
        return errors.RateLimitedError(retry_after=retry_after(response))
    if kind is not None:
        return kind(_SENTENCES.get(code, ""), hint=_HINTS.get(code, ""))
    if response.status == errors.TooLargeError.http_status:
        return errors.TooLargeError()  # a proxy's limit, in words of its own: it never passes
    failure = errors.ServerError(f"The server answered with status {response.status}.")
    if "retry-after" in response.headers:
        failure.retry_after = retry_after(response)
    return failure


def _problem_code(response: Response) -> str:
    try:
        code = decode_json(response, dict[str, Any]).get("code", "")
    except errors.FormatError:
        return ""
    return code if isinstance(code, str) else ""


def retry_after(response: Response, *, most: float = 60.0) -> float:
    """The seconds the server asks us to wait, within reason."""
    try:
        asked = float(response.headers.get("retry-after", "1"))
    except ValueError:
        return 1.0
    return 1.0 if math.isnan(asked) else min(max(asked, 0.0), most)


def succeed(response: Response) -> Response:
    """The response, if it is a success; otherwise its error is raised."""
    if response.status not in _STATUS_OK:
        raise problem(response)
    return response


def decode_json(response: Response, kind: type[T]) -> T:
    """The answer's JSON as ``kind``; unknown fields are ignored.

    Raises:
        FormatError: it is not that.
    """
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "the server's answer is not what it should be"
        raise errors.FormatError(message) from None


def decode_msgpack(response: Response, kind: type[T]) -> T:
    """The answer's MessagePack as ``kind``. Errors as :func:`decode_json`."""
    try:
        return msgspec.msgpack.decode(response.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "the server's answer is not what it should be"
        raise errors.FormatError(message) from None


def next_page(response: Response) -> str | None:
    """Where a list goes on, if it does; of the address that the server gives, nothing else counts.

    docs/spec/7-http.md, Lists.
    """
    found = _NEXT.fullmatch(response.headers.get("link", ""))
    return None if found is None else found[1]


def encode_json(body: object) -> bytes:
    """A JSON body; bytes become base64 with padding."""
    return msgspec.json.encode(body)


encode_msgpack = msgspec.msgpack.Encoder().encode


def b64(data: bytes) -> str:
    """Bytes as JSON carries them."""
    return b64encode(data).decode("ascii")


def unb64(data: str) -> bytes:
    """Undo :func:`b64`, strictly: bytes have one spelling."""
    message = "the server's answer is not base64 where it should be"
    try:
        found = b64decode(data, validate=True)
    except ValueError:
        raise errors.FormatError(message) from None
    if b64(found) != data:  # Python reads other spellings as well
        raise errors.FormatError(message)
    return found
