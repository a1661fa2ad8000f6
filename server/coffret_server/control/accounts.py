"""Accounts and their keyslots."""

from hashlib import sha256
from uuid import UUID

from fastapi import Request
from pydantic import Field
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from coffret_server import gate
from coffret_server.append import MEMORY_KINDS, Expected, Prepared, Vault, apply, prepare
from coffret_server.bygone import check_free
from coffret_server.control.auth import limit_address
from coffret_server.control.repeats import CurrentRepeat
from coffret_server.control.web import (
    Answer,
    AppendBody,
    Body,
    Bytes,
    CurrentCaller,
    CurrentOwner,
    CurrentServices,
    answer,
    decode_append,
    nothing,
    prepared,
    router,
    uuid,
)
from coffret_server.once import of_new_account
from coffret_server.principals import Owner
from coffret_server.problems import SESSION_ENDED, ProblemError, refuse
from coffret_server.rows import load_state
from coffret_server.schema import Account, Keyslot, Log
from coffret_server.services import Services
from coffret_server.signatures import Verifier
from coffret_server.storage import session_tx
from coffret_server.wire import identity

accounts = router("accounts")
_SETTINGS = "settings"
# The kind stands in the text, since the index of settings is only for that one.
_LAST_SETTINGS = (
    "SELECT seq, version FROM entries"
    " WHERE account_id = ? AND version > 0 AND kind = 'settings' ORDER BY version DESC LIMIT 1"
)


class Identity(Body):
    """The sealed identity seeds and the generation of the account key they are under."""

    generation: int = Field(ge=1)
    envelope: Bytes


class CreateBody(Body):
    """A new vault."""

    username: str
    account_card: Bytes
    card_signature: Bytes
    keyslots: list[Bytes] = Field(min_length=1, max_length=identity.KEYSLOTS_LIMIT)
    identity: Identity
    append: AppendBody


class CreatedAnswer(Answer):
    """The new vault."""

    account_id: UUID


class KeyslotsBody(Body):
    """The whole new set of keyslots."""

    keyslots: list[Bytes] = Field(min_length=1, max_length=identity.KEYSLOTS_LIMIT)
    identity: Identity
    append: AppendBody


class SettingsBody(Body):
    """The append that settles something for the vault."""

    append: AppendBody


class CardAnswer(Answer):
    """An owner's public identity."""

    account_id: UUID
    account_card: str
    card_signature: str


class IdentityAnswer(Answer):
    """The sealed identity seeds."""

    generation: int
    envelope: str


class UsageAnswer(Answer):
    """What an account uses, and may."""

    memories: int
    bytes: int
    quota_memories: int
    quota_bytes: int


class AccountAnswer(CardAnswer):
    """Everything a device needs of its account."""

    username: str
    keyslots: list[str]
    identity: IdentityAnswer
    usage: UsageAnswer


def read_keyslots(slots: list[bytes], account: UUID, generation: int) -> list[identity.Keyslot]:
    """Keyslots of one account and generation, of distinct ids, with sound login keys."""
    found = [identity.parse_keyslot(slot) for slot in slots]
    for slot in found:
        Verifier(slot.login_key)
        if slot.account != account or slot.generation != generation:
            refuse("invalid-input", "a keyslot is of another account or generation")
    if len({slot.slot for slot in found}) != len(found):
        refuse("invalid-input", "a keyslot comes twice")
    return found


def _added(raw: bytes, slot: identity.Keyslot) -> Expected:
    return Expected("keyslot", slot.slot.bytes, slot.generation, sha256(raw).digest())


def _settled(ready: Prepared, version: int) -> Expected:
    """The one entry with settings; they stand in the entry itself, and are the owner's alone."""
    found = [entry for entry in ready.entries if entry.kind == _SETTINGS]
    if len(found) != 1:
        refuse("invalid-input", "the append has not one entry with settings")
    return Expected(_SETTINGS, ready.account, version, found[0].digest)


@accounts.post("/accounts", status_code=201, response_model=CreatedAnswer)
async def create(
    request: Request, body: CreateBody, services: CurrentServices, repeat: CurrentRepeat
) -> Response:
    """Begin a vault: its card, keyslots, sealed identity, first entries and first head."""
    limit_address(request)
    card = identity.parse_card(body.account_card)
    verifier = Verifier(card.signing_key)
    verifier.verify_kind("account", body.card_signature, body.account_card)
    if card.username != body.username:
        refuse("invalid-input", "the card is of another username")
    identity.check_identity(body.identity.envelope)
    slots = read_keyslots(body.keyslots, card.account, body.identity.generation)
    ready = prepare(decode_append(body.append), Vault.of(card.account, verifier))
    caller = of_new_account(card.account.bytes)
    try:
        async with services.storage.write() as session:
            found = await repeat.earlier(session, caller)
            if found is None:
                await _store(session, services, body, card, slots)
                await check_free(await session_tx(session), card.account.bytes, card.username)
                await _begin_log(session, ready, body, card, slots, services.clock())
                await repeat.keep(session, caller, {"account_id": str(card.account)})
    except IntegrityError:
        await _explain(services, card)
    return answer({"account_id": card.account}, 201)


async def _store(
    session: AsyncSession,
    services: Services,
    body: CreateBody,
    card: identity.Card,
    slots: list[identity.Keyslot],
) -> None:
    account = card.account.bytes
    session.add(
        Account(
            account_id=account,
            username=card.username,
            card=body.account_card,
            card_signature=body.card_signature,
            signing_key=card.signing_key,
            keys_hash=identity.keys_hash(card.signing_key, card.sealing_key),
            identity_generation=body.identity.generation,
            identity=body.identity.envelope,
            created=services.clock(),
        )
    )
    session.add(
        Log(
            account_id=account,
            size=0,
            frontier=b"",
            head="",
            base=0,
            memories=0,
            bytes=0,
            quota_memories=services.settings.quota_memories,
            quota_bytes=services.settings.quota_bytes,
        )
    )
    session.add_all(slot_rows(account, body.keyslots, slots))
    await session.flush()


def slot_rows(account: bytes, raw: list[bytes], slots: list[identity.Keyslot]) -> list[Keyslot]:
    """The rows of an account's keyslots, as they were sent and as they read."""
    return [
        Keyslot(account_id=account, slot_id=slot.slot.bytes, kind=slot.kind, keyslot=data)
        for data, slot in zip(raw, slots, strict=True)
    ]


async def _begin_log(
    session: AsyncSession,
    ready: Prepared,
    body: CreateBody,
    card: identity.Card,
    slots: list[identity.Keyslot],
    now: int,
) -> None:
    expected = [Expected("account", card.account.bytes, 1, sha256(body.account_card).digest())]
    expected += [_added(raw, slot) for raw, slot in zip(body.keyslots, slots, strict=True)]
    if any(entry.kind == _SETTINGS for entry in ready.entries):
        expected.append(_settled(ready, 1))
    kinds = [entry.kind for entry in ready.entries]
    if kinds[:1] != ["account"] or not MEMORY_KINDS.isdisjoint(kinds):  # no device reads such a log
        refuse("invalid-input", "a log begins with its account's entry, and without memories")
    await apply(await session_tx(session), ready, expected, now=now, session=None)


async def _explain(services: Services, card: identity.Card) -> None:
    """Say which of a new account's names is taken."""
    async with services.storage.read() as session:
        taken = await session.scalar(
            select(Account.account_id).where(Account.username == card.username)
        )
    code = "conflict" if taken is None or taken == card.account.bytes else "username-taken"
    raise ProblemError(code, "an account of that id or name exists")


@accounts.get("/accounts/me", response_model=AccountAnswer)
async def read_own(owner: CurrentOwner, services: CurrentServices) -> Response:
    """The account, with its keyslots and its sealed identity."""
    async with services.storage.read() as session:
        account = await own_account(session, owner)
        log = await session.get_one(Log, owner.account)
        slots = await session.scalars(
            select(Keyslot.keyslot)
            .where(Keyslot.account_id == owner.account)
            .order_by(Keyslot.slot_id)
        )
        found = {
            "username": account.username,
            **_card(account),
            "keyslots": list(slots),
            "identity": {"generation": account.identity_generation, "envelope": account.identity},
            "usage": {
                "memories": log.memories,
                "bytes": log.bytes,
                "quota_memories": log.quota_memories,
                "quota_bytes": log.quota_bytes,
            },
        }
    return answer(found)


async def own_account(session: AsyncSession, owner: Owner, *, lock: bool = False) -> Account:
    """The account of an owner who was there when the call came.

    Raises:
        ProblemError: `session-ended`: it was deleted since.
    """
    account = await session.get(Account, owner.account, with_for_update=lock)
    if account is None:
        refuse(*SESSION_ENDED)
    return account


def _card(account: Account) -> dict[str, object]:
    return {
        "account_id": uuid(account.account_id),
        "account_card": account.card,
        "card_signature": account.card_signature,
    }


@accounts.get("/accounts/by-username/{username}", response_model=CardAnswer)
async def read_card(
    username: str, caller: CurrentCaller, services: CurrentServices, request: Request
) -> Response:
    """The public identity of an owner."""
    info = gate.info_of(request.scope)
    who = ("owner", caller.account) if isinstance(caller, Owner) else ("app", caller.app)
    info.allowance = request.app.state.limits.look_up(who, info.address)
    if "\0" in username:
        refuse("not-found", "there is no such account")
    async with services.storage.read() as session:
        account = await session.scalar(select(Account).where(Account.username == username))
    if account is None:
        refuse("not-found", "there is no such account")
    return answer(_card(account))


@accounts.put("/accounts/me/keyslots", status_code=204)
async def replace_keyslots(
    body: KeyslotsBody, owner: CurrentOwner, services: CurrentServices
) -> Response:
    """Replace the whole set of keyslots; the generation and the sealed identity stay."""
    identity.check_identity(body.identity.envelope)
    slots = read_keyslots(body.keyslots, owner.account_id, body.identity.generation)
    ready = prepared(body.append, owner)
    async with services.storage.write() as session:
        tx = await session_tx(session)
        account = await own_account(session, owner, lock=True)
        kept = await session.scalars(select(Keyslot).where(Keyslot.account_id == owner.account))
        before = {row.slot_id: row.keyslot for row in kept}
        expected = keyslot_changes(before, body.keyslots, slots)
        kept_identity = (account.identity_generation, account.identity)
        if (body.identity.generation, body.identity.envelope) != kept_identity:
            refuse("invalid-input", "another identity takes a key change")
        applied = await apply(tx, ready, expected, now=services.clock(), session=owner.session)
        if not applied.repeated:
            await session.execute(delete(Keyslot).where(Keyslot.account_id == owner.account))
            rows = slot_rows(owner.account, body.keyslots, slots)
            await session.execute(
                insert(Keyslot),
                [
                    {
                        "account_id": row.account_id,
                        "slot_id": row.slot_id,
                        "kind": row.kind,
                        "keyslot": row.keyslot,
                    }
                    for row in rows
                ],
            )
    return nothing()


@accounts.put("/accounts/me/settings", status_code=204)
async def settle(body: SettingsBody, owner: CurrentOwner, services: CurrentServices) -> Response:
    """Put an entry with settings into the log; the version is one more than the last one's."""
    ready = prepared(body.append, owner)
    async with services.storage.write() as session:
        tx = await session_tx(session)
        state = await load_state(tx, owner.account, owner.session)
        last = await tx.one(_LAST_SETTINGS, owner.account)
        repeated = state.head == ready.text and last is not None and last[0] >= ready.base
        if not repeated:
            expected = [_settled(ready, 1 if last is None else last[1] + 1)]
            await apply(tx, ready, expected, now=services.clock(), session=owner.session)
    return nothing()


def keyslot_changes(
    before: dict[bytes, bytes], raw: list[bytes], slots: list[identity.Keyslot]
) -> list[Expected]:
    """The entries that turn one set of keyslots into another."""
    after = {slot.slot.bytes: data for data, slot in zip(raw, slots, strict=True)}
    found = [
        _added(data, slot)
        for data, slot in zip(raw, slots, strict=True)
        if before.get(slot.slot.bytes) != data
    ]
    for slot_id, data in before.items():
        if slot_id not in after:
            gone = identity.parse_keyslot(data)
            digest = sha256(data).digest()
            found.append(Expected("keyslot-remove", slot_id, gone.generation, digest))
    return found
