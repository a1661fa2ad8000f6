"""One good object of every kind, and how an object looks in a vector."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope import wrap_key
from coffret_vault.formats.account import (
    ACCOUNT_CARD,
    KEYSLOT,
    LOGIN,
    PASSPHRASE,
    AccountCard,
    Kdf,
    Keyslot,
    Login,
)
from coffret_vault.formats.author import Author
from coffret_vault.formats.deletion import DELETION, Deletion
from coffret_vault.formats.entry import ENTRY, PUT, Entry
from coffret_vault.formats.memory import HEADER, Header
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    CREATE,
    GRANT,
    MANIFEST,
    READ,
    SELECTOR,
    AccessRequest,
    Grant,
    Manifest,
    Selector,
)
from coffret_vault.formats.succession import SUCCESSION, Succession
from coffret_vault.keyring.keyring import Identity, identity_from_seeds
from coffret_vault.primitives.secret import SecretBytes
from vectors.making.book import Steady, steady

if TYPE_CHECKING:
    from coffret_vault.formats.layout import Layout

ORIGIN = "https://vault.example"
CREATED = 1_735_689_600_000_000
UPDATED = CREATED + 86_400_000_000


def identifier(label: str) -> bytes:
    """A UUIDv7 with the bits that RFC 9562 fixes."""
    raw = bytearray(CREATED.to_bytes(8, "big")[2:] + steady(f"id {label}", 10))
    raw[6], raw[8] = 0x70 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
    return bytes(raw)


ACCOUNT_ID, SLOT_ID, MEMORY_ID = (identifier(name) for name in ("account", "slot", "memory"))
APP_ID, GRANT_ID, REQUEST_ID = (identifier(name) for name in ("app", "grant", "request"))


def seeds(who: str) -> bytes:
    """An identity's 64 bytes of seeds."""
    return steady(f"seeds of {who}", 64)


def identity(who: str) -> Identity:
    """An identity of the vectors: ``owner``, ``app`` or ``stranger``."""
    return identity_from_seeds(seeds(who))


def secret(label: str, size: int = 32) -> SecretBytes:
    """A key of the vectors."""
    return SecretBytes(steady(label, size))


OWNER_KEYS, APP_KEYS = identity("owner"), identity("app")

KEYSLOT_SAMPLE = Keyslot(
    account_id=ACCOUNT_ID,
    slot_id=SLOT_ID,
    kind=PASSPHRASE,
    generation=1,
    kdf=Kdf(steady("salt", 16), 65_536, 3, 4),
    login_public=OWNER_KEYS.signing.public,
    created=CREATED,
    wrap=wrap_key("any", secret("kek"), b"", secret("key"), random=Steady("sample wrap")),
)
CARD = AccountCard(
    account_id=ACCOUNT_ID,
    username="ada.l-1815",
    signing_public=OWNER_KEYS.signing.public,
    sealing_public=OWNER_KEYS.sealing.public,
    created=CREATED,
)
SUCCESSION_SAMPLE = Succession(
    account_id=ACCOUNT_ID,
    generation=2,
    before=steady("card before", 32),
    after=steady("card after", 32),
    identity=steady("identity after", 32),
    created=UPDATED,
)
LOGIN_SAMPLE = Login(
    origin=ORIGIN,
    account_id=ACCOUNT_ID,
    slot_id=SLOT_ID,
    nonce=steady("nonce", 32),
    session_public=identity("stranger").signing.public,
)
DELETION_SAMPLE = Deletion(
    origin=ORIGIN,
    account_id=ACCOUNT_ID,
    slot_id=SLOT_ID,
    nonce=steady("nonce", 32),
    card=hashlib.sha256(ACCOUNT_CARD.serialize(CARD)).digest(),
    created=UPDATED,
)
HEADER_SAMPLE = Header(
    account_id=ACCOUNT_ID,
    memory_id=MEMORY_ID,
    version=2,
    key_number=1,
    author=Author(APP_ID),
    created=CREATED,
    updated=UPDATED,
    sealed=False,
    title="Caf\u00e9 in Lisbon",
    importance=250_000,
    tags=frozenset(("travel", "food", "\u00e9t\u00e9")),
)
ENTRY_SAMPLE = Entry(
    account_id=ACCOUNT_ID,
    kind=PUT,
    subject=MEMORY_ID,
    version=2,
    digest=steady("digest", 32),
    author=Author(),
    time=UPDATED,
)
MANIFEST_SAMPLE = Manifest(
    app_id=APP_ID,
    name="Trip planner",
    homepage="https://trips.example",
    signing_public=APP_KEYS.signing.public,
    sealing_public=APP_KEYS.sealing.public,
    created=CREATED,
)
SELECTOR_SAMPLE = Selector(
    tags=frozenset(("travel", "food")),
    types=frozenset(("preference",)),
    ids=frozenset((MEMORY_ID, identifier("second memory"))),
    importance=100_000,
    since=CREATED,
)
REQUEST_SAMPLE = AccessRequest(
    request_id=REQUEST_ID,
    account_id=ACCOUNT_ID,
    app_id=APP_ID,
    manifest_digest=hashlib.sha256(MANIFEST.serialize(MANIFEST_SAMPLE)).digest(),
    owner_keys_hash=OWNER_KEYS.keys_hash,
    scopes=frozenset((READ, CREATE)),
    selector=Selector(tags=frozenset(("travel",))),
    purpose="Plan journeys that suit you",
    retention="Until the journey is over",
    seconds=30 * 86_400,
    standing=False,
    nonce=steady("request nonce", 32),
    created=CREATED,
)
GRANT_SAMPLE = Grant(
    account_id=ACCOUNT_ID,
    grant_id=GRANT_ID,
    app_id=APP_ID,
    request_digest=steady("request digest", 32),
    owner_keys_hash=OWNER_KEYS.keys_hash,
    manifest_digest=hashlib.sha256(MANIFEST.serialize(MANIFEST_SAMPLE)).digest(),
    scopes=frozenset((READ,)),
    selector=Selector(ids=frozenset((MEMORY_ID,))),
    standing=False,
    auto_accept=False,
    created=UPDATED,
    expires=UPDATED + 7 * 86_400_000_000,
)
LAYOUTS: dict[str, Layout[Any]] = {
    layout.purpose: layout
    for layout in (
        KEYSLOT,
        ACCOUNT_CARD,
        SUCCESSION,
        LOGIN,
        DELETION,
        HEADER,
        ENTRY,
        MANIFEST,
        SELECTOR,
        ACCESS_REQUEST,
        GRANT,
    )
}
SAMPLES: dict[str, Any] = {
    "keyslot": KEYSLOT_SAMPLE,
    "account": CARD,
    "succession": SUCCESSION_SAMPLE,
    "login": LOGIN_SAMPLE,
    "account-deletion": DELETION_SAMPLE,
    "memory-header": HEADER_SAMPLE,
    "log-entry": ENTRY_SAMPLE,
    "app-manifest": MANIFEST_SAMPLE,
    "selector": SELECTOR_SAMPLE,
    "access-request": REQUEST_SAMPLE,
    "grant": GRANT_SAMPLE,
}


def show(value: Any) -> Any:
    """A parsed object as a vector shows it: bytes in hex, sets sorted bytewise."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Author):
        return show(value.app_id)
    if isinstance(value, Kdf):
        return [value.salt.hex(), value.memory_kib, value.passes, value.lanes]
    if isinstance(value, frozenset):
        items = sorted(value, key=lambda item: item if isinstance(item, bytes) else item.encode())
        return [show(item) for item in items]
    if isinstance(value, msgspec.Struct):
        shown = {name: show(getattr(value, name)) for name in value.__struct_fields__}
        return shown | ({"kdf": []} if "kdf" in shown and shown["kdf"] is None else {})
    return value
