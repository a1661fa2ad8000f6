"""A data-plane request and its answer: plain ASGI, MessagePack or JSON by choice of the client."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qs
from uuid import UUID

import msgspec
from starlette.requests import ClientDisconnect

from coffret_server import callers, gate, once, strict, turns
from coffret_server.principals import AppCaller, Owner
from coffret_server.problems import SESSION_ENDED, ProblemError, malformed, refuse, unshaped
from coffret_server.proofs import STALE, Shown
from coffret_server.storage import Tx
from coffret_server.tokens import unauthenticated
from coffret_server.wire import pae

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from coffret_server.services import Limits, Services

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
MSGPACK: Final = b"application/msgpack"
JSON: Final = b"application/json"
_pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_write_json = msgspec.json.Encoder().encode
_write_sorted = msgspec.json.Encoder(order="sorted").encode
_TWICE: Final = "the body has a key twice, or a value that is not in its shortest form"
_MAP_16: Final = 0xDE
_FIXMAP: Final = 0x80
_NO_TOKEN: Final = frozenset(("unauthenticated", SESSION_ENDED[0], "rate-limited"))
PAGE_BYTES: Final = 32 * 1024 * 1024
"""A page of records ends before it is larger: who asked takes 64 MiB at most, and it is kept here
while it is sent. An app must not be able to write what makes a page larger than that."""


def shown(scope: "Scope", body: bytes) -> Shown:
    """What a request shows of itself; a header that counts may be there once.

    Raises:
        ProblemError: `malformed`.
    """
    found = {b"authorization": b"", b"dpop": b""}
    for name, value in scope["headers"]:
        if name in found:
            if found[name]:
                refuse("malformed", "a header is given twice")
            found[name] = value
    return Shown(
        authorization=found[b"authorization"],
        proof=found[b"dpop"],
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        body=body,
    )


async def authenticate(
    request: Shown,
    services: "Services",
    limits: "Limits",
    info: gate.Info,
    *,
    by_head: bool = False,
) -> Owner | AppCaller:
    """Who calls, with a proof that they hold their token's key, counted against their rate limit.

    What is to be proved by a head is not counted yet: see `Call.proving`.

    Args:
        request: what was sent.
        services: the server's.
        limits: of this process.
        info: of the request.
        by_head: the body carries a new head, signed by the owner: that is proof enough. Whether
            the session was ended is left to the append's own transaction.

    Raises:
        ProblemError: `unauthenticated`, `session-ended`, `invalid-proof` or `rate-limited`.
    """
    token = request.token("dpop")
    if not token:
        raise unauthenticated()
    caller = services.principals.remembered(token) if by_head else None
    if caller is None:
        caller = await callers.find(services, limits, info, token)
    if by_head and not request.proof:
        return caller
    try:
        info.proof = services.proofs.check(request, token, caller.holder)
    except ProblemError as problem:
        if problem.authenticate != STALE:  # who is only late, or early, holds the key
            info.allowance = limits.failed.take(info.address)
        raise
    is_page = turns.is_page(request.method, request.path)
    return await callers.begin(services, limits, info, token, caller, is_page=is_page)


class Reply(msgspec.Struct, frozen=True):
    """An answer: MessagePack, or a value to be encoded as the client asked."""

    value: object = None
    packed: bytes | None = None
    status: int = 200
    etag: int | None = None


class Call:
    """One request to the data plane."""

    __slots__ = ("_body", "_shown", "headers", "info", "limits", "path", "scope", "services")

    def __init__(self, scope: "Scope", body: bytes) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path: dict[str, str] = scope.get("path_params", {})
        self.services: Services = scope["app"].state.services
        self.limits: Limits = scope["app"].state.limits
        self.info = gate.info_of(scope)
        self._body = body
        self._shown = shown(scope, body)

    async def owner(self, *, by_head: bool = False) -> Owner:
        """The owner who calls; `by_head` where the body carries a head that they signed.

        Raises:
            ProblemError: as `authenticate`, or `forbidden` for an app.
        """
        caller = await self._caller(by_head=by_head)
        if not isinstance(caller, Owner):
            refuse("forbidden", "this call is for owners")
        return caller

    async def proving(
        self, prove: Callable[["Call"], Awaitable[tuple[Owner, T]]]
    ) -> tuple[Owner, T]:
        """The owner who calls, and what their head proves them by; counted when it does.

        Until then the token is all that is known of who calls, and whoever has it without its key
        must not use up what is its holder's. A proof that came with it was counted already.

        Raises:
            ProblemError: as `prove`, or `rate-limited`.
        """
        if self.is_proved:
            return await prove(self)
        token = self._shown.token("dpop")
        guesses = self.limits.guesses(token, self.info.address)
        guesses.check()
        try:
            owner, proved = await prove(self)
        except ProblemError as problem:
            if problem.code not in _NO_TOKEN:  # these were counted, each where it belongs
                self.info.allowance = guesses.take()
            raise
        await callers.begin(self.services, self.limits, self.info, token, owner)
        return owner, proved

    async def owner_now(self) -> Owner:
        """The owner who calls, looked up where they are remembered otherwise.

        Raises:
            ProblemError: as `owner`, but for proofs and rates, which were looked at.
        """
        token = self._shown.token("dpop")
        caller = await callers.find(self.services, self.limits, self.info, token)
        if not isinstance(caller, Owner):
            refuse("forbidden", "this call is for owners")
        return caller

    async def app(self) -> AppCaller:
        """The app that calls.

        Raises:
            ProblemError: as `authenticate`, or `forbidden` for an owner.
        """
        caller = await self._caller(by_head=False)
        if not isinstance(caller, AppCaller):
            refuse("forbidden", "this call is for apps")
        return caller

    @property
    def is_proved(self) -> bool:
        """Whether a proof came with it, which `owner` and `app` have taken then."""
        return bool(self._shown.proof)

    async def spend_proof(self, tx: Tx, account: bytes) -> None:
        """Take the call's proof in no process a second time; who does this purges at the end.

        Raises:
            ProblemError: `invalid-proof`.
        """
        now = self.services.clock()
        if not await once.spend(tx, account, self.info.proof, now + once.PROOF_KEPT, now):
            self.services.proofs.refuse_used()

    async def _caller(self, *, by_head: bool) -> Owner | AppCaller:
        return await authenticate(
            self._shown, self.services, self.limits, self.info, by_head=by_head
        )

    def body(self, kind: type[S]) -> S:
        """The body, as MessagePack or JSON by its content type.

        Raises:
            ProblemError: `malformed` or `too-large`.
        """
        content_type = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type not in {MSGPACK, JSON}:
            refuse("malformed", "send application/msgpack or application/json")
        try:
            if content_type == MSGPACK:
                return _from_msgpack(self._body, kind)
            return from_json(strict.loads(self._body), kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise unshaped(error, "the body") from None

    def id(self, name: str = "id") -> UUID:
        """An id in the path."""
        return parse_id(self.path[name])

    def query(self) -> dict[str, str]:
        """The query's values; a name given twice is refused."""
        raw = self.scope["query_string"]
        if not raw:
            return {}
        try:
            found = parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=16)
        except ValueError:
            detail = "the query is malformed"
            raise malformed(detail) from None
        if any(len(values) > 1 for values in found.values()):
            refuse("malformed", "a query parameter is given twice")
        return {name: values[0] for name, values in found.items()}

    def number(self, name: str, default: int, most: int = pae.FARTHEST, least: int = 0) -> int:
        """A whole number in the query."""
        text = self.query().get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 19:  # noqa: PLR2004 - digits of 2^63
            refuse("invalid-input", f"{name} is not a whole number")
        value = int(text)
        if not least <= value <= most:
            refuse("invalid-input", f"{name} is out of range")
        return value

    def wants_json(self) -> bool:
        """Whether the answer is to be JSON."""
        return JSON in self.headers.get(b"accept", b"")


def parse_id(text: str) -> UUID:
    """A UUID in its one form: lower case, hyphenated."""
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if found is None or str(found) != text:
        refuse("not-found", "an id is not a lower-case hyphenated UUID")
    return found


def _from_msgpack(body: bytes, kind: type[S]) -> S:
    first = body[0] if body else 0
    pairs = int.from_bytes(body[1:3], "big") if first == _MAP_16 else first - _FIXMAP
    if pairs > len(kind.__struct_fields__):  # else each of them could have a list of its length
        refuse("malformed", _TWICE)
    found = msgspec.msgpack.decode(body, type=kind)
    if len(_pack(found)) != len(body):  # each value has one shortest form, in whatever order
        refuse("malformed", _TWICE)
    return found


def from_json(value: object, kind: type[S]) -> S:
    """What JSON says, if it says it in the one form of ids and bytes.

    Raises:
        ProblemError: `malformed`.
        msgspec.ValidationError: it is of another shape.
        UnicodeError: there is half a character in it.
    """
    found = msgspec.convert(value, kind)
    if _write_sorted(found) != _write_sorted(value):
        refuse("malformed", "an id or bytes are not in their one form")
    return found


Handler = Callable[[Call], Awaitable[Reply]]


class Endpoint:
    """A data-plane route as an ASGI application."""

    def __init__(self, handler: Handler, template: str) -> None:
        self._handler = handler
        self._template = template
        self.__name__ = handler.__name__
        self.__doc__ = handler.__doc__

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Read the body, call the handler, send its answer."""
        info = gate.info_of(scope)
        info.template, info.limit = self._template, gate.DATA_LIMIT
        call = Call(scope, await _read(receive))
        reply = await self._handler(call)
        body, content_type = _encode(reply, as_json=call.wants_json())
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        if reply.etag is not None:
            headers.append((b"etag", b'"%d"' % reply.etag))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read(receive: "Receive") -> bytes:
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request":
        return bytes(message.get("body", b""))
    parts = []
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _encode(reply: Reply, *, as_json: bool) -> tuple[bytes, bytes]:
    if not as_json:
        return reply.packed if reply.packed is not None else _pack(reply.value), MSGPACK
    value: Any = reply.value
    if reply.packed is not None:
        value = msgspec.msgpack.decode(reply.packed)
    return _write_json(value), JSON
