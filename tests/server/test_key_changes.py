"""Key changes: all of it in one step, or nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from coffret_server.storage import Tx
from server import forge
from server.changes import Change, make, stage, unpacked, wraps_of
from server.stand import Stand, code
from server.test_app_writing import judge, wrap_of

pytestmark = pytest.mark.asyncio


async def test_a_change_replaces_everything_at_once(stand: Stand) -> None:
    """Card, identity, keyslots and every wrap are new, older versions' too; logins follow."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    again = owner.put(owner.memory(memory, 2))
    assert (await stand.append(owner, again)).is_success
    other = await stand.remember(owner)
    before = await wraps_of(stand, owner)
    change = Change(owner)
    wraps = {memory: forge.wrapped(), other: forge.wrapped()}
    for at, wrap in wraps.items():
        assert (await stage(stand, change, (at, 1, wrap))).is_success
    assert await wraps_of(stand, owner) == before
    assert (await make(stand, change)).status_code == 204
    kek = bytes(1) + forge.u64(2)
    assert [item[2:] for item in await wraps_of(stand, owner)] == [
        [kek, wraps[memory]],
        [kek, wraps[memory]],
        [kek, wraps[other]],
    ]
    me = (await stand.get("/accounts/me", owner.token)).json()
    assert me["account_card"] == forge.b64(change.after.card())
    assert me["identity"]["generation"] == 2
    assert sorted(me["keyslots"]) == sorted(forge.b64(s.raw()) for s in change.after.slots)
    steps = (await stand.get("/accounts/me/successions", owner.token)).json()
    assert [step["card"] for step in steps] == [forge.b64(owner.card())]
    change.after.commit(change.append())
    await stand.log_in(change.after)
    assert (await stand.append(change.after, change.after.put(change.after.memory()))).is_success


async def test_a_change_ends_every_grant(stand: Stand) -> None:
    """A grant is revoked in the same step, and pending requests are superseded."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    await stand.ask(app, owner)
    change = Change(owner)
    change.grants = {grant: (2, owner.statements[grant])}
    body = change.body()
    assert code(await make(stand, change, body | {"grants": body["grants"] * 2})) == (
        409,
        "conflict",
    )
    assert (await make(stand, change)).status_code == 204
    found = (await stand.get("/grants", owner.token)).json()
    assert [(item["state"], item["generation"]) for item in found] == [("revoked", 2)]
    states = {item["state"] for item in (await stand.get("/access-requests", owner.token)).json()}
    assert states == {"approved", "superseded"}
    answer = await stand.get(f"/grants/{grant}/records", app.token)
    assert code(answer) == (403, "grant-revoked")


def _other_key(body: dict[str, Any], change: Change) -> None:
    signature = forge.sign(change.after.key, "succession", change.succession())
    body["succession_signature"] = forge.b64(signature)


def _changed(**fields: bytes) -> Callable[[dict[str, Any], Change], None]:
    def spoil(body: dict[str, Any], change: Change) -> None:
        change.says = fields  # and so does its entry in the log
        body.update(change.body())

    return spoil


def _old_head(body: dict[str, Any], change: Change) -> None:
    body["append"] = forge.as_json(change.before.append(*change.leaves()))


def _kept_slot(body: dict[str, Any], change: Change) -> None:
    kept = change.before.slots[0]
    change.after.slots[0] = forge.Keyslot(kept.account, kept.kind, 2, kept.slot, kept.key)
    gone = b"keyslot-remove", kept.slot.bytes
    leaves = [leaf for leaf in change.leaves() if not all(part in leaf for part in gone)]
    body.update(change.body(), append=forge.as_json(change.after.append(*leaves)))


def _other_generation(body: dict[str, Any], change: Change) -> None:
    """All but the succession is of the generation after the next."""
    change.says = {"generation": forge.u64(2)}
    change.after.generation = 3
    change.after.slots = [forge.Keyslot(change.before.account, generation=3)]
    body.update(change.body())


def _other_card(before: bytes, after: bytes) -> Callable[[dict[str, Any], Change], None]:
    def spoil(body: dict[str, Any], change: Change) -> None:
        card = change.after.card().replace(before or change.before.account.bytes, after)
        change.says = {"after": forge.hash_of(card)}
        body.update(change.body(), account_card=forge.b64(card))
        body["card_signature"] = forge.b64(forge.sign(change.after.key, "account", card))

    return spoil


def _same_key(body: dict[str, Any], change: Change) -> None:
    change.after.key = change.before.key
    change.after.sealing_key = bytes(1216)
    body.update(change.body())


INVALID = (422, "invalid-input")
WRONG: dict[str, tuple[Callable[[dict[str, Any], Change], object], tuple[int, str]]] = {
    "a succession by another key": (_other_key, (422, "bad-signature")),
    "a succession of another account": (_changed(account=bytes(16)), INVALID),
    "a succession to another generation": (_changed(generation=forge.u64(3)), INVALID),
    "a succession from another card": (_changed(before=bytes(32)), INVALID),
    "a succession to another card": (_changed(after=bytes(32)), INVALID),
    "a succession to another identity": (_changed(identity=bytes(32)), INVALID),
    "all of another generation": (_other_generation, INVALID),
    "a card of another name": (_other_card(b"ada", b"eve"), INVALID),
    "a card of another account": (_other_card(b"", bytes(16)), INVALID),
    "another generation": (lambda b, _: b["identity"].update(generation=3), INVALID),
    "a head by the old key": (_old_head, (422, "bad-signature")),
    "a keyslot that stays": (_kept_slot, INVALID),
    "the same key": (_same_key, INVALID),
    "a missing entry": (
        lambda b, c: b.update(append=forge.as_json(c.after.append(*c.leaves()[:-1]))),
        INVALID,
    ),
    "no card": (lambda b, _: b.update(account_card=""), (400, "malformed")),
    "a grant that is none": (
        lambda b, _: b["grants"].append(
            {"grant_id": str(forge.new_id()), "owner_wrap": forge.b64(forge.wrapped())}
        ),
        (409, "conflict"),
    ),
    "an unknown field": (lambda b, _: b.update(recovery_pk="x"), INVALID),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_change_is_refused_whole(sqlite_stand: Stand, name: str) -> None:
    """Each thing wrong with a change has its code, and nothing of the account moves."""
    stand = sqlite_stand
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    change = Change(owner)
    assert (await stage(stand, change, (memory, 1, forge.wrapped()))).is_success
    before = (await stand.get("/accounts/me", owner.token)).json()
    wraps = await wraps_of(stand, owner)
    spoil, expected = WRONG[name]
    body = change.body()
    spoil(body, change)
    assert code(await make(stand, change, body)) == expected
    assert (await stand.get("/accounts/me", owner.token)).json() == before
    assert await wraps_of(stand, owner) == wraps
    await stand.log_in(owner)


async def test_every_memory_key_must_have_a_new_wrap(stand: Stand) -> None:
    """A change that would leave a memory under the old keys is refused, and the rest of it too."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    change, other = Change(owner), Change(owner)
    assert code(await make(stand, change)) == (409, "conflict")
    assert (await stage(stand, change, (memory, 1, forge.wrapped()))).is_success
    # Another device begins its own change: what was staged before is not mixed with it.
    assert unpacked(await stage(stand, other))["staged"] == 0
    assert code(await make(stand, change)) == (409, "conflict")
    before = (await stand.get("/accounts/me", owner.token)).json()
    assert before["identity"]["generation"] == 1


async def test_a_change_is_made_on_the_log_as_it_is(stand: Stand) -> None:
    """What another device did meanwhile moves the log, and the change is made anew."""
    owner, app = await stand.sign_up(), await stand.new_app()
    change = Change(owner)
    body = change.body()
    await stand.grant(owner, app)
    assert code(await make(stand, change, body)) == (409, "log-moved")


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        ((forge.new_id(), 1, forge.wrapped()), (409, "conflict")),
        ((None, 2, forge.wrapped()), (409, "conflict")),
        ((None, 0, forge.wrapped()), (400, "malformed")),
        ((None, 1, b"\x01"), (400, "malformed")),
        ((None, 1, b"\x02" + bytes(112)), (422, "unknown-suite")),
    ],
)
async def test_a_wrong_wrap_is_not_staged(
    sqlite_stand: Stand, wrap: tuple[Any, int, bytes], expected: tuple[int, str]
) -> None:
    """Only wraps of memories and keys that exist are kept."""
    owner = await sqlite_stand.sign_up()
    memory = await sqlite_stand.remember(owner)
    answer = await stage(sqlite_stand, Change(owner), (wrap[0] or memory, *wrap[1:]))
    assert code(answer) == expected


async def test_what_an_app_wrote_and_nobody_accepted_stays_as_it_is(stand: Stand) -> None:
    """A pending record is wrapped under its grant's key, and needs no new wrap."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = app.memory(owner.account, grant)
    body = app.put(owner.account, record)
    answer = await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)
    assert answer.is_success, answer.text
    owner.follow(body["leaves"])
    assert await wraps_of(stand, owner) == []
    change = Change(owner)
    change.grants = {grant: (2, owner.statements[grant])}
    assert (await make(stand, change)).status_code == 204
    page = msgspec.msgpack.decode((await stand.get("/sync", owner.token)).content)
    kept = [item[1] for item in page[2] if item[1] is not None]
    assert [item[2] for item in kept] == [b"\x01" + grant.bytes]
    assert kept[0][3] == record[3]


async def test_only_the_wraps_of_the_owner_are_others_after_a_change(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each record that is the owner's, kek and wrap are new, and every other byte is as it was.

    Whatever its size, who wrote it, and in however many statements the change is made.
    """
    monkeypatch.setattr("coffret_server.control.keys._STEP", 3)
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    sizes = (256, 2_048, 1 << 17)
    made = [owner.memory(size=size) for size in sizes]
    assert (await stand.append(owner, owner.put(*made))).is_success
    shared = forge.identity_of(made[0][0])[0]
    await stand.share(owner, grant, shared)
    created = app.memory(owner.account, grant)
    updates = [app.memory(owner.account, grant, shared, version) for version in (2, 3)]
    for record in (created, *updates):
        await stand.write(app, grant, app.put(owner.account, record), owner)
    wrap = wrap_of(created)
    assert (await judge(stand, owner, "accept", created, accepts=[wrap])).is_success
    assert (await judge(stand, owner, "accept", updates[0])).is_success
    before = await _all_records(stand)
    change = Change(owner)
    change.grants = {grant: (2, owner.statements[grant])}
    keys = [(forge.identity_of(each[0])[0], 1, forge.wrapped()) for each in (*made, created)]
    assert (await stage(stand, change, *keys)).is_success
    assert (await make(stand, change)).status_code == 204
    after = await _all_records(stand)
    assert (len(before), after.keys()) == (6, before.keys())
    kek, news = bytes(8) + b"\x02", {memory.bytes: wrap for memory, _, wrap in keys}
    owners = {forge.hash_of(each[0]) for each in (*made, created)}
    for seq, (header, envelope, *wrapped) in before.items():
        memory = forge.identity_of(header)[0].bytes
        is_owners = forge.hash_of(header) in owners
        expected = [kek, news[memory]] if is_owners else wrapped
        assert after[seq] == [header, envelope, *expected]


async def _all_records(stand: Stand) -> dict[int, list[bytes]]:
    """Every record that is stored, by its place in the log."""

    async def read(tx: Tx) -> dict[int, list[bytes]]:
        rows = await tx.all("SELECT seq, record FROM entries WHERE record IS NOT NULL")
        assert all(isinstance(row[1], bytes) for row in rows)
        return {row[0]: msgspec.msgpack.decode(row[1]) for row in rows}

    found: dict[int, list[bytes]] = await stand.app.state.services.storage.query(read)
    return found
