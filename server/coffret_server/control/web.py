"""What the control plane's routes have in common: strict bodies, callers, answers."""

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from coffret_server import gate, strict
from coffret_server.append import Append, Prepared, prepare
from coffret_server.data.call import authenticate, from_json, parse_id, shown
from coffret_server.principals import AppCaller, Owner
from coffret_server.problems import refuse, unshaped
from coffret_server.services import Services

JSON: Final = "application/json"
_encode = msgspec.json.Encoder().encode


class _StrictRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401 - as in the class it replaces
        """The body, decoded strictly."""
        return strict.loads(await self.body(), strict.CONTROL_PARTS)


class StrictRoute(APIRoute):
    """A route whose JSON body may have no key twice and no deep nesting."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request that decodes strictly."""
        handler = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strictly


def router(tag: str) -> APIRouter:
    """A router of strict routes."""
    return APIRouter(prefix="/api/v1", tags=[tag], route_class=StrictRoute)


def services_of(request: Request) -> Services:
    """The running server's services."""
    found: Services = request.app.state.services
    return found


async def _caller(request: Request) -> Owner | AppCaller:
    sent = shown(request.scope, await request.body())
    info = gate.info_of(request.scope)
    return await authenticate(sent, services_of(request), request.app.state.limits, info)


async def _owner(request: Request) -> Owner:
    caller = await _caller(request)
    if not isinstance(caller, Owner):
        refuse("forbidden", "this call is for owners")
    return caller


async def _app(request: Request) -> AppCaller:
    caller = await _caller(request)
    if not isinstance(caller, AppCaller):
        refuse("forbidden", "this call is for apps")
    return caller


def _id_bytes(value: object) -> bytes:
    if not isinstance(value, str):
        detail = "an id is not text"
        raise ValueError(detail)  # noqa: TRY004 - pydantic takes ValueError for a refusal
    try:
        found = UUID(value)
    except ValueError:
        found = None
    if found is None or str(found) != value:
        detail = "an id is not a lower-case hyphenated UUID"
        raise ValueError(detail)
    return found.bytes


def _base64_bytes(value: object) -> bytes:
    detail = "bytes are standard base64 with padding"
    if not isinstance(value, str):
        raise ValueError(detail)  # noqa: TRY004 - pydantic takes ValueError for a refusal
    try:
        found = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(detail) from None
    if base64.b64encode(found).decode() != value:
        raise ValueError(detail)
    return found


def _path_id(id: str) -> bytes:  # noqa: A002 - the name of the path's parameter
    return parse_id(id).bytes


CurrentServices = Annotated[Services, Depends(services_of)]
CurrentCaller = Annotated[Owner | AppCaller, Depends(_caller)]
CurrentOwner = Annotated[Owner, Depends(_owner)]
CurrentApp = Annotated[AppCaller, Depends(_app)]
PathId = Annotated[bytes, Depends(_path_id)]
Id = Annotated[
    bytes, BeforeValidator(_id_bytes), WithJsonSchema({"type": "string", "format": "uuid"})
]
Bytes = Annotated[
    bytes,
    BeforeValidator(_base64_bytes),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
AppendBody = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "description": "An append, as /log takes it"})
]


class Unshown(BaseModel):
    """What prints its kind alone: an API key, a token or a name may be in it."""

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Nothing of the fields."""
        return []


class Body(Unshown):
    """A request body: no field more than named, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(Unshown):
    """An answer, for the OpenAPI document only: answers are encoded without it."""

    model_config = ConfigDict(frozen=True)


def prepared(body: dict[str, Any], owner: Owner) -> Prepared:
    """The append inside a control-plane body, checked as far as its bytes go."""
    return prepare(decode_append(body), owner.vault)


def decode_append(body: dict[str, Any]) -> Append:
    """An append from its JSON form.

    Raises:
        ProblemError: `malformed` or `too-large`.
    """
    try:
        return from_json(body, Append)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise unshaped(error, "the append") from None


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer: bytes as base64, UUIDs hyphenated."""
    return Response(_encode(value), status, media_type=JSON)


def nothing() -> Response:
    """204."""
    return Response(status_code=204)


def uuid(data: bytes) -> UUID:
    """An id as JSON shows it."""
    return UUID(bytes=data)


def maybe_uuid(data: bytes | None) -> UUID | None:
    """An id as JSON shows it, or null."""
    return None if data is None else UUID(bytes=data)
