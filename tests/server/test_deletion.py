"""An account that its owner deletes: gone at once, then erased to the last row."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from coffret_server.departing import AT_ONCE, BYTES_AT_ONCE
from coffret_server.schema import Base, Session
from server import forge
from server.changes import Change, make, stage
from server.leaving import (
    PATH,
    asked,
    body,
    dump,
    erased,
    eraser,
    holding,
    known,
    leave,
    step,
    word,
)
from server.stand import ORIGIN, Clock, Stand, code, request_id, serving, signed_request

if TYPE_CHECKING:
    import uuid

pytestmark = pytest.mark.asyncio
GONE = (410, "owner-gone")
ENDED = (401, "session-ended")


async def full(stand: Stand) -> tuple[forge.Owner, forge.App, uuid.UUID, bytes]:
    """An owner with rows in every table of accounts, an app, its grant and a request."""
    first, app = await stand.sign_up("ana-of-lisbon"), await stand.new_app()
    changed = Change(first)
    assert (await make(stand, changed)).status_code == 204
    changed.after.commit(changed.append())
    owner = changed.after
    many = [owner.memory() for _ in range(260)]
    assert (await stand.append(owner, owner.put(*many))).is_success
    memory = await stand.remember(owner, tags=("travel",))
    grant = await stand.grant(owner, app)
    await stand.share(owner, grant, memory)
    written = app.put(owner.account, app.memory(owner.account, grant))
    assert (await stand.write(app, grant, written, owner)).is_success
    change = Change(owner)
    assert (await stage(stand, change, (memory, 1, forge.wrapped()))).is_success
    challenge = await asked(stand, owner)
    wrong = owner.login_body(challenge, "https://elsewhere.example")
    assert (await stand.post("/auth/login", wrong)).status_code == 401
    request = await stand.ask(app, owner)
    return owner, app, grant, request


async def test_nothing_of_an_account_is_left(stand: Stand) -> None:
    """In no row of any table is its name or id, but that an account of that id was deleted."""
    owner, app, grant, request = await full(stand)
    before = await dump(stand)
    tables = Base.metadata.tables
    of_accounts = {name for name in tables if "account_id" in tables[name].columns}
    assert holding(before, owner.account.bytes) == of_accounts - {"departures"}
    assert holding(before, b"ana-of-lisbon") == {"accounts", "successions"}
    other = await stand.sign_up("bob")
    kept = await stand.remember(other)
    assert (await leave(stand, owner)).status_code == 204
    await erased(stand, owner)
    after = await dump(stand)
    assert holding(after, owner.account.bytes) == {"departures"}
    assert not holding(after, b"ana-of-lisbon")
    assert holding(after, grant.bytes) == holding(after, request_id(request).bytes) == {"bygones"}
    assert {row[0] for row in after["bygones"]} == {app.app.bytes}
    counted = [{row[0] for row in rows["login_failures"]} for rows in (before, after)]
    assert [len(subjects) for subjects in counted] == [3, 3]
    assert len(counted[0] & counted[1]) == 1  # that of the address, which is nobody's own
    assert (await stand.get(f"/memory-blobs/{kept}", other.token)).is_success


async def test_it_is_gone_for_everybody_at_once(stand: Stand) -> None:
    """Before a row of it is erased, its owner, its apps and strangers find no account."""
    owner, app, grant, request = await full(stand)
    await eraser(stand).close()
    assert (await leave(stand, owner)).status_code == 204
    assert (await dump(stand))["entries"]
    for path in ("/accounts/me", "/sync", "/log", "/grants", "/accounts/me/server-view"):
        assert code(await stand.get(path, owner.token)) == ENDED
    assert code(await stand.append(owner, owner.put(owner.memory()))) == ENDED
    looked = await stand.get("/accounts/by-username/ana-of-lisbon", app.token)
    assert code(looked) == (404, "not-found")
    await _check_told(stand, app, owner, grant, request)


async def _check_told(
    stand: Stand, app: forge.App, owner: forge.Owner, grant: uuid.UUID, request: bytes
) -> None:
    asking = request_id(request)
    for path in ("", "/records", "/head"):
        assert code(await stand.get(f"/grants/{grant}{path}", app.token)) == GONE
    for path in ("", "/credentials"):
        assert code(await stand.get(f"/access-requests/{asking}{path}", app.token)) == GONE
    cancelled = await stand.post(f"/access-requests/{asking}/cancel", None, app.token)
    assert code(cancelled) == GONE
    written = app.put(owner.account, app.memory(owner.account, grant))
    assert code(await stand.write(app, grant, written, owner)) == GONE
    assert (await stand.get("/grants", app.token)).json() == []
    assert (await stand.get("/access-requests", app.token)).json() == []
    again = signed_request(app, app.request(owner, created=stand.clock.now))
    assert code(await stand.post("/access-requests", again, app.token)) == (404, "not-found")


async def test_apps_are_told_the_same_after_it_is_erased(stand: Stand) -> None:
    """An app hears of its grants and requests that the owner is gone, for good; others do not."""
    owner, app, grant, request = await full(stand)
    other = await stand.new_app()
    await leave(stand, owner)
    await erased(stand, owner)
    await _check_told(stand, app, owner, grant, request)
    for path in (f"/grants/{grant}", f"/access-requests/{request_id(request)}"):
        assert code(await stand.get(path, other.token)) == (404, "not-found")
    assert code(await stand.get(f"/grants/{forge.new_id()}", app.token)) == (404, "not-found")


async def test_apps_are_told_of_what_was_theirs_alone(stand: Stand) -> None:
    """Before it is erased too, beside other accounts, apps hear so of their own and no other id."""
    owner, app, grant, request = await full(stand)
    await stand.sign_up("bob")
    other = await stand.new_app()
    await eraser(stand).close()
    assert (await leave(stand, owner)).status_code == 204
    await _check_told(stand, app, owner, grant, request)
    unknown = forge.new_id()
    for token, one, asked_for in (
        (other.token, grant, request_id(request)),
        (app.token, unknown, unknown),
    ):
        for path in (f"/grants/{one}", f"/grants/{one}/head", f"/access-requests/{asked_for}"):
            assert code(await stand.get(path, token)) == (404, "not-found"), path


async def test_a_session_that_ended_meanwhile_deletes_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is logged out while their call is looked at is nobody when it would be done."""
    owner = await stand.sign_up()
    storage = stand.app.state.services.storage
    submit = storage.submit

    async def late(job: Any) -> Any:
        monkeypatch.undo()
        async with storage.write() as session:
            await session.execute(delete(Session))
        return await submit(job)

    said = body(owner, word(owner, await asked(stand, owner)))
    monkeypatch.setattr(storage, "submit", late)
    assert code(await stand.post(PATH, said, owner.token)) == ENDED
    await stand.log_in(owner)
    assert (await stand.post(PATH, said, owner.token)).status_code == 204


async def test_others_join_while_an_account_is_erased(stand: Stand) -> None:
    """Only its own name and id are kept from others until its last row is gone."""
    owner = await stand.sign_up("ana")
    await eraser(stand).close()
    assert (await leave(stand, owner)).status_code == 204
    await stand.sign_up("bob")
    again = await stand.post("/accounts", forge.Owner("ana").creation())
    assert code(again) == (409, "username-taken")


@pytest.mark.attack(46)
async def test_a_deleted_account_is_as_one_that_never_was(stand: Stand) -> None:
    """A challenge, a login and a look at its name are those of a name that nobody ever had."""
    owner, app = await stand.sign_up("ana"), await stand.new_app()
    before = await asked(stand, owner)
    assert (await leave(stand, owner)).status_code == 204
    first, second = [await asked(stand, owner) for _ in range(2)]
    assert first["account_id"] == second["account_id"] != before["account_id"]
    assert (first["slot_id"], first["kdf"]) == (second["slot_id"], second["kdf"])
    assert first.keys() == before.keys()
    answer = await stand.post("/auth/login", owner.login_body(before, ORIGIN))
    assert code(answer) == (401, "wrong-credentials")
    await erased(stand, owner)
    assert (await asked(stand, owner))["account_id"] == first["account_id"]
    assert code(await stand.get("/accounts/by-username/ana", app.token)) == (404, "not-found")


async def test_the_name_is_free_when_all_is_erased_and_the_id_never(stand: Stand) -> None:
    """While it is erased nobody gets the name; then anybody; and nobody ever the account's id."""
    owner = await stand.sign_up("ana")
    await eraser(stand).close()
    await leave(stand, owner)
    other = forge.Owner("ana")
    taken = (409, "username-taken")
    assert code(await stand.post("/accounts", other.creation())) == taken
    while await step(stand):
        assert (await stand.post("/accounts", other.creation())).status_code in {201, 409}
    newcomer = await _now_there(stand, other)
    assert (await stand.get("/accounts/me", newcomer.token)).json()["usage"]["memories"] == 0
    owner.username = "ana-again"
    assert code(await stand.post("/accounts", owner.creation())) == (409, "conflict")


async def _now_there(stand: Stand, owner: forge.Owner) -> forge.Owner:
    first = owner.first_append()
    await stand.post("/accounts", owner.creation(first))
    owner.commit(first)
    await stand.log_in(owner)
    return owner


async def test_a_recovery_code_deletes_as_well(stand: Stand) -> None:
    """The login key of any keyslot shows that its secret is known now."""
    owner = await stand.sign_up()
    statement = word(owner, await asked(stand, owner, "recovery"))
    assert (await stand.post(PATH, body(owner, statement, 1), owner.token)).status_code == 204


INVALID, SIGNED = (422, "invalid-input"), (422, "bad-signature")
WRONG = (401, "wrong-credentials")
SPOILT: dict[str, tuple[Any, tuple[int, str]]] = {
    "no signature": (lambda b, _: b.update(signature=""), SIGNED),
    "signed by the login key alone": (
        lambda b, _: b.update(signature=b["login_signature"]),
        SIGNED,
    ),
    "signed by the account's key alone": (
        lambda b, _: b.update(login_signature=b["signature"]),
        SIGNED,
    ),
    "signed by the key of another keyslot": (
        lambda b, o: b.update(login_signature=_signed(b, o.slots[1].key)),
        SIGNED,
    ),
    "a signature of another kind": (
        lambda b, o: b.update(signature=_signed(b, o.key, "succession")),
        SIGNED,
    ),
    "bytes that are none": (lambda b, _: b.update(deletion=""), (400, "malformed")),
    "an unknown field": (lambda b, _: b.update(force="yes"), INVALID),
}
OTHERS: dict[str, tuple[dict[str, bytes], tuple[int, str]]] = {
    "at another server": ({"origin": b"https://elsewhere.example"}, INVALID),
    "of another account": ({"account": bytes(16)}, INVALID),
    "of another card": ({"card": bytes(32)}, INVALID),
    "for no keyslot": ({"slot": bytes(16)}, WRONG),
    "with a nonce of nobody's": ({"nonce": bytes(32)}, WRONG),
}


def _signed(said: dict[str, str], key: Any, kind: str = "account-deletion") -> str:
    return forge.b64(forge.sign(key, kind, base64.b64decode(said["deletion"])))


@pytest.mark.parametrize("name", [*SPOILT, *OTHERS])
async def test_what_the_owner_did_not_say_deletes_nothing(sqlite_stand: Stand, name: str) -> None:
    """A word that is not whole, or not of this account, server, keys and moment, is refused."""
    stand = sqlite_stand
    owner = await stand.sign_up()
    changed, expected = OTHERS.get(name, ({}, None))
    said = body(owner, word(owner, await asked(stand, owner), **changed))
    if expected is None:
        spoil, expected = SPOILT[name]
        spoil(said, owner)
    assert code(await stand.post(PATH, said, owner.token)) == expected
    assert (await stand.get("/accounts/me", owner.token)).is_success
    assert code(await known(stand, owner)) == (404, "not-found")
    assert (await leave(stand, owner)).status_code == 204


async def test_a_challenge_is_of_one_keyslot_for_once_and_not_for_long(stand: Stand) -> None:
    """A nonce for another keyslot, an old one, and one that logged in deletes nothing."""
    owner = await stand.sign_up()
    other = await asked(stand, owner, "recovery")
    slot = owner.slots[0].slot.bytes
    said = body(owner, word(owner, other, slot=slot))
    assert code(await stand.post(PATH, said, owner.token)) == WRONG
    old = body(owner, word(owner, await asked(stand, owner)))
    stand.clock.advance(121)
    assert code(await stand.post(PATH, old, owner.token)) == WRONG
    used = await asked(stand, owner)
    assert (await stand.post("/auth/login", owner.login_body(used, ORIGIN))).is_success
    spent = body(owner, word(owner, used))
    assert code(await stand.post(PATH, spent, owner.token)) == WRONG


@pytest.mark.attack(45)
async def test_keys_and_passphrases_of_before_delete_nothing(stand: Stand) -> None:
    """After a key change neither the old account key nor the old passphrase is a word for it."""
    owner = await stand.sign_up()
    change = Change(owner)
    assert (await make(stand, change)).status_code == 204
    after = change.after
    challenge = await asked(stand, after)
    for keys, slots in ((owner, after), (after, owner)):
        mixed = body(after, word(after, challenge))
        mixed["signature"] = _signed(mixed, keys.key)
        mixed["login_signature"] = _signed(mixed, slots.slots[0].key)
        assert code(await stand.post(PATH, mixed, owner.token)) == SIGNED
    assert (await stand.post(PATH, body(after, word(after, challenge)), owner.token)).is_success


async def test_whoever_may_not_is_told_so(stand: Stand) -> None:
    """Without a token, and with an app's, nothing is deleted whatever is said."""
    owner, app = await stand.sign_up(), await stand.new_app()
    said = body(owner, word(owner, await asked(stand, owner)))
    assert code(await stand.post(PATH, said)) == (401, "unauthenticated")
    assert code(await stand.post(PATH, said, app.token)) == (403, "forbidden")
    assert (await stand.get("/accounts/me", owner.token)).is_success


@pytest.mark.attack(44)
async def test_a_deletion_is_not_said_again(stand: Stand) -> None:
    """Played back to the next account of that name, under its own session, it does nothing."""
    owner = await stand.sign_up("ana")
    said = body(owner, word(owner, await asked(stand, owner)))
    assert (await stand.post(PATH, said, owner.token)).status_code == 204
    assert code(await stand.post(PATH, said, owner.token)) == ENDED
    await erased(stand, owner)
    heir = await stand.sign_up("ana")
    assert code(await stand.post(PATH, said, heir.token)) == INVALID
    assert (await stand.get("/accounts/me", heir.token)).is_success


async def test_its_devices_are_shown_the_owners_word(stand: Stand) -> None:
    """Whoever knows the id is shown what was signed, and whether all is erased; else nothing."""
    owner, other = await stand.sign_up("ana"), await stand.sign_up("bob")
    said = body(owner, word(owner, await asked(stand, owner)))
    await stand.post(PATH, said, owner.token)
    await erased(stand, owner)
    assert (await known(stand, owner)).json() == {
        "account_id": str(owner.account),
        "deletion": said["deletion"],
        "signature": said["signature"],
        "erased": True,
    }
    assert code(await known(stand, other)) == (404, "not-found")


async def test_no_step_takes_long(stand: Stand) -> None:
    """However much there is, a step erases so many rows at most, and others write in between."""
    owner, other = await stand.sign_up("ana"), await stand.sign_up("bob")
    for _ in range(3):
        records = [owner.memory() for _ in range(AT_ONCE // 2)]
        assert (await stand.append(owner, owner.put(*records))).is_success
    large = [owner.memory(size=1 << 20) for _ in range(5)]
    for record in large:
        assert (await stand.append(owner, owner.put(record))).is_success
    await eraser(stand).close()
    await leave(stand, owner)
    left, freed = await dump(stand), []
    while await step(stand):
        now = await dump(stand)
        gone = [row for name, rows in left.items() for row in rows if row not in now[name]]
        freed.append((len(gone), sum(_size(row) for row in gone)))
        left = now
        await stand.remember(other)
        left = await dump(stand)
    assert len(freed) > 4
    assert max(rows for rows, _ in freed) <= AT_ONCE
    assert max(size for _, size in freed) <= BYTES_AT_ONCE + AT_ONCE * 1_024


def _size(row: tuple[Any, ...]) -> int:
    return sum(len(value) for value in row if isinstance(value, bytes))


async def test_a_server_that_starts_erases_what_is_left(database: str, clock: Clock) -> None:
    """What a process left half erased is served to nobody by the next, and erased."""
    async with serving(database, clock) as stand:
        owner, app, grant, request = await full(stand)
        await eraser(stand).close()
        await leave(stand, owner)
        for _ in range(3):
            assert await step(stand)
        token = owner.token
    async with serving(database, clock) as stand:
        assert code(await stand.get("/sync", token)) == ENDED
        await erased(stand, owner)
        assert holding(await dump(stand), owner.account.bytes) == {"departures"}
        await _check_told(stand, app, owner, grant, request)


async def test_two_owners_leave_at_once(stand: Stand) -> None:
    """Each is erased whole, whoever's turn it is."""
    owners = [await stand.sign_up(name) for name in ("ana", "bob", "cleo")]
    for owner in owners:
        await stand.remember(owner)
    for owner in owners:
        assert (await leave(stand, owner)).status_code == 204
    for owner in owners:
        await erased(stand, owner)
        assert holding(await dump(stand), owner.account.bytes) == {"departures"}
