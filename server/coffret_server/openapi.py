"""The OpenAPI 3.1 document: FastAPI's own, with the data plane, the problems and the tokens."""

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi

from coffret_server.append import Append
from coffret_server.data.answers import ANSWERS
from coffret_server.data.apps import WrapsBody
from coffret_server.data.keys import StageBody
from coffret_server.data.routes import BASE, ROUTES
from coffret_server.data.writing import WritingBody
from coffret_server.problems import CODES, MEDIA_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{name}"
_BODIES: Final[dict[tuple[str, str], type[msgspec.Struct]]] = {
    ("POST", "/memory-blobs"): Append,
    ("POST", "/memory-blobs/batch"): Append,
    ("POST", "/log"): Append,
    ("PUT", "/memory-blobs/{id}"): Append,
    ("DELETE", "/memory-blobs/{id}"): Append,
    ("POST", "/accounts/me/rewraps"): StageBody,
    ("POST", "/grants/{id}/wraps"): WrapsBody,
    ("POST", "/grants/{id}/memory-blobs"): WritingBody,
}
_QUERIES: Final[dict[str, tuple[str, ...]]] = {
    "/sync": ("from", "limit"),
    "/log": ("from", "limit"),
    "/log/proof": ("index", "first", "size"),
    "/accounts/me/memory-keys": ("from", "limit"),
    "/memory-blobs/{id}": ("version",),
    "/memory-blobs/{id}/versions": ("from",),
    "/grants/{id}/wraps": ("cursor", "limit"),
    "/grants/{id}/records": ("cursor", "limit", "since", "seen"),
    "/grants/{id}/head": ("seen",),
}
_MEMORY: Final = "/memory-blobs/{id}"
_CREATES: Final = frozenset({"/memory-blobs", "/memory-blobs/batch", "/grants/{id}/memory-blobs"})
_OPEN: Final = frozenset(
    {"/healthz", "/readyz"}
    | {f"{BASE}{path}" for path in ("/auth/challenge", "/auth/login", "/auth/token")}
    | {f"{BASE}{path}" for path in ("/accounts", "/developers", "/accounts/{id}/deletion")}
)
_DEVELOPERS: Final = (
    "create_app_", "delete_app_", "delete_developer_", "create_key_", "list_keys_", "delete_key_"
)  # fmt: skip
_PROOF: Final = (
    "A session's or an app's token, with a proof in the header DPoP (RFC 9449), which has to have"
    " the claim bdg as well. An owner's append needs none: it carries a head that they signed."
)
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "request_id": {"type": "string"},
        "current": {"type": "object"},
    },
}


def describe(app: "FastAPI") -> dict[str, Any]:
    """The document of an application."""
    found = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    kinds = [*_BODIES.values(), *ANSWERS.values()]
    described, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas |= components
    bodies = dict(zip(_BODIES, described, strict=False))
    answers = dict(zip(ANSWERS, described[len(_BODIES) :], strict=True))
    schemas["Problem"] = _PROBLEM
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    found["components"]["securitySchemes"] = {
        "dpop": {"type": "http", "scheme": "dpop", "description": _PROOF},
        "developer": {"type": "http", "scheme": "bearer", "description": "A developer's key"},
    }
    for method, path, handler in ROUTES:
        call = method, path
        operation = _operation(*call, handler.__name__, handler.__doc__ or "", answers[call])
        if call in bodies:
            operation["requestBody"] = {"required": True, "content": _either(bodies[call])}
        found["paths"].setdefault(BASE + path, {})[method.lower()] = operation
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _finish(path, operation)
    return found


def _operation(
    method: str, path: str, name: str, summary: str, answer: dict[str, Any]
) -> dict[str, Any]:
    """A data-plane call."""
    status = "201" if method == "POST" and path in _CREATES else "200"
    done: dict[str, Any] = {"description": "Done", "content": _either(answer)}
    if path == _MEMORY:
        done["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return {
        "tags": ["data"],
        "summary": summary.partition("\n")[0],
        "operationId": f"{name}_{method.lower()}",
        "parameters": _parameters(method, path),
        "responses": {status: done},
    }


def _either(schema: dict[str, Any]) -> dict[str, Any]:
    """A body in MessagePack, where bytes and ids are binary, or in JSON."""
    return {media: {"schema": schema} for media in ("application/msgpack", "application/json")}


def _parameters(method: str, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]
    for name in _QUERIES.get(path, ()) if method == "GET" else ():
        kind = "string" if name == "cursor" else "integer"
        found.append({"name": name, "in": "query", "schema": {"type": kind}})
    if method in {"PUT", "DELETE"}:
        found.append(
            {"name": "If-Match", "in": "header", "required": True, "schema": {"type": "string"}}
        )
    return found


def _finish(path: str, operation: dict[str, Any]) -> None:
    """Say of an operation what all have in common."""
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "A problem (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    if path not in _OPEN:
        is_developers = operation.get("operationId", "").startswith(_DEVELOPERS)
        operation["security"] = [{"developer" if is_developers else "dpop": []}]
