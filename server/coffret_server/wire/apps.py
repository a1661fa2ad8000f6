"""App manifests, access requests, selectors and grants (docs/spec/6-grants.md)."""

from typing import Final
from uuid import UUID

import msgspec

from coffret_server.problems import refuse
from coffret_server.wire import pae
from coffret_server.wire.identity import SEALING_KEY_SIZE
from coffret_server.wire.records import IMPORTANCE_LIMIT, TAG_LIMIT

MANIFEST: Final = pae.Layout("app-manifest", 6)
SELECTOR: Final = pae.Layout("selector", 6)
REQUEST: Final = pae.Layout("access-request", 13)
GRANT: Final = pae.Layout("grant", 12)
APPROVAL: Final = pae.Layout("grant-approval", 2)
SCOPES: Final = ("create", "delete", "read", "update")
SEALED_KEY_SIZE: Final = 1120 + 32 + 16
NONCE_SIZE: Final = 32
SHORTEST: Final = 3_600
LONGEST: Final = 10 * 366 * 86_400
SECOND: Final = 1_000_000
NAMES_LIMIT: Final = 256
SELECTION_LIMIT: Final = 65_536


class Manifest(msgspec.Struct, frozen=True):
    """Who an app is."""

    app: UUID
    name: str
    homepage: str
    signing_key: bytes
    sealing_key: bytes
    created: int


class Request(msgspec.Struct, frozen=True):
    """What an app asks an owner for. `texts` is all that an owner reads of it."""

    request: UUID
    account: UUID
    app: UUID
    manifest_digest: bytes
    owner_keys: bytes
    scopes: tuple[str, ...]
    seconds: int
    standing: bool
    created: int
    texts: tuple[str, ...]


class Grant(msgspec.Struct, frozen=True):
    """What an owner approved."""

    account: UUID
    grant: UUID
    app: UUID
    request_digest: bytes
    owner_keys: bytes
    manifest_digest: bytes
    scopes: tuple[str, ...]
    standing: bool
    created: int
    expires: int


def parse_manifest(data: bytes) -> Manifest:
    """Read an app's manifest."""
    app, name, homepage, signing_key, sealing_key, created = MANIFEST.split(data)
    manifest = Manifest(
        app=pae.read_id(app),
        name=pae.read_text(name, 80),
        homepage=pae.read_text(homepage, 200),
        signing_key=pae.read_fixed(signing_key, pae.KEY_SIZE),
        sealing_key=pae.read_fixed(sealing_key, SEALING_KEY_SIZE),
        created=pae.read_time(created),
    )
    if not manifest.name.strip():
        refuse("malformed", "an app has no name")
    return manifest


def parse_request(data: bytes) -> Request:
    """Read an access request."""
    fields = REQUEST.split(data)
    names = check_selector(fields[6])
    purpose, retention = pae.read_text(fields[7], 1_000), pae.read_text(fields[8], 200)
    if not purpose.strip():
        refuse("malformed", "a request does not say what for")
    pae.read_fixed(fields[11], NONCE_SIZE)
    request = Request(
        request=pae.read_id(fields[0]),
        account=pae.read_id(fields[1]),
        app=pae.read_id(fields[2]),
        manifest_digest=pae.read_fixed(fields[3], pae.DIGEST_SIZE),
        owner_keys=pae.read_fixed(fields[4], pae.DIGEST_SIZE),
        scopes=_scopes(fields[5]),
        seconds=pae.read_u64(fields[9]),
        standing=pae.read_flag(fields[10]),
        created=pae.read_time(fields[12]),
        texts=(purpose, retention, *names),
    )
    if not SHORTEST <= request.seconds <= LONGEST:
        refuse("malformed", "a request asks for less than an hour or more than ten years")
    return request


def parse_grant(data: bytes) -> Grant:
    """Read a grant statement."""
    fields = GRANT.split(data)
    check_selector(fields[7])
    pae.read_flag(fields[9])
    grant = Grant(
        account=pae.read_id(fields[0]),
        grant=pae.read_id(fields[1]),
        app=pae.read_id(fields[2]),
        request_digest=pae.read_fixed(fields[3], pae.DIGEST_SIZE),
        owner_keys=pae.read_fixed(fields[4], pae.DIGEST_SIZE),
        manifest_digest=pae.read_fixed(fields[5], pae.DIGEST_SIZE),
        scopes=_scopes(fields[6]),
        standing=pae.read_flag(fields[8]),
        created=pae.read_time(fields[10]),
        expires=pae.read_time(fields[11]),
    )
    if grant.expires <= grant.created:
        refuse("malformed", "a grant ends before it begins")
    return grant


def parse_begin(data: bytes) -> int:
    """When a grant statement that was read before begins, without reading the rest again."""
    return pae.read_time(GRANT.split(data)[10])


def _scopes(data: bytes) -> tuple[str, ...]:
    scopes = tuple(pae.read_text(item, 8) for item in pae.read_set(data, len(SCOPES)))
    if not scopes or not set(scopes) <= set(SCOPES):
        refuse("malformed", "scopes are empty, or unknown")
    return scopes


def check_selector(data: bytes) -> list[str]:
    """Refuse a selector that is not well formed; its tags and types."""
    everything, tags, types, memories, least, since = SELECTOR.split(data)
    items = [*pae.read_set(tags, NAMES_LIMIT), *pae.read_set(types, NAMES_LIMIT)]
    texts = [pae.read_text(item, TAG_LIMIT) for item in items]
    chosen = pae.read_set(memories, SELECTION_LIMIT)
    for item in chosen:
        pae.read_fixed(item, pae.ID_SIZE)
    importance, moment = pae.read_option(least), pae.read_option(since)
    if importance is not None and pae.read_u64(importance) > IMPORTANCE_LIMIT:
        refuse("malformed", "an importance is above 1,000,000")
    if moment is not None:
        pae.read_time(moment)
    names = bool(texts or chosen or importance is not None or moment is not None)
    if pae.read_flag(everything) is names:
        refuse("malformed", "a selector names everything and a dimension, or nothing")
    return texts
