"""Apps, access requests and grants on the wire. docs/spec/6-grants.md."""

from __future__ import annotations

import hashlib

import msgspec

from coffret_vault.errors import FormatError
from coffret_vault.formats.account import XWING_PUBLIC
from coffret_vault.formats.layout import (
    FLAG,
    HASH,
    ID,
    KEY32,
    TIME,
    U64,
    Codec,
    Layout,
    option,
    set_of,
    text,
)
from coffret_vault.formats.memory import IMPORTANCE_ONE, MAX_TAG
from coffret_vault.formats.pae import pae, u64

READ = "read"
CREATE = "create"
UPDATE = "update"
DELETE = "delete"
SCOPES = frozenset((READ, CREATE, UPDATE, DELETE))

MAX_SELECTED = 65_536
MAX_NAMES = 256
_HOUR = 3_600
_TEN_YEARS = 10 * 366 * 86_400
SEALED_KEY_SIZE = 1120 + 32 + 16


class Manifest(msgspec.Struct, frozen=True):
    """Who an app is, in its own words and signed by itself."""

    app_id: bytes
    name: str
    homepage: str
    signing_public: bytes
    sealing_public: bytes
    created: int


def _check_manifest(manifest: Manifest) -> None:
    if not manifest.name.strip():
        message = "an app has no name"
        raise FormatError(message)


MANIFEST: Layout[Manifest] = Layout(
    "app-manifest",
    Manifest,
    (
        ("app_id", ID),
        ("name", text(80)),
        ("homepage", text(200)),
        ("signing_public", KEY32),
        ("sealing_public", XWING_PUBLIC),
        ("created", TIME),
    ),
    _check_manifest,
)


class Selector(msgspec.Struct, frozen=True):
    """Which memories are meant. Every dimension that is given has to fit.

    ``importance`` is in millionths (at least), ``since`` in microseconds (updated).
    """

    everything: bool = False
    tags: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    ids: frozenset[bytes] = frozenset()
    importance: int | None = None
    since: int | None = None


def _check_selector(selector: Selector) -> None:
    given = bool(selector.tags or selector.types or selector.ids)
    given = given or selector.importance is not None or selector.since is not None
    if given == selector.everything:
        message = (
            "what is asked for is either everything, or at least one of tags, types, memories, "
            "importance and since"
        )
        raise FormatError(message)
    if selector.importance is not None and selector.importance > IMPORTANCE_ONE:
        message = "importance is between 0 and 1"
        raise FormatError(message)


SELECTOR: Layout[Selector] = Layout(
    "selector",
    Selector,
    (
        ("everything", FLAG),
        ("tags", set_of(text(MAX_TAG), most=MAX_NAMES)),
        ("types", set_of(text(MAX_TAG), most=MAX_NAMES)),
        ("ids", set_of(ID, most=MAX_SELECTED)),
        ("importance", option(U64)),
        ("since", option(TIME)),
    ),
    _check_selector,
)
_SELECTOR_FIELD: Codec[Selector] = Codec(SELECTOR.serialize, SELECTOR.parse)


def check_scopes(scopes: frozenset[str]) -> None:
    """Refuse no scope at all, and scopes that do not exist."""
    if not scopes or not scopes <= SCOPES:
        message = "scopes are some of read, create, update and delete"
        raise FormatError(message)


class AccessRequest(msgspec.Struct, frozen=True):
    """What an app asks of an owner; ``seconds`` is for how long."""

    request_id: bytes
    account_id: bytes
    app_id: bytes
    manifest_digest: bytes
    owner_keys_hash: bytes
    scopes: frozenset[str]
    selector: Selector
    purpose: str
    retention: str
    seconds: int
    standing: bool
    nonce: bytes
    created: int


def _check_request(request: AccessRequest) -> None:
    check_scopes(request.scopes)
    if not _HOUR <= request.seconds <= _TEN_YEARS:
        message = "access is asked for between an hour and ten years"
        raise FormatError(message)
    if not request.purpose.strip():
        message = "a request does not say what for"
        raise FormatError(message)


ACCESS_REQUEST: Layout[AccessRequest] = Layout(
    "access-request",
    AccessRequest,
    (
        ("request_id", ID),
        ("account_id", ID),
        ("app_id", ID),
        ("manifest_digest", HASH),
        ("owner_keys_hash", HASH),
        ("scopes", set_of(text(16), most=len(SCOPES))),
        ("selector", _SELECTOR_FIELD),
        ("purpose", text(1000)),
        ("retention", text(200)),
        ("seconds", U64),
        ("standing", FLAG),
        ("nonce", HASH),
        ("created", TIME),
    ),
    _check_request,
)


class Grant(msgspec.Struct, frozen=True):
    """What an owner granted; ``expires`` in microseconds."""

    account_id: bytes
    grant_id: bytes
    app_id: bytes
    request_digest: bytes
    owner_keys_hash: bytes
    manifest_digest: bytes
    scopes: frozenset[str]
    selector: Selector
    standing: bool
    auto_accept: bool
    created: int
    expires: int


def _check_grant(grant: Grant) -> None:
    check_scopes(grant.scopes)
    if grant.expires <= grant.created:
        message = "a grant ends before it begins"
        raise FormatError(message)


GRANT: Layout[Grant] = Layout(
    "grant",
    Grant,
    (
        ("account_id", ID),
        ("grant_id", ID),
        ("app_id", ID),
        ("request_digest", HASH),
        ("owner_keys_hash", HASH),
        ("manifest_digest", HASH),
        ("scopes", set_of(text(16), most=len(SCOPES))),
        ("selector", _SELECTOR_FIELD),
        ("standing", FLAG),
        ("auto_accept", FLAG),
        ("created", TIME),
        ("expires", TIME),
    ),
    _check_grant,
)


def grant_key_info(statement: bytes) -> bytes:
    """The HPKE ``info`` under which a grant's key is sealed to the app."""
    return pae("grant-key", statement)


def grant_approval(statement: bytes, sealed_key: bytes) -> bytes:
    """What the owner signs: the grant, and the very bytes in which its key is sealed."""
    return pae("grant-approval", statement, hashlib.sha256(sealed_key).digest())


def grant_key_wrap_header(account_id: bytes, grant_id: bytes, generation: int) -> bytes:
    """The header under which the owner keeps a copy of a grant's key."""
    return pae("grant-key-wrap", account_id, grant_id, u64(generation))
