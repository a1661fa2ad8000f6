"""What clients send to the server: bodies, proofs, queries. One refusal, never a failure."""

from __future__ import annotations

import base64
import contextlib
import json
from functools import cache
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
from pydantic import BaseModel, ValidationError

from coffret_server import gate, strict
from coffret_server.append import Append, Prepared, Vault, prepare
from coffret_server.control import accounts, auth, credentials, developers, grants, keys, requests
from coffret_server.control.web import decode_append
from coffret_server.data.call import Call
from coffret_server.data.writing import WritingBody, _prepare
from coffret_server.principals import AppCaller
from coffret_server.problems import ProblemError
from coffret_server.proofs import SECOND, Proofs, Shown, encode
from coffret_server.signatures import Verifier
from coffret_vault.envelope import seal, wrap_key
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head
from coffret_vault.formats.entry import ENTRY, PUT, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import KEK, Header, Kek, record_digest, serialize_header
from coffret_vault.formats.padding import pad
from fuzz.choosing import Choices, short
from fuzz.target import Target
from vectors.making.book import Steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
    CREATED,
    GRANT_ID,
    MEMORY_ID,
    OWNER_KEYS,
    REQUEST_SAMPLE,
    secret,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")
_JSON, _MSGPACK = b"application/json", b"application/msgpack"


def _call(body: bytes, media: bytes = _MSGPACK, query: bytes = b"") -> Call:
    running = SimpleNamespace(state=SimpleNamespace(services=None, limits=None))
    scope: dict[str, Any] = {
        "headers": [(b"content-type", media)],
        "app": running,
        "method": "POST",
        "path": "/",
        "query_string": query,
        gate.INFO: None,
    }
    return Call(scope, body)


# -- appends --------------------------------------------------------------------------------------


@cache
def _vault() -> Vault:
    return Vault.of(UUID(bytes=ACCOUNT_ID), Verifier(OWNER_KEYS.signing.public))


def _signed_again(append: Append) -> Append:
    """With a head by the owner that fits its base and leaves, so that all of it is looked at."""
    leaves = [] if append.leaves is msgspec.UNSET else append.leaves
    size = max(1, min(append.base, 10**17)) + len(leaves)
    head = sign_head(OWNER_KEYS.signing, Head(ACCOUNT_ID, size, bytes(32), NO_HEAD, CREATED))
    return msgspec.structs.replace(append, base=size - len(leaves), head=head)


def _check_append(data: bytes) -> None:
    """An append as MessagePack and as JSON is refused, or is wholly understood."""
    choices = Choices(data)
    kind, body = choices.number(), choices.rest()
    try:
        if kind & 1:
            append = decode_append(_object(body))
        else:
            append = _call(body, _JSON if kind & 2 else _MSGPACK).body(Append)
        prepared = prepare(_signed_again(append) if kind & 4 else append, _vault())
    except ProblemError:
        return
    _check_prepared(prepared)


def _object(body: bytes) -> dict[str, Any]:
    found = strict.loads(body)
    return found if isinstance(found, dict) else {}


def _check_prepared(prepared: Prepared) -> None:
    puts = sum(entry.kind == "put" for entry in prepared.entries)
    assert puts == len(prepared.puts)
    assert all(entry.account == ACCOUNT_ID for entry in prepared.entries)
    prepared.memories()


def _put(author: Author) -> tuple[bytes, tuple[bytes, bytes, bytes, bytes]]:
    """An entry of a put, and its record."""
    header = serialize_header(
        Header(
            ACCOUNT_ID, MEMORY_ID, 1, 1, author, CREATED, CREATED, sealed=False, title="t",
            importance=None, tags=frozenset(("a",)),
        )
    )  # fmt: skip
    key, random = secret("put"), Steady("put")
    envelope = seal("memory", key, header, pad(b"content"), random=random)
    kek = KEK.encode(Kek(generation=1) if author.is_owner else Kek(grant_id=GRANT_ID))
    wrap = wrap_key("memory-key", key, b"", key, random=random)
    digest = record_digest(header, envelope)
    entry = Entry(ACCOUNT_ID, PUT, MEMORY_ID, 1, digest, author, CREATED)
    return ENTRY.serialize(entry), (header, envelope, kek, wrap)


def _append_seeds() -> Iterator[bytes]:
    leaf, record = _put(OWNER)
    wrap, grant, memory = record[3], UUID(bytes=GRANT_ID), UUID(bytes=MEMORY_ID)
    pack = msgspec.msgpack.Encoder(uuid_format="bytes").encode
    head = sign_head(OWNER_KEYS.signing, Head(ACCOUNT_ID, 2, bytes(32), NO_HEAD, CREATED))
    whole = {
        "base": 1,
        "head": head,
        "leaves": [leaf],
        "records": [record],
        "accepts": [(memory, 1, b"\0" + bytes(7) + b"\1", wrap)],
        "wraps": [(grant, memory, 1, wrap)],
        "unwraps": [(grant, memory)],
    }
    for body in (whole, {"base": 1, "head": head, "leaves": [leaf], "records": [record]}):
        yield b"\0" + pack(body)
        yield b"\4" + pack(body)
        yield b"\2" + msgspec.json.encode(body)
        yield b"\5" + msgspec.json.encode(body)
    yield b"\2" + b'{"base":1,"base":1}'


@cache
def _app() -> AppCaller:
    return AppCaller(
        app=APP_ID,
        app_id=UUID(bytes=APP_ID),
        key=UUID(int=1),
        holder=Verifier(APP_KEYS.signing.public),
        manifest_digest=REQUEST_SAMPLE.manifest_digest,
        scopes=frozenset(),
    )


def _check_writing(data: bytes) -> None:
    """What an app writes is refused, or is puts and deletes of its own."""
    choices = Choices(data)
    kind, body = choices.number(), choices.rest()
    try:
        writing = _call(body, _JSON if kind & 2 else _MSGPACK).body(WritingBody)
        if kind & 4:
            sign = APP_KEYS.signing
            writing.leaves = [
                leaf + sign_statement(sign, "app-entry", leaf) for leaf in writing.leaves[:8]
            ]
        found = _finish(_prepare(writing, _app(), GRANT_ID))
    except ProblemError:
        return
    assert {entry.author for entry in found.entries} == {APP_ID}
    assert {entry.kind for entry in found.entries} <= {"put", "delete"}


def _finish(waiting: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing but its turn."""
    while True:
        try:
            waiting.send(None)
        except StopIteration as done:
            value: T = done.value
            return value


def _writing_seeds() -> Iterator[bytes]:
    leaf, record = _put(Author(APP_ID))
    body = {"leaves": [leaf], "records": [record]}
    yield b"\4" + msgspec.msgpack.encode(body)
    yield b"\6" + msgspec.json.encode(body)
    yield b"\0" + msgspec.msgpack.encode(body)


# -- JSON, queries --------------------------------------------------------------------------------

_BODIES: tuple[type[BaseModel], ...] = (
    accounts.CreateBody,
    accounts.KeyslotsBody,
    developers.DeveloperBody,
    developers.AppBody,
    developers.KeyBody,
    requests.RequestBody,
    requests.GrantBody,
    requests.DecisionBody,
    auth.ChallengeBody,
    credentials.LoginBody,
    auth.TokenBody,
    grants.StateBody,
    keys.ChangeBody,
)


def _check_control(data: bytes) -> None:
    """JSON is refused or is what any other reader makes of it; so are the bodies made of it."""
    choices = Choices(data)
    model, body = _BODIES[choices.number() % len(_BODIES)], choices.rest()
    try:
        value = strict.loads(body)
    except ProblemError:
        return
    assert value == json.loads(body)
    with contextlib.suppress(ValidationError, ProblemError):
        model.model_validate(value)


def _control_seeds() -> Iterator[bytes]:
    for at, model in enumerate(_BODIES):
        fields = model.model_json_schema()["properties"]
        values = {name: _example(schema) for name, schema in fields.items()}
        yield bytes([at]) + json.dumps(values).encode()
    yield b'\0{"a":"\\"[{","b":[1e5,-0,null,true]}'
    yield b'\0{"a":NaN}'


def _example(schema: dict[str, Any]) -> object:
    if schema.get("format") == "uuid":
        return id_text(ACCOUNT_ID)
    plain: dict[str, object] = {"string": "YQ==", "integer": 1, "boolean": True, "array": []}
    return plain.get(schema.get("type", ""), {})


def _check_query(data: bytes) -> None:
    """A query is refused, or gives numbers within their range and one value a name."""
    call = _call(b"", query=data)
    try:
        found = call.query()
        number = call.number("from", 0)
    except ProblemError:
        return
    assert 0 <= number < 1 << 63
    assert len(found) <= 16


def _query_seeds() -> Iterator[bytes]:
    yield from (b"from=12&limit=9", b"from=9223372036854775808", b"a=1&a=2", b"from=%31&x=", b"%ff")


# -- proofs ---------------------------------------------------------------------------------------

_ORIGIN = "https://vault.example"
_JWK = {"kty": "OKP", "crv": "Ed25519", "x": encode(OWNER_KEYS.signing.public)}
_TOKEN = "cvt_token"


def _shown(proof: bytes) -> Shown:
    return Shown(b"DPoP " + _TOKEN.encode(), proof, "POST", "/api/v1/log", b"a=1", b"body")


def _check_proof(data: bytes) -> None:
    """A proof is refused, or its claims are those of the request, whatever is signed."""
    choices = Choices(data)
    kind, header, claims = choices.number() % 3, choices.short(), choices.short()
    signed = f"{_b64(header)}.{_b64(claims)}".encode()
    proof = signed + b"." + _b64(OWNER_KEYS.signing.sign(signed)).encode()
    if kind == 0:
        proof = choices.rest()
    elif kind == 1:
        at, byte = choices.number(2) % len(proof), choices.number()
        proof = proof[:at] + bytes([byte]) + proof[at + 1 :]
    proofs = Proofs((_ORIGIN,), b"k" * 32, lambda: CREATED + 120 * SECOND)
    proofs._began = 0
    shown, holder = _shown(proof), Verifier(OWNER_KEYS.signing.public)
    if _refusal(proofs, shown, holder) is None:
        said = json.loads(claims)
        assert (said["htm"], said["htu"]) == ("POST", f"{_ORIGIN}/api/v1/log")
    assert _refusal(proofs, shown, holder) == "invalid-proof", "a proof is taken twice"


def _refusal(proofs: Proofs, shown: Shown, holder: Verifier) -> str | None:
    try:
        proofs.check(shown, _TOKEN, holder)
    except ProblemError as refused:
        return refused.code
    return None


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _proof_seeds() -> Iterator[bytes]:
    header = msgspec.json.encode({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": _JWK})
    claims = {
        "jti": "a" * 22,
        "htm": "POST",
        "htu": f"{_ORIGIN}/api/v1/log",
        "iat": CREATED // SECOND + 120,
        "bdg": encode(sha256(b"a=1\nbody").digest()),
        "ath": encode(sha256(_TOKEN.encode()).digest()),
    }
    both = short(header) + short(msgspec.json.encode(claims))
    yield b"\2" + both
    yield b"\1" + both + b"\0\1A"
    yield b"\0" + short(b"") * 2 + b"e30.e30.AA"
    claims["nonce"] = Proofs((_ORIGIN,), b"k" * 32, lambda: CREATED).new_nonce()
    yield b"\2" + short(header) + short(msgspec.json.encode(claims))


TARGETS = (
    Target("append", _check_append, _append_seeds, 4096),
    Target("writing", _check_writing, _writing_seeds, 4096),
    Target("control", _check_control, _control_seeds, 4096),
    Target("query", _check_query, _query_seeds, 256),
    Target("proof", _check_proof, _proof_seeds, 2048),
)
