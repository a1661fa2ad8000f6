"""What the server, and an app's website, answer to a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret import developer
from coffret.flows import (
    access,
    apikeys,
    apps,
    evidence,
    grantfeed,
    history,
    keychange,
    lineage,
    registering,
    requests,
    review,
    session,
    sessions,
    signup,
    slots,
    sync,
    wraps,
)
from coffret.flows.http import (
    Response,
    b64,
    decode_json,
    decode_msgpack,
    problem,
    retry_after,
    unb64,
)
from coffret.wellknown import _parse
from coffret_vault.errors import CoffretError, FormatError
from fuzz.choosing import Choices
from fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

_AS_JSON: tuple[Any, ...] = (
    slots.SlotsAnswer,
    list[sessions._Row],
    dict[str, Any],
    list[requests._RequestAnswer],
    list[lineage._StepAnswer],
    grantfeed._GrantAnswer,
    session._ChallengeAnswer,
    session._LoginAnswer,
    signup._AccountAnswer,
    signup._MeAnswer,
    apps._DeveloperAnswer,
    registering._AppAnswer,
    apps._TokenAnswer,
    apps._OwnerAnswer,
    apps._StateAnswer,
    apps._CredentialsAnswer,
    list[wraps._CountAnswer],
    list[developer._Row],
    apikeys._New,
)
_PACKED: tuple[Any, ...] = (
    sync._Page,
    sync._Leaves,
    slots._Feed,
    list[history._Item],
    access._Page,
    access._HeadAnswer,
    review._RecordAnswer,
    evidence._Leaves,
    evidence._Proof,
    keychange.KeysPage,
    wraps._WrapsAnswer,
)


def _check_json(data: bytes) -> None:
    """JSON is the answer that is awaited, or is refused; no problem is more than an error."""
    choices = Choices(data)
    kind, body = _AS_JSON[choices.number() % len(_AS_JSON)], choices.rest()
    answer = Response(400, {"retry-after": body[:8].decode("latin-1")}, body)
    assert isinstance(problem(answer), CoffretError)
    assert 0 <= retry_after(answer) <= 60
    try:
        found = decode_json(answer, kind)
    except FormatError:
        return
    repr(found)
    assert decode_json(Response(200, {}, msgspec.json.encode(found)), kind) == found


def _check_packed(data: bytes) -> None:
    """MessagePack is the answer that is awaited, or is refused."""
    choices = Choices(data)
    kind, body = _PACKED[choices.number() % len(_PACKED)], choices.rest()
    try:
        found = decode_msgpack(Response(200, {}, body), kind)
    except FormatError:
        return
    repr(found)
    assert decode_msgpack(Response(200, {}, msgspec.msgpack.encode(found)), kind) == found


def _check_base64(data: bytes) -> None:
    """Base64 in an answer is bytes, or is refused."""
    try:
        found = unb64(data.decode("latin-1"))
    except FormatError:
        return
    assert unb64(b64(found)) == found


def _check_web(data: bytes) -> None:
    """What a website answers is read as HTTP, or is refused."""
    try:
        answer = _parse(data)
    except FormatError:
        return
    assert len(answer.body) <= len(data)


def _example(kind: msgspec.inspect.Type) -> object:  # noqa: PLR0911 - one line a kind
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.array_like:
            return [_example(field.type) for field in kind.fields]
        return {field.encode_name: _example(field.type) for field in kind.fields}
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return [_example(kind.item_type)]
    if isinstance(kind, msgspec.inspect.TupleType):
        return [_example(item) for item in kind.item_types]
    if isinstance(kind, msgspec.inspect.UnionType):
        return _example(kind.types[0])
    if isinstance(kind, msgspec.inspect.BytesType):
        return b"some bytes"
    if isinstance(kind, msgspec.inspect.BoolType):
        return True
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return 1
    return "text" if isinstance(kind, msgspec.inspect.StrType) else None


def _json_seeds() -> Iterator[bytes]:
    for at, kind in enumerate(_AS_JSON):
        yield bytes([at]) + msgspec.json.encode(_example(msgspec.inspect.type_info(kind)))
    yield b'\2{"code":"conflict","current":{"version":3,"digest":"AAAA"}}'
    yield b'\2{"code":"rate-limited"}'


def _packed_seeds() -> Iterator[bytes]:
    for at, kind in enumerate(_PACKED):
        yield bytes([at]) + msgspec.msgpack.encode(_example(msgspec.inspect.type_info(kind)))


def _base64_seeds() -> Iterator[bytes]:
    yield from (b"AAAA", b"AA==", b"AB==", b"A", b"\xff")


def _web_seeds() -> Iterator[bytes]:
    yield b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"apps":[]}'
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n"
    yield b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 No\r\nContent-Encoding: gzip\r\n\r\n"


TARGETS = (
    Target("answer-json", _check_json, _json_seeds, 4096),
    Target("answer-packed", _check_packed, _packed_seeds, 4096),
    Target("base64", _check_base64, _base64_seeds, 128),
    Target("web", _check_web, _web_seeds, 2048),
)
