"""The data plane's routes, as plain Starlette routes for the FastAPI application."""

from typing import TYPE_CHECKING, Final

from starlette.routing import BaseRoute, Route

from coffret_server.data import apps, keys, owner, writing
from coffret_server.data.call import Endpoint, Handler

if TYPE_CHECKING:
    from starlette.types import ASGIApp

BASE: Final = "/api/v1"
ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/memory-blobs", owner.create_one),
    ("POST", "/memory-blobs/batch", owner.create_many),
    ("GET", "/sync", owner.read_sync),
    ("POST", "/log", owner.append_log),
    ("GET", "/log", owner.read_log),
    ("GET", "/log/proof", owner.read_proof),
    ("PUT", "/memory-blobs/{id}", owner.change_one),
    ("DELETE", "/memory-blobs/{id}", owner.change_one),
    ("GET", "/memory-blobs/{id}", owner.read_one),
    ("GET", "/memory-blobs/{id}/versions", owner.read_versions),
    ("GET", "/accounts/me/memory-keys", keys.read_memory_keys),
    ("POST", "/accounts/me/rewraps", keys.stage_rewraps),
    ("POST", "/grants/{id}/wraps", apps.add_wraps),
    ("GET", "/grants/{id}/wraps", apps.read_wraps),
    ("GET", "/grants/{id}/records", apps.read_records),
    ("POST", "/grants/{id}/memory-blobs", writing.write_records),
    ("GET", "/grants/{id}/head", apps.read_head),
)


def data_routes() -> list[BaseRoute]:
    """The routes, the busiest first."""
    return [
        Route(BASE + path, Endpoint(handler, BASE + path), methods=[method], name=handler.__name__)
        for method, path, handler in ROUTES
    ]


def fixed_paths() -> "dict[tuple[str, str], ASGIApp]":
    """The routes without a parameter, for the gate to reach without the router."""
    return {
        (method, BASE + path): Endpoint(handler, BASE + path)
        for method, path, handler in ROUTES
        if "{" not in path
    }
