"""Grants as they come with the log: fetched once, verified, and followed through their states."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.http import decode_json, unb64
from coffret.flows.session import get
from coffret_vault.envelope.signature import verify_statement
from coffret_vault.errors import BadSignatureError, OpenError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.entry import scope_of
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import Kek
from coffret_vault.grants.approve import open_owner_wrap, verify_own_grant
from coffret_vault.grants.apps import Signed, SignedGrant, verify_manifest
from coffret_vault.records.seal import Wrapping
from coffret_vault.store import GrantRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret.flows.http import Flow
    from coffret.flows.state import AccountFile, VaultState
    from coffret_vault.formats.entry import Entry, Leaf

ACTIVATING = "activating"
ACTIVE = "active"
PAUSED = "paused"
REVOKED = "revoked"
_STATES = {kinds.PAUSE: PAUSED, kinds.RESUME: ACTIVE, kinds.REVOKE: REVOKED}
GRANT_KINDS = frozenset((kinds.GRANT, *_STATES))
Rows = dict[bytes, GrantRow]
HOLDING = "wraps"
"""The name under which a device keeps that it is yet to ask which grants hold which memories."""


class _GrantAnswer(msgspec.Struct, frozen=True):
    grant: str
    sealed_key: str
    signature: str
    owner_wrap: str
    generation: int
    request: str
    manifest: str
    manifest_signature: str


def follow_grants(
    state: VaultState, account: AccountFile, leaves: Iterable[tuple[int, Leaf]]
) -> Flow[Rows]:
    """The grants that these log entries make or change, as they stand after them.

    ``account`` knows who spoke for the owner at each entry.

    Raises:
        TrustError: the server's grant is not the one that the entry names, or not the owner's.
    """
    rows: Rows = {}
    for index, leaf in leaves:
        entry = leaf.entry
        if entry.kind not in GRANT_KINDS:
            continue
        if entry.kind == kinds.GRANT:
            rows[entry.subject] = yield from _fetch(state, account, entry, index)
        else:
            row = rows.get(entry.subject) or state.store.grants.get(entry.subject)
            rows[entry.subject] = move_grant(row, entry, index)
    return rows


def _fetch(state: VaultState, account: AccountFile, entry: Entry, index: int) -> Flow[GrantRow]:
    response = yield from get(state, f"/grants/{id_text(entry.subject)}")
    answer = decode_json(response, _GrantAnswer)
    signed = SignedGrant(unb64(answer.grant), unb64(answer.sealed_key), unb64(answer.signature))
    grant = verify_own_grant(account.signing_public(index), signed)
    manifest_bytes = unb64(answer.manifest)
    manifest = verify_manifest(Signed(manifest_bytes, unb64(answer.manifest_signature)))
    named = hashlib.sha256(signed.message).digest(), grant.grant_id
    if named != (entry.digest, entry.subject):
        message = "the server shows another grant than the one in the log"
        raise TrustError(message)
    fits = (
        grant.app_id == manifest.app_id
        and grant.manifest_digest == hashlib.sha256(manifest_bytes).digest()
        and hashlib.sha256(unb64(answer.request)).digest() == grant.request_digest
    )
    if not fits:
        # It need not be the server: before ADR 0034 grants named no manifest.
        message = "a grant in the log names another app or request than the server has for it"
        raise TrustError(message)
    owner_wrap = unb64(answer.owner_wrap)
    try:
        open_owner_wrap(state.keys.keyring, grant.grant_id, answer.generation, owner_wrap)
    except OpenError:
        message = "the server shows a grant whose key the owner cannot open"
        raise TrustError(message) from None
    return GrantRow(
        grant=signed.message,
        manifest=manifest_bytes,
        owner_wrap=owner_wrap,
        generation=answer.generation,
        request=unb64(answer.request),
        state=_began(state, grant.grant_id, index),
        version=entry.version,
        granted_at=index,
    )


def sharing_name(grant_id: bytes) -> str:
    """Where the device that decided keeps the ids of what it is still to hand over."""
    return f"sharing {grant_id.hex()}"


def _began(state: VaultState, grant_id: bytes, index: int) -> str:
    """How a grant begins here: the device that decided has yet to put it in force.

    Where it is read again because this folder was changed, it may have been put in force long ago:
    the note of what to hand over can be one of then that somebody put back.
    """
    if state.store.known.aside and index < state.position().size:
        return ACTIVE
    decided_here = bool(state.store.meta(sharing_name(grant_id)))
    return ACTIVATING if decided_here else ACTIVE


def move_grant(row: GrantRow | None, entry: Entry, index: int) -> GrantRow:
    """A grant after a ``pause``, ``resume`` or ``revoke``.

    Raises:
        TrustError: the entry does not follow from the grant's state.
    """
    if (
        row is None
        or row.state == REVOKED
        or entry.version != row.version + 1
        or hashlib.sha256(row.grant).digest() != entry.digest
    ):
        message = "a grant's entries do not follow each other"
        raise TrustError(message)
    state = _STATES[entry.kind]
    revoked_at = index if state == REVOKED else row.revoked_at
    return msgspec.structs.replace(row, state=state, version=entry.version, revoked_at=revoked_at)


def check_app_leaf(state: VaultState, rows: Rows, leaf: Leaf) -> None:
    """Refuse an app's entry unless a grant of that app allows it and the app signed it.

    When it was written is not asked: the time is the app's own word, and the server enforces a
    grant's end. What an app alone can do must never stop an owner's sync. Nor is one of its grants
    the only one that is asked: a grant that is over may name keys that the app has no longer.

    Raises:
        TrustError: it has no such grant, or the signature is by none of its keys.
    """
    keys = _keys_for(state, rows, leaf.entry)
    for public in keys[:-1]:
        with suppress(BadSignatureError):
            verify_statement(public, "app-entry", leaf.message, leaf.signature)
            return
    if not keys:
        message = "the log has an entry by an app that was not granted it"
        raise TrustError(message)
    verify_statement(keys[-1], "app-entry", leaf.message, leaf.signature)


def _keys_for(state: VaultState, rows: Rows, entry: Entry) -> list[bytes]:
    """The keys of an app by grants that allow this entry, each once, the newest grant's first."""
    scope = scope_of(entry)
    known = {row.granted_at: row for row in state.store.grants.all()}
    known |= {row.granted_at: row for row in rows.values()}
    keys: dict[bytes, None] = {}
    for _, row in sorted(known.items(), reverse=True):
        grant = row.statement()
        if grant.app_id == entry.author.app_id and row.state != REVOKED and scope in grant.scopes:
            keys[row.app().signing_public] = None
    return list(keys)


def grant_wrapping(state: VaultState, row: GrantRow) -> Wrapping:
    """A grant's key, from the owner's copy.

    Raises:
        OpenError: the copy does not open.
    """
    grant_id = row.statement().grant_id
    key = open_owner_wrap(state.keys.keyring, grant_id, row.generation, row.owner_wrap)
    return Wrapping(Kek(grant_id=grant_id), key)


def wrapping_for(state: VaultState, kek: Kek, rows: Rows) -> Wrapping:
    """The key that a wrap names: one of the owner's KEKs, or a grant's key.

    Raises:
        OpenError: it is not to be had.
    """
    if kek.grant_id is None:
        keyring = state.keys.keyring
        return Wrapping(kek, keyring.kek("memory", kek.generation))
    row = rows.get(kek.grant_id) or state.store.grants.get(kek.grant_id)
    if row is None:
        raise OpenError
    return grant_wrapping(state, row)
