"""What is sealed: envelopes, wraps, keys to an app, indexes at rest; all under one key."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope import seal
from coffret_vault.formats.account import (
    PASSPHRASE,
    RECOVERY,
    account_key_wrap_header,
    identity_seeds_header,
)
from coffret_vault.formats.author import Author
from coffret_vault.formats.memory import KEK, Kek, memory_key_wrap_header
from coffret_vault.formats.sharing import grant_key_info, grant_key_wrap_header
from coffret_vault.grants.approve import open_owner_wrap
from coffret_vault.keyring.keyring import Keyring, open_identity, seal_identity
from coffret_vault.keyslots.session_names import (
    open_session_name,
    seal_session_name,
    session_name_header,
)
from coffret_vault.keyslots.sign_ups import open_sign_up, seal_sign_up, sign_up_header
from coffret_vault.keyslots.slots import Place, SlotKeys, SlotPlan, make_keyslot, open_keyslot
from coffret_vault.primitives.identity import seal_to
from coffret_vault.records.memory import Fields
from coffret_vault.records.rewrap import KeyName, open_wrap
from coffret_vault.records.seal import (
    Stamp,
    Wrapping,
    open_version,
    seal_version,
    unwrap_memory_key,
    wrap_memory_key,
)
from coffret_vault.store.notes import note_header, open_note, seal_note
from coffret_vault.store.snapshot import (
    _context,
    _grant_context,
    load_grant_snapshot,
    load_snapshot,
    save_grant_snapshot,
    save_snapshot,
)
from harness.kinds.stated import encoded
from harness.kinds.table import KEY, OBJECTS, ONE, Reader, Table, joined, reader
from vectors.making.samples import (
    ACCOUNT_ID,
    CREATED,
    GRANT_ID,
    KEYSLOT_SAMPLE,
    LAYOUTS,
    MEMORY_ID,
    ORIGIN,
    SLOT_ID,
    seeds,
)

if TYPE_CHECKING:
    from pathlib import Path

    from coffret_vault.formats.account import Keyslot
    from coffret_vault.primitives.secret import SecretBytes
    from harness.kinds.table import Read

_PLACE = Place(ORIGIN, ACCOUNT_ID)
_PLAN = SlotPlan(SLOT_ID, 1, CREATED)
_STAMP = Stamp(ACCOUNT_ID, MEMORY_ID, 1, 1, Author(), CREATED, CREATED)
_OWNERS = Wrapping(Kek(generation=1), KEY)
_GRANTS = Wrapping(Kek(grant_id=GRANT_ID), KEY)
_FIELDS = Fields(content="Caf\u00e9")
_LOG_SIZE = 7
_NOTE = "unsent"


class OneKey(Keyring):
    """Keys of which each is the one key, whatever it is for."""

    def kek(self, purpose: str, generation: int | None = None) -> SecretBytes:  # noqa: ARG002 - as the real one
        """The one key."""
        return KEY


RING = OneKey(ACCOUNT_ID, 1, KEY)


def _slot(kind: str) -> tuple[SlotKeys, Keyslot]:
    kdf = KEYSLOT_SAMPLE.kdf if kind == PASSPHRASE else None
    keys = SlotKeys(kind, kdf, ONE.signing, KEY)
    return keys, make_keyslot(keys, _PLACE, _PLAN, KEY, random=os.urandom)


def _slots() -> Table:
    """The account key as each kind of keyslot wraps it."""
    objects: dict[str, bytes] = {}
    readers: dict[str, Reader] = {}
    for kind in (PASSPHRASE, RECOVERY):
        keys, slot = _slot(kind)

        def read(data: bytes, keys: SlotKeys = keys, slot: Keyslot = slot) -> object:
            return open_keyslot(keys, _PLACE, msgspec.structs.replace(slot, wrap=data))

        name = f"account key by {kind}"
        objects[name], readers[name] = slot.wrap, reader(read, name)
    return Table(objects, readers)


def headers() -> dict[str, tuple[str, bytes]]:
    """The purpose and the header of each kind of envelope."""
    memory_key = partial(memory_key_wrap_header, ACCOUNT_ID, MEMORY_ID, 1)
    public = ONE.signing.public, ONE.sealing.public
    slots = {f"account key by {kind}": _slot(kind)[1] for kind in (PASSPHRASE, RECOVERY)}
    return {
        "memory": ("memory", _header()),
        "memory key by owner": ("memory-key", memory_key(KEK.encode(_OWNERS.name))),
        "memory key by grant": ("memory-key", memory_key(KEK.encode(_GRANTS.name))),
        "grant key by owner": ("grant-key", grant_key_wrap_header(ACCOUNT_ID, GRANT_ID, 1)),
        "identity": ("identity", identity_seeds_header(ACCOUNT_ID, 1, *public)),
        "note": ("note", note_header(ACCOUNT_ID, 1, _NOTE)),
        "session name": ("session-name", session_name_header(ACCOUNT_ID, 1, public[0])),
        "sign-up": ("sign-up", _sign_up()),
        **{
            name: ("account-key", account_key_wrap_header(slot, ORIGIN))
            for name, slot in slots.items()
        },
    }


def _header() -> bytes:
    return seal_version(_STAMP, _FIELDS, KEY, random=os.urandom)[0]


def _memory_key(wrapping: Wrapping) -> tuple[bytes, Read, Read]:
    """A wrap of a memory's key, and both that unwrap it."""
    header = LAYOUTS["memory-header"].parse(_header())
    name = KeyName(MEMORY_ID, 1)
    return (
        wrap_memory_key(_STAMP, KEY, wrapping, random=os.urandom),
        lambda data: unwrap_memory_key(header, data, wrapping),
        lambda data: open_wrap(ACCOUNT_ID, name, data, wrapping),
    )


def _memories() -> Table:
    """A memory, and its key for the owner and for an app."""
    header, envelope = seal_version(_STAMP, _FIELDS, KEY, random=os.urandom)
    objects = {"memory": envelope}
    readers = {"memory": reader(lambda data: open_version(header, data, KEY), "memory")}
    for name, wrapping in (("memory key by owner", _OWNERS), ("memory key by grant", _GRANTS)):
        objects[name], unwrap, rewrap = _memory_key(wrapping)
        readers[name], readers[f"{name}, anew"] = reader(unwrap, name), reader(rewrap, name)
    return Table(objects, readers)


def _keys() -> Table:
    """A grant's key for the owner and for the app, and the identity's seeds."""
    info, card = grant_key_info(encoded("grant")), OBJECTS["account"]
    wrap = seal(
        "grant-key", KEY, headers()["grant key by owner"][1], KEY.reveal(), random=os.urandom
    )
    return Table(
        {
            "grant key by owner": wrap,
            "grant key to an app": seal_to(ONE.sealing.public, KEY, info),
            "identity": seal_identity(RING, ONE, seeds("owner"), random=os.urandom),
        },
        {
            "grant key by owner": reader(
                lambda data: open_owner_wrap(RING, GRANT_ID, 1, data), "grant key by owner"
            ),
            "grant key to an app": reader(
                lambda data: ONE.sealing.open(data, info), "grant key to an app"
            ),
            "identity": reader(lambda data: open_identity(RING, card, data), "identity"),
        },
    )


def _indexes(folder: Path) -> Table:
    """A search index of an owner, and one of an app, which are files."""
    owners, apps = folder / "index", folder / "app.index"
    save_snapshot(owners, RING, _LOG_SIZE, b"the index")
    save_grant_snapshot(apps, GRANT_ID, KEY, b"the index")

    def read(data: bytes) -> object:
        owners.write_bytes(data)
        return load_snapshot(owners, RING)

    def read_as_app(data: bytes) -> object:
        apps.write_bytes(data)
        return load_grant_snapshot(apps, GRANT_ID, KEY)

    return Table(
        {"index": owners.read_bytes(), "index of a grant": apps.read_bytes()},
        {
            "index": reader(read, "index"),
            "index of a grant": reader(read_as_app, "index of a grant"),
        },
    )


def _notes() -> Table:
    """What a device noted down, behind the generation of its keys, and what it calls itself."""
    note = seal_note(RING, _NOTE, b"what is intended", random=os.urandom)
    session = ONE.signing.public
    name = seal_session_name(RING, session, "laptop", random=os.urandom)
    begun = seal_sign_up(KEY, _sign_up(), b"what was sent", random=os.urandom)
    return Table(
        {"note": note, "session name": name, "sign-up": begun},
        {
            "sign-up": reader(partial(open_sign_up, KEY, _sign_up()), "sign-up"),
            "note": reader(partial(open_note, RING, _NOTE), "note"),
            "session name": reader(partial(open_session_name, RING, session), "session name"),
        },
    )


def _sign_up() -> bytes:
    kdf = KEYSLOT_SAMPLE.kdf
    assert kdf is not None
    return sign_up_header(_PLACE, "ana", kdf)


def bound() -> dict[str, bytes]:
    """What envelopes, keys to an app and streams are bound to, which is never sent as such."""
    found = {f"header of {name}": header for name, (_, header) in headers().items()}
    del found["header of memory"]  # a type of its own
    info, context = grant_key_info(encoded("grant")), _context(RING, _LOG_SIZE)
    return found | {
        "info of grant key": info,
        "context of index": context,
        "context of index of a grant": _grant_context(GRANT_ID),
    }


def sealed(folder: Path) -> Table:
    """Everything of this module."""
    parts = _slots(), _memories(), _keys(), _indexes(folder), _notes()
    return joined(Table(bound(), {}), *parts)
