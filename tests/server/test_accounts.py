"""Accounts and keyslots."""

import copy
import json
import string
import uuid
from base64 import b64decode
from typing import Any

import pytest

from coffret_server.control import viewing
from server import forge
from server.stand import ORIGIN, Stand, code, place

pytestmark = pytest.mark.asyncio


async def test_an_account_is_given_back_as_it_was_made(stand: Stand) -> None:
    """Card, keyslots and sealed identity come back byte for byte."""
    owner = await stand.sign_up()
    found = (await stand.get("/accounts/me", owner.token)).json()
    assert found["account_card"] == forge.b64(owner.card())
    assert sorted(found["keyslots"]) == sorted(forge.b64(slot.raw()) for slot in owner.slots)
    assert found["identity"] == {"generation": 1, "envelope": forge.b64(owner.identity)}
    assert found["usage"]["memories"] == 0


async def test_a_username_is_taken_once(stand: Stand) -> None:
    """A second account of that name is refused, and the first stays; one of its id is told so."""
    for first in (await stand.sign_up(), await stand.sign_up("bob")):
        answer = await stand.post("/accounts", forge.Owner(first.username).creation())
        assert code(answer) == (409, "username-taken")
        other = forge.Owner("eve")
        other.account = first.account
        other.slots = [forge.Keyslot(first.account), forge.Keyslot(first.account, "recovery")]
        assert code(await stand.post("/accounts", other.creation())) == (409, "conflict")


async def test_a_replayed_creation_is_a_conflict(stand: Stand) -> None:
    """The same creation again, without an idempotency key, changes nothing."""
    owner = forge.Owner()
    body = owner.creation()
    assert (await stand.post("/accounts", body)).status_code == 201
    assert code(await stand.post("/accounts", body)) == (409, "conflict")


async def test_an_idempotency_key_gives_the_first_answer(stand: Stand) -> None:
    """A creation repeated with its key is answered alike; with another body it is refused."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    owner = forge.Owner()
    body = owner.creation()
    first = await stand.post("/accounts", body, headers=headers)
    again = await stand.post("/accounts", body, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    changed = owner.creation()
    changed["identity"]["envelope"] = forge.b64(forge.sealed(64))
    answer = await stand.post("/accounts", changed, headers=headers)
    assert code(answer) == (422, "idempotency-mismatch")


async def test_a_card_can_be_read_by_name(stand: Stand) -> None:
    """Owners and apps find an owner's public identity; a stranger does not."""
    owner, app = await stand.sign_up(), await stand.new_app()
    for token in (owner.token, app.token):
        found = (await stand.get("/accounts/by-username/ada", token)).json()
        assert found["account_card"] == forge.b64(owner.card())
        assert "keyslots" not in found
    assert code(await stand.get("/accounts/by-username/ada"))[0] == 401
    assert code(await stand.get("/accounts/by-username/bob", app.token)) == (404, "not-found")


def _without_entry(body: dict[str, Any], owner: forge.Owner) -> None:
    body["append"] = forge.as_json(owner.append(owner.first_append()["leaves"][0]))


def _with_a_memory(body: dict[str, Any], owner: forge.Owner) -> None:
    other = forge.new_id()
    leaves = [*owner.first_append()["leaves"], owner.entry("rotate", other, 2, bytes(32))]
    body["append"] = forge.as_json(owner.append(*leaves))


def _weak_key(body: dict[str, Any], owner: forge.Owner) -> None:
    weak = forge.pae(
        "account", owner.account.bytes, b"ada", bytes(32), owner.sealing_key, forge.u64(1)
    )
    body["account_card"] = forge.b64(weak)


def _unknown_suite(body: dict[str, Any], owner: forge.Owner) -> None:
    card = forge.pae(
        "account", owner.account.bytes, b"ada", bytes(32), bytes(1216), forge.u64(1), suite=b"\2"
    )
    body["account_card"] = forge.b64(card)


def _slot(**fields: Any) -> Any:
    """An account with a keyslot that is not as it should be, and an entry that says the same."""

    def spoil(body: dict[str, Any], owner: forge.Owner) -> None:
        other = copy.copy(owner)
        slot = forge.Keyslot(**({"account": owner.account} | fields))
        other.slots = [slot, owner.slots[1]]
        body.update(other.creation())

    return spoil


def _stray_bits(body: dict[str, Any], _: forge.Owner) -> None:
    """Another spelling of the same 64 bytes."""
    text = body["card_signature"]
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = f"{text[:85]}{letters[letters.index(text[85]) + 1]}=="
    assert b64decode(other) == b64decode(text)
    body["card_signature"] = other


WRONG: dict[str, tuple[Any, tuple[int, str]]] = {
    "another name": (lambda b, _: b.update(username="bob"), (422, "invalid-input")),
    "a bad signature": (
        lambda b, _: b.update(card_signature=forge.b64(bytes(64))),
        (422, "bad-signature"),
    ),
    "a weak key": (_weak_key, (422, "weak-key")),
    "an unknown suite": (_unknown_suite, (422, "unknown-suite")),
    "a truncated card": (
        lambda b, o: b.update(account_card=forge.b64(o.card()[:-1])),
        (400, "malformed"),
    ),
    "no keyslots": (lambda b, _: b.update(keyslots=[]), (422, "invalid-input")),
    "a keyslot twice": (
        lambda b, _: b.update(keyslots=[b["keyslots"][0]] * 2),
        (422, "invalid-input"),
    ),
    "another's keyslot": (_slot(account=forge.new_id()), (422, "invalid-input")),
    "a keyslot of another generation": (_slot(generation=2), (422, "invalid-input")),
    "bytes in another spelling": (_stray_bits, (422, "invalid-input")),
    "a short identity": (
        lambda b, _: b["identity"].update(envelope=forge.b64(b"\1" * 144)),
        (400, "malformed"),
    ),
    "an identity of another suite": (
        lambda b, _: b["identity"].update(envelope=forge.b64(b"\2" * 145)),
        (422, "unknown-suite"),
    ),
    "a missing entry": (_without_entry, (422, "invalid-input")),
    "an entry too many": (_with_a_memory, (422, "invalid-input")),
    "an unknown field": (lambda b, _: b.update(recovery_pk="x"), (422, "invalid-input")),
    "an unknown field in the append": (
        lambda b, _: b["append"].update(extra=1),
        (400, "malformed"),
    ),
    "a missing field": (lambda b, _: b.pop("identity"), (422, "invalid-input")),
    "text for bytes": (lambda b, _: b.update(account_card="???"), (422, "invalid-input")),
    "a number for text": (lambda b, _: b.update(username=7), (422, "invalid-input")),
    "a head that is not one": (lambda b, _: b["append"].update(head="x"), (400, "malformed")),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_creation_is_refused(sqlite_stand: Stand, name: str) -> None:
    """Each thing wrong with a new account has its code, and no account comes of it."""
    owner = forge.Owner()
    body = owner.creation()
    spoil, expected = WRONG[name]
    spoil(body, owner)
    assert code(await sqlite_stand.post("/accounts", body)) == expected
    assert (await sqlite_stand.post("/accounts", owner.creation())).status_code == 201


def keyslots_body(
    owner: forge.Owner, slots: list[forge.Keyslot], leaves: list[bytes], generation: int = 1
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body that replaces keyslots, and its append."""
    append = owner.append(*leaves)
    body = {
        "keyslots": [forge.b64(slot.raw()) for slot in slots],
        "identity": {"generation": generation, "envelope": forge.b64(owner.identity)},
        "append": forge.as_json(append),
    }
    return body, append


async def put_keyslots(stand: Stand, owner: forge.Owner, body: dict[str, Any]) -> Any:
    """Replace the keyslots."""
    headers, raw = {"Content-Type": "application/json"}, json.dumps(body).encode()
    return await stand.request("PUT", "/accounts/me/keyslots", raw, owner.token, headers)


async def test_a_passphrase_change_replaces_a_slot(stand: Stand) -> None:
    """The new slot logs in, the old one no more, and the call repeated is the same."""
    await stand.sign_up("bob")  # whose keyslots are neither told of nor touched
    owner = await stand.sign_up()
    old, recovery = owner.slots
    new = forge.Keyslot(owner.account)
    leaves = [
        owner.entry("keyslot", new.slot, 1, forge.hash_of(new.raw())),
        owner.entry("keyslot-remove", old.slot, 1, forge.hash_of(old.raw())),
    ]
    body, append = keyslots_body(owner, [new, recovery], leaves)
    assert (await put_keyslots(stand, owner, body)).status_code == 204
    owner.commit(append)
    owner.slots = [new, recovery]
    await stand.log_in(owner)
    found = (await stand.get("/accounts/me", owner.token)).json()
    assert sorted(found["keyslots"]) == sorted(forge.b64(s.raw()) for s in owner.slots)


async def test_keyslots_change_only_with_their_entries(stand: Stand) -> None:
    """A set of keyslots whose entries are missing, or say something else, is refused."""
    owner = await stand.sign_up()
    new = forge.Keyslot(owner.account)
    right = owner.entry("keyslot", new.slot, 1, forge.hash_of(new.raw()))
    for leaves in ([], [owner.entry("keyslot", new.slot, 1, bytes(32))], [right, right]):
        body, _ = keyslots_body(owner, [*owner.slots, new], leaves)
        assert code(await put_keyslots(stand, owner, body)) == (422, "invalid-input")
    owner.identity = forge.sealed(64)
    body, _ = keyslots_body(owner, [*owner.slots, new], [right])
    assert code(await put_keyslots(stand, owner, body)) == (422, "invalid-input")
    body, _ = keyslots_body(owner, [forge.Keyslot(owner.account, generation=5)], [], 5)
    assert code(await put_keyslots(stand, owner, body)) == (422, "invalid-input")


async def test_the_server_view_shows_what_is_kept(stand: Stand) -> None:
    """The owner sees every row of theirs, and nobody else's; token hashes are named, not shown."""
    owner, other = await stand.sign_up(), await stand.sign_up("bob")
    memory = await stand.remember(owner, title="harbour")
    await stand.remember(other, title="mountain")
    view = (await stand.get("/accounts/me/server-view", owner.token)).json()
    tables = {table["table"]: table for table in view["tables"]}
    assert tables["memories"]["total"] == 1
    assert forge.b64(memory.bytes) in tables["memories"]["rows"][0]
    assert tables["entries"]["total"] == 4
    column = tables["sessions"]["columns"].index("token_hash")
    assert tables["sessions"]["rows"][0][column] == "(kept, not shown)"
    assert forge.b64(other.account.bytes) not in str(view)
    short = (await stand.get("/accounts/me/server-view?limit=3", owner.token)).json()
    (entries,) = (table for table in short["tables"] if table["table"] == "entries")
    assert (len(entries["rows"]), entries["total"]) == (3, 4)
    last = await _entries(stand, owner, f"&limit=3&after={entries['next']}")
    assert (len(last["rows"]), last["total"], last["next"]) == (1, None, None)


async def test_the_server_view_parts_what_is_large(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row is reached from one place to the next, at least one a page, whatever they weigh."""
    owner = await stand.sign_up()
    for _ in range(20):
        await stand.remember(owner)
    whole = await _entries(stand, owner, "")
    assert len(whole["rows"]) == whole["total"] == 23
    monkeypatch.setattr(viewing, "PAGE_BYTES", 5_000)
    page = await _entries(stand, owner, "")
    rows: list[Any] = page["rows"]
    while page["next"]:
        page = await _entries(stand, owner, f"&after={page['next']}")
        assert 0 < len(page["rows"]) < 20
        rows += page["rows"]
    assert rows == whole["rows"]
    assert (await _entries(stand, owner, "&limit=0"))["next"] is None


async def test_what_goes_while_a_view_is_read_hides_nothing(stand: Stand) -> None:
    """A row that is gone by the next page takes no other one's place in it."""
    owner = await stand.sign_up()
    for _ in range(3):
        await stand.log_in(owner)
    path = "/accounts/me/server-view?table=sessions&limit=2"
    (first,) = (await stand.get(path, owner.token)).json()["tables"]
    column = first["columns"].index("session_id")
    ended = [row[column] for row in first["rows"]]
    everyone = (await _tables(stand, owner))["sessions"]["rows"]
    behind = [row[column] for row in everyone if row[column] not in ended]
    sessions = (await stand.get("/auth/sessions", owner.token)).json()
    current = next(item["session_id"] for item in sessions if item["current"])
    for raw in ended:
        name = str(uuid.UUID(bytes=b64decode(raw)))
        if name != current:
            await stand.delete(f"/auth/sessions/{name}", owner.token)
    (rest,) = (await stand.get(f"{path}&after={first['next']}", owner.token)).json()["tables"]
    assert [row[column] for row in rest["rows"]] == behind


@pytest.mark.parametrize(
    "after",
    [
        *("", "x", "====", "kQ==", "%C3%A9", "a" * 1_025),
        *(place(), place(b""), place(b"", b""), place(b"", 1.5)),
        *(place(b"", []), place(b"", {}), place(b"", None), place(b"", 1, 1), place("", 1)),
    ],
)
async def test_a_place_that_is_none_is_refused(stand: Stand, after: str) -> None:
    """Only what this server gives as the next place is taken, and with its table only."""
    owner = await stand.sign_up()
    path = "/accounts/me/server-view"
    assert (await stand.get(f"{path}?table=entries&after={after}", owner.token)).is_client_error
    assert (await stand.get(f"{path}?after={place(b'', 1)}", owner.token)).status_code == 422


async def _entries(stand: Stand, owner: forge.Owner, more: str) -> Any:
    path = f"/accounts/me/server-view?table=entries{more}"
    (table,) = (await stand.get(path, owner.token)).json()["tables"]
    return table


async def test_the_server_view_has_failed_logins_and_the_first_answer(stand: Stand) -> None:
    """What is kept of an account under a hash or another name is shown, and nobody else's."""
    owner, other = forge.Owner("carol"), await stand.sign_up("bob")
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    await stand.post("/accounts", owner.creation(), headers=headers)
    await stand.log_in(owner)
    before = (await _tables(stand, other))["login_failures"]["rows"]
    body = {"username": "carol", "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", body)).json()
    wrong = forge.Owner("carol").login_body(challenge, ORIGIN)
    assert code(await stand.post("/auth/login", wrong)) == (401, "wrong-credentials")
    tables, others = await _tables(stand, owner), await _tables(stand, other)
    assert forge.b64(b"new:" + owner.account.bytes) in tables["idempotency"]["rows"][0]
    assert others["idempotency"]["rows"] == []
    assert tables["login_failures"]["total"] == 2
    assert others["login_failures"]["rows"] == before


async def _tables(stand: Stand, owner: forge.Owner) -> dict[str, Any]:
    view = (await stand.get("/accounts/me/server-view", owner.token)).json()
    return {table["table"]: table for table in view["tables"]}
