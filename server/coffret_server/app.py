"""The ASGI application."""

import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from coffret_server import __version__
from coffret_server.control.accounts import accounts
from coffret_server.control.auth import auth
from coffret_server.control.developers import developers
from coffret_server.control.grants import grants
from coffret_server.control.keys import keys
from coffret_server.control.leaving import leaving
from coffret_server.control.listing import listing
from coffret_server.control.requests import requests
from coffret_server.control.viewing import viewing
from coffret_server.control.web import CurrentServices
from coffret_server.data.routes import data_routes, fixed_paths
from coffret_server.gate import Gate
from coffret_server.openapi import describe
from coffret_server.services import Limits, running, system_clock
from coffret_server.settings import Settings

_REFUSALS: Final = (HTTPException, RequestValidationError, Exception)


class Server(FastAPI):
    """The application behind its gate, which stands before every layer of the framework's own."""

    gate: Gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self
        await self.gate(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], int] = system_clock,
    monotonic: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The server as an ASGI application; its database is opened by the lifespan.

    Args:
        settings: what the operator set.
        clock: µs since 1970.
        monotonic: seconds, for the rate limits.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, clock) as services:
            app.state.services = services
            yield

    app = Server(
        title="Coffret server",
        version=__version__,
        summary="A blind memory vault: it keeps ciphertext that it cannot open.",
        lifespan=lifespan,
        exception_handlers=dict.fromkeys(_REFUSALS, _pass_on),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would say http, whatever the proxy before it speaks
        openapi_url=None,  # FastAPI's own would be encoded anew for everybody who asks
        # No environment variable may make this server report what it does to anybody.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.limits = Limits(settings, monotonic)
    app.router.routes.extend(data_routes())
    for part in (auth, accounts, keys, leaving, listing, developers, requests, grants, viewing):
        app.include_router(part)
    app.openapi = functools.cache(lambda: describe(app))  # type: ignore[method-assign]
    app.add_api_route("/api/v1/openapi.json", _document(app), include_in_schema=False)
    for path, probe in (("/healthz", healthy), ("/readyz", ready)):
        app.add_api_route(path, probe, methods=["GET"], tags=["health"])
        app.add_api_route(path, probe, methods=["HEAD"], include_in_schema=False)
    app.gate = Gate(
        functools.partial(FastAPI.__call__, app),
        limits=app.state.limits,
        fast=fixed_paths(),
        settings=settings,
    )
    return app


async def _pass_on(_: Request, error: Exception) -> Response:
    """Leave every refusal to the gate, so that all have one form."""
    raise error


def _document(app: FastAPI) -> Callable[[], Awaitable[Response]]:
    """The route of the OpenAPI document, which is made once, when somebody first asks for it."""

    @functools.cache
    def encoded() -> bytes:
        return msgspec.json.encode(app.openapi())

    async def openapi() -> Response:
        return Response(encoded(), media_type="application/json")

    return openapi


async def healthy() -> Response:
    """The process runs."""
    return JSONResponse({"status": "ok"})


async def ready(services: CurrentServices) -> Response:
    """The database answers, and takes changes; and by which origins devices know this server."""
    await services.readiness.check(services.ping)
    return JSONResponse({"status": "ready", "origins": list(services.origins)})
