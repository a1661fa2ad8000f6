"""The outermost middleware: request id, limits, one log line, and every refusal as a problem.

Pure ASGI. It is the only place where an error becomes an answer, and the only one that logs
requests: method, route template, status, time and sizes. No path, query, header or body is ever
logged.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from coffret_server import callers, quiet
from coffret_server.arriving import Arriving
from coffret_server.limits import plain
from coffret_server.lines import places
from coffret_server.problems import CODES, MEDIA_TYPE, ProblemError
from coffret_server.storage.trouble import reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coffret_server.limits import Allowance
    from coffret_server.quiet import Overtaken
    from coffret_server.services import Limits
    from coffret_server.settings import Settings

INFO: Final = "coffret"
DATA_LIMIT: Final = 32 * 1024 * 1024
CONTROL_LIMIT: Final = 4 * 1024 * 1024
OPEN_LIMIT: Final = 64 * 1024
"""What anybody may send: more is taken of whoever has a token, and parsed for them alone."""
_PROBES: Final = frozenset({"/healthz", "/readyz"})
_FRAMEWORK_CODES: Final = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
}
_REFUSED: Final = 400
_CLIENT_GONE: Final = 499
ACCESS: Final = logging.getLogger("coffret_server.access")
ERRORS: Final = logging.getLogger("coffret_server.errors")
_json = msgspec.json.Encoder().encode


class Info:
    """What is known of a request in flight."""

    __slots__ = (
        "address",
        "allowance",
        "caller",
        "has_turn",
        "is_known",
        "is_refused",
        "kept",
        "limit",
        "page_since",
        "proof",
        "read",
        "request_id",
        "sender",
        "sent",
        "status",
        "template",
    )

    def __init__(self, address: str) -> None:
        self.address = address
        self.request_id = os.urandom(12).hex()
        self.allowance: Allowance | None = None
        self.template = ""
        self.is_known = False
        self.is_refused = False
        self.sender: object = None  # of a large body: whoever has the token, at this address
        self.caller: object = None  # whoever has proved it
        self.has_turn = False
        self.page_since: float | None = None
        self.kept: Counter[object] = Counter()
        self.limit = CONTROL_LIMIT
        self.proof = b""
        self.status = 0
        self.read = 0
        self.sent = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        found = [(b"x-request-id", self.request_id.encode())]
        if self.allowance is not None:
            found += self.allowance.headers()
        return found


def info_of(scope: "Scope") -> Info:
    """What the gate knows of this request."""
    info: Info = scope[INFO]
    return info


def client_address(scope: "Scope", *, trust_forwarded: bool) -> str:
    """The address a request comes from, in one form."""
    return plain(_said_address(scope, trust_forwarded=trust_forwarded))


def _said_address(scope: "Scope", *, trust_forwarded: bool) -> str:
    if trust_forwarded:
        # A proxy may write a line of its own below the one that the caller sent: the last counts.
        for name, value in reversed(list(scope["headers"])):
            if name == b"x-forwarded-for":
                return str(value.rpartition(b",")[2].strip().decode("latin-1"))[:64]
    client = scope.get("client")
    return client[0] if client else "unknown"


def _authorization(scope: "Scope") -> str:
    found: bytes = next((v for name, v in scope["headers"] if name == b"authorization"), b"")
    return found.decode("latin-1")


class Gate:
    """See the module."""

    def __init__(
        self,
        app: "ASGIApp",
        *,
        limits: "Limits",
        fast: "Mapping[tuple[str, str], ASGIApp]",
        settings: "Settings",
    ) -> None:
        """See the module.

        Args:
            app: the application inside.
            limits: the limits of this process.
            fast: routes of fixed paths, by method and path, reached without the router.
            settings: whose word on addresses counts, and how long a body is waited for.
        """
        self._app = app
        self._fast = fast
        self._limits = limits
        self._trust_forwarded = settings.trust_forwarded
        self._patience = settings.body_seconds

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        info = Info(client_address(scope, trust_forwarded=self._trust_forwarded))
        scope[INFO] = info
        arriving = Arriving(receive, self._patience)

        async def limited() -> "Message":
            message = await arriving.next()
            await self._take(scope, info, len(message.get("body", b"")))
            return message

        async def stamped(message: "Message") -> None:
            if info.is_refused:  # nothing of the answer itself is sent
                return
            if message["type"] == "http.response.start":
                if (problem := self._begin(scope, info, message)) is not None:
                    await answer_problem(problem, info, stamped)
                    info.is_refused = True
                    return
                message["headers"] = [*message.get("headers", ()), *info.headers()]
            else:
                info.sent += len(message.get("body", b""))
                message = await _waiting_end(message, send)
            await send(message)

        try:
            await self._serve(scope, limited, stamped, info)
        finally:
            callers.end(self._limits, info)
            for caller, size in info.kept.items():
                self._limits.room.give_back(caller, size)
            _log(scope, info, time.perf_counter() - started)

    async def _take(self, scope: "Scope", info: Info, size: int) -> None:
        """Take a part of a body, if it may be there."""
        info.read += size
        if info.read > info.limit:
            code = "too-large"
            raise ProblemError(code, "the body is too large")
        if info.read > OPEN_LIMIT and not info.is_known:
            await self._know(scope, info)
            size = info.read
        if info.sender is not None:
            self._keep(info, info.sender, size)

    def _begin(self, scope: "Scope", info: Info, start: "Message") -> ProblemError | None:
        """Begin an answer, or say why there is another one in its place."""
        callers.end(self._limits, info)
        if start["status"] < _REFUSED:
            self._count(scope, info)
        try:
            self._keep_answer(info, start)
        except ProblemError as problem:
            return problem
        info.status = start["status"]
        return None

    async def _know(self, scope: "Scope", info: Info) -> None:
        """Take a large body only of whoever has a token; the call looks at the rest."""
        kind, _, token = _authorization(scope).partition(" ")
        if kind.lower() != "dpop":
            code = "too-large"
            raise ProblemError(code, "the body is too large for a call without a token")
        await callers.find(scope["app"].state.services, self._limits, info, token)
        info.sender = self._limits.guesses(token, info.address).caller

    def _keep(self, info: Info, caller: object, size: int) -> None:
        """Have room for bytes until the request ends."""
        self._limits.room.take(caller, size)
        info.kept[caller] += size

    def _keep_answer(self, info: Info, start: "Message") -> None:
        """Have room for a large answer, which is kept until it is taken."""
        if info.caller is None:
            return
        for name, value in start.get("headers", ()):
            if name == b"content-length" and int(value) > OPEN_LIMIT:
                self._keep(info, info.caller, int(value))

    async def _serve(self, scope: "Scope", receive: "Receive", send: "Send", info: Info) -> None:
        try:
            self._admit(scope, info)
            if scope["path"] not in _PROBES:
                scope["app"].state.services.tables.check()
            application = self._fast.get((scope["method"], scope["path"]), self._app)
            await application(scope, receive, send)
        except ClientDisconnect:
            info.status = _CLIENT_GONE
        except asyncio.CancelledError:
            # The server ends and has waited long enough. Nothing was acknowledged; whether a change
            # that was under way is kept, the caller sees when it sends it again.
            if not info.status:
                await answer_problem(_later(), info, send)
            raise
        except Exception as error:  # noqa: BLE001 - the one place where errors become answers
            if info.status:  # the answer has begun: nothing can be added to it
                _report(info, error)
                return
            problem = await _of_tables(scope, as_problem(error, info))
            problem = self._counted(scope, info, problem)
            if problem.overtaken is not None:
                await _begin_quiet(scope, info, problem.overtaken)
            await answer_problem(problem, info, send)

    def _admit(self, scope: "Scope", info: Info) -> None:
        authorized = False
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > DATA_LIMIT:
                code = "too-large"
                raise ProblemError(code, "the body is too large")
            authorized = authorized or name == b"authorization"
        if not authorized:
            self._count(scope, info)

    def _count(self, scope: "Scope", info: Info) -> None:
        """Count against its address what nothing else counted and nobody's token was shown with."""
        if info.allowance is None and not info.is_known and scope["path"] not in _PROBES:
            info.allowance = self._limits.open.take(info.address)

    def _counted(self, scope: "Scope", info: Info, problem: ProblemError) -> ProblemError:
        """A refusal, counted: a header that says nothing makes it no cheaper than none."""
        if problem.code == "rate-limited":
            return problem
        try:
            self._count(scope, info)
        except ProblemError as limit:
            return limit if problem.retry_after is None else problem
        return problem


async def _waiting_end(message: "Message", send: "Send") -> "Message":
    """Send a large answer but for its end, which a server holds until what came before is taken."""
    if len(message.get("body", b"")) <= OPEN_LIMIT or message.get("more_body"):
        return message
    await send({**message, "more_body": True})
    return {"type": "http.response.body"}


def as_problem(error: Exception, info: Info) -> ProblemError:
    """The refusal that an error stands for; what nobody foresaw is a `server-error`."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        where = {".".join(map(str, _known_place(item))) for item in error.errors()}
        return ProblemError("invalid-input", f"check {', '.join(sorted(where))[:300]}")
    if isinstance(error, HTTPException) and isinstance(error.__cause__, ProblemError):
        return error.__cause__  # raised while FastAPI read the body
    if isinstance(error, HTTPException) and error.status_code in _FRAMEWORK_CODES:
        code = _FRAMEWORK_CODES[error.status_code]
        return ProblemError(code, CODES[code][1])
    _report(info, error)
    if reason(error):
        return _later()
    return ProblemError("server-error", "the failure was recorded under this request id")


async def _begin_quiet(scope: "Scope", info: Info, late: "Overtaken") -> None:
    """Let an owner come again than whom apps were quicker; they are answered in any case."""
    services = scope["app"].state.services
    now = services.clock()
    try:
        await services.storage.submit(lambda tx: quiet.begin(tx, late, now))
    except Exception as error:  # noqa: BLE001 - whoever cannot write now, comes again as well
        _report(info, error)


async def _of_tables(scope: "Scope", problem: ProblemError) -> ProblemError:
    """What nobody foresaw may come of tables that are another version's now."""
    if problem.code == "server-error":
        tables = scope["app"].state.services.tables
        await tables.look()
        try:
            tables.check()
        except ProblemError as found:
            return found
    return problem


def _known_place(item: "Mapping[str, Any]") -> "tuple[int | str, ...]":
    """Where an error is; of a field that nobody knows, in what: its name is the sender's own."""
    found: tuple[int | str, ...] = item["loc"]
    return found[:-1] if item["type"] == "extra_forbidden" else found


def _later() -> ProblemError:
    return ProblemError("unavailable", "try again in a moment", retry_after=1)


async def answer_problem(problem: ProblemError, info: Info, send: "Send") -> None:
    """Send a refusal."""
    body = problem.document(info.request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *problem.headers(),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _report(info: Info, error: BaseException) -> None:
    """Log an unforeseen error by its kind and place, never by its message, which may hold data."""
    line = {
        "request_id": info.request_id,
        "error": type(error).__name__,
        "at": places(error.__traceback__),
    }
    if why := reason(error):
        line["reason"] = why
    ERRORS.error(_json(line).decode())


def _log(scope: "Scope", info: Info, seconds: float) -> None:
    if not ACCESS.isEnabledFor(logging.INFO):
        return
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "method": scope["method"] if scope["method"] in _METHODS else "other",
        "route": info.template or _template(scope),
        "status": info.status,
        "ms": round(seconds * 1000, 2),
        "request_id": info.request_id,
        "bytes_in": info.read,
        "bytes_out": info.sent,
    }
    text = _json(line).decode()
    # As `info` does, but without walking the stack for a caller that is always this one.
    ACCESS.handle(ACCESS.makeRecord(ACCESS.name, logging.INFO, "", 0, text, (), None))


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def _template(scope: "Scope") -> str:
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else "unmatched"
