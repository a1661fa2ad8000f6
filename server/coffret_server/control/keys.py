"""Key changes: a new generation of every key of an account, in one step."""

from hashlib import sha256
from typing import Final
from uuid import UUID

from pydantic import Field
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server.append import (
    MEMORY_KINDS,
    Expected,
    Prepared,
    Vault,
    apply,
    log_moved,
    prepare,
)
from coffret_server.control.accounts import (
    Identity,
    keyslot_changes,
    own_account,
    read_keyslots,
    slot_rows,
)
from coffret_server.control.web import (
    Answer,
    AppendBody,
    Body,
    Bytes,
    CurrentOwner,
    CurrentServices,
    Id,
    answer,
    decode_append,
    nothing,
    router,
)
from coffret_server.held import drop_all
from coffret_server.principals import Owner
from coffret_server.problems import refuse
from coffret_server.rows import check_session, load_state
from coffret_server.schema import (
    AccessRequest,
    Account,
    Keyslot,
    Rewrap,
    Session,
    Succession,
)
from coffret_server.signatures import Verifier
from coffret_server.storage import Tx, session_tx
from coffret_server.wire import identity, records

keys = router("keys")
_STEP: Final = 500
"""Entries of one statement, which has a minute on PostgreSQL: each may have 2 MiB."""
_BIN_9: Final = b"\xc4\x09"
_BIN_113: Final = b"\xc4\x71"
"""How MessagePack marks bytes of these lengths: of a kek of the owner's, and of a wrap."""
# A record ends with its kek and its wrap: 9 or 17 bytes and 113, each with its mark. It is of a
# grant if that very one stands in the place of a longer kek, as it does from when an app wrote it
# until it is accepted; every other one is of the owner.
_UNSTAGED: Final = (
    "SELECT 1 FROM entries e"
    " WHERE e.account_id = ? AND e.seq >= ? AND e.seq < ? AND e.record IS NOT NULL"
    " AND (e.grant_id IS NULL OR SUBSTR(e.record, LENGTH(e.record) - 130, 16) <> e.grant_id)"
    " AND NOT EXISTS (SELECT 1 FROM rewraps r WHERE r.account_id = e.account_id"
    " AND r.session_id = ? AND r.memory_id = e.subject AND r.key_number = e.key_number"
    " AND r.change_id = ?) LIMIT 1"
)
_REWRAP: Final = (
    "UPDATE entries AS e SET record = CAST(SUBSTR(e.record, 1, LENGTH(e.record) - 126) || ? ||"
    " (SELECT r.wrap FROM rewraps r WHERE r.account_id = e.account_id"
    " AND r.session_id = ? AND r.memory_id = e.subject AND r.key_number = e.key_number"
    " AND r.change_id = ?) AS BLOB)"
    " WHERE e.account_id = ? AND e.seq >= ? AND e.seq < ? AND e.record IS NOT NULL"
    " AND (e.grant_id IS NULL OR SUBSTR(e.record, LENGTH(e.record) - 130, 16) <> e.grant_id)"
)
_GRANTS: Final = "SELECT grant_id FROM grants WHERE account_id = ?"
_STATEMENTS: Final = (
    "SELECT grant_id, changes, statement FROM grants WHERE account_id = ? AND grant_id > ?"
    " AND state <> 'revoked' ORDER BY grant_id LIMIT 8"
)
_END: Final = (
    "UPDATE grants SET owner_wrap = ?, generation = ?, state = 'revoked',"
    " changes = changes + CASE WHEN state = 'revoked' THEN 0 ELSE 1 END"
    " WHERE account_id = ? AND grant_id = ?"
)
GENERATIONS_LIMIT = 1_000
"""More than anybody needs; all steps between them are one answer, which every device reads."""


class GrantWrap(Body):
    """The owner's copy of a grant's key, under the new generation."""

    grant_id: Id
    owner_wrap: Bytes


class ChangeBody(Body):
    """A whole new set of keys; the wraps of memory keys were staged under `change_id` before."""

    change_id: Id
    account_card: Bytes
    card_signature: Bytes
    succession: Bytes
    succession_signature: Bytes
    keyslots: list[Bytes] = Field(min_length=1, max_length=identity.KEYSLOTS_LIMIT)
    identity: Identity
    grants: list[GrantWrap]
    append: AppendBody


class StepAnswer(Answer):
    """How one card followed another."""

    account_id: UUID
    generation: int
    succession: str
    signature: str
    card: str


@keys.get("/accounts/me/successions", response_model=list[StepAnswer])
async def read_successions(owner: CurrentOwner, services: CurrentServices) -> Response:
    """Every key change of the account, oldest first."""
    async with services.storage.read() as session:
        rows = await session.scalars(
            select(Succession)
            .where(Succession.account_id == owner.account)
            .order_by(Succession.generation)
        )
        found = [
            {
                "account_id": owner.account_id,
                "generation": row.generation,
                "succession": row.succession,
                "signature": row.signature,
                "card": row.card,
            }
            for row in rows
        ]
    return answer(found)


@keys.post("/accounts/me/keys", status_code=204)
async def change_keys(body: ChangeBody, owner: CurrentOwner, services: CurrentServices) -> Response:
    """Replace card, identity, keyslots and the wraps of all keys; end grants and other sessions."""
    card = identity.parse_card(body.account_card)
    verifier = Verifier(card.signing_key)
    verifier.verify_kind("account", body.card_signature, body.account_card)
    identity.check_identity(body.identity.envelope)
    slots = read_keyslots(body.keyslots, owner.account_id, body.identity.generation)
    ready = prepare(decode_append(body.append), Vault.of(owner.account_id, verifier))
    if any(entry.kind in MEMORY_KINDS for entry in ready.entries):
        refuse("invalid-input", "a change of keys brings no entries of memories")
    async with services.storage.write() as session:
        account = await own_account(session, owner, lock=True)
        if account.card == body.account_card:
            return nothing()  # the answer to this very call was lost
        before = account.card
        _check_card(account, card)
        _check_succession(account, body)
        await _check_unmoved(await session_tx(session), owner, ready)
        expected = [_rotation(account, body)]
        expected += await _replace_slots(session, owner.account, body.keyslots, slots)
        tx = await session_tx(session)
        expected += await _end_grants(tx, owner.account, body)
        _replace_account(account, card, body)
        tx = await session_tx(session)
        await apply(tx, ready, expected, now=services.clock(), session=owner.session)
        await _rewrap(tx, owner, body, ready.head.size)
        session.add(_step(owner.account, body, before))
        await _end_the_rest(session, owner.account, owner.session)
        # All that took minutes, in which another device may have ended this session.
        await check_session(await session_tx(session), owner.account, owner.session)
    services.principals.forget_account(owner.account)
    return nothing()


async def _check_unmoved(tx: Tx, owner: Owner, ready: Prepared) -> None:
    """Say that others wrote before anything is compared with what they may have changed."""
    state = await load_state(tx, owner.account, owner.session)
    if state.size != ready.base:
        raise log_moved(state, ready)


def _check_card(account: Account, card: identity.Card) -> None:
    same = (card.account.bytes, card.username) == (account.account_id, account.username)
    if not same or card.signing_key == account.signing_key:
        refuse("invalid-input", "the card is of another account, or changes no key")


def _check_succession(account: Account, body: ChangeBody) -> None:
    """The keys before say what follows them."""
    told = identity.parse_succession(body.succession)
    wanted = identity.Succession(
        account=told.account,
        generation=account.identity_generation + 1,
        before=sha256(account.card).digest(),
        after=sha256(body.account_card).digest(),
        identity=sha256(body.identity.envelope).digest(),
    )
    if told.generation > GENERATIONS_LIMIT:
        refuse("conflict", "the keys of an account are changed 999 times at most")
    fits = told.account.bytes == account.account_id
    if not fits or told != wanted or body.identity.generation != told.generation:
        refuse("invalid-input", "the succession does not lead from the old keys to the new")
    verifier = Verifier(account.signing_key)
    verifier.verify_kind("succession", body.succession_signature, body.succession)


def _rotation(account: Account, body: ChangeBody) -> Expected:
    digest = sha256(body.succession).digest()
    return Expected("rotate", account.account_id, body.identity.generation, digest)


async def _replace_slots(
    session: AsyncSession, account: bytes, raw: list[bytes], slots: list[identity.Keyslot]
) -> list[Expected]:
    kept = await session.scalars(select(Keyslot).where(Keyslot.account_id == account))
    before = {row.slot_id: row.keyslot for row in kept}
    if any(slot.slot.bytes in before for slot in slots):
        refuse("invalid-input", "a keyslot of before stays")
    await session.execute(delete(Keyslot).where(Keyslot.account_id == account))
    session.add_all(slot_rows(account, raw, slots))
    return keyslot_changes(before, raw, slots)


async def _end_grants(tx: Tx, account: bytes, body: ChangeBody) -> list[Expected]:
    """Every grant is revoked: whoever had the old keys has the keys of all grants too."""
    rows = await tx.all(_GRANTS, account)
    wraps = {item.grant_id: item.owner_wrap for item in body.grants}
    if wraps.keys() != {bytes(row[0]) for row in rows} or len(wraps) != len(body.grants):
        refuse("conflict", "the grants are not those of the account")
    for wrap in wraps.values():
        records.check_wrap(wrap)
    expected = await _revocations(tx, account)
    generation = body.identity.generation
    rows = [(wrap, generation, account, grant) for grant, wrap in wraps.items()]
    if rows:
        await tx.many(_END, rows)
    return expected


async def _revocations(tx: Tx, account: bytes) -> list[Expected]:
    """The entries that end the grants that are not over: each is of its statement.

    A few of these at a time, for each may name tens of thousands of memories.
    """
    expected: list[Expected] = []
    after = b""
    while rows := await tx.all(_STATEMENTS, account, after):
        for grant, changes, statement in rows:
            digest = sha256(statement).digest()
            expected.append(Expected("revoke", bytes(grant), changes + 1, digest))
        after = expected[-1].subject
    return expected


def _replace_account(account: Account, card: identity.Card, body: ChangeBody) -> None:
    account.card, account.card_signature = body.account_card, body.card_signature
    account.signing_key = card.signing_key
    account.keys_hash = identity.keys_hash(card.signing_key, card.sealing_key)
    account.identity_generation = body.identity.generation
    account.identity = body.identity.envelope


def _step(account: bytes, body: ChangeBody, before: bytes) -> Succession:
    return Succession(
        account_id=account,
        generation=body.identity.generation,
        succession=body.succession,
        signature=body.succession_signature,
        card=before,
    )


async def _rewrap(tx: Tx, owner: Owner, body: ChangeBody, size: int) -> None:
    """Put the staged wraps into the records that are wrapped for the owner; those of grants go.

    Those that this session staged: another one of the account can be shown the change's id, and
    may be in other hands. The database does it by itself, for others may wait for its writer.
    """
    account = owner.account
    kek = _BIN_9 + bytes(1) + body.identity.generation.to_bytes(8, "big") + _BIN_113
    staged, statement = (owner.session, body.change_id), _REWRAP.replace("BLOB", tx.bytes_type)
    for start in range(0, size, _STEP):
        these = account, start, start + _STEP
        if await tx.one(_UNSTAGED, *these, *staged) is not None:
            refuse("conflict", "a memory key has no new wrap")
        await tx.run(statement, kek, *staged, *these)
    await tx.run("DELETE FROM rewraps WHERE account_id = ?", account)
    # Every grant is over. Whoever has its key would open what was written since that was taken.
    await drop_all(tx, account)


async def _end_the_rest(session: AsyncSession, account: bytes, kept: bytes) -> None:
    """Log every other device out, and let requests to the old keys go."""
    await session.execute(
        delete(Session).where(Session.account_id == account, Session.session_id != kept)
    )
    await session.execute(
        update(AccessRequest)
        .where(AccessRequest.account_id == account, AccessRequest.state == "pending")
        .values(state="superseded")
    )
    await session.execute(delete(Rewrap).where(Rewrap.account_id == account))
