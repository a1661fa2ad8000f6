"""Key changes: all of it in one step, or nothing."""

import copy
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server import forge
from server.stand import ORIGIN, Stand, code, serving

pytestmark = pytest.mark.asyncio


class Change:
    """A key change of an owner, as a device makes it."""

    def __init__(self, owner: forge.Owner) -> None:
        self.before = owner
        self.after = copy.copy(owner)
        self.after.tree = owner.tree.copy()
        self.after.key = Ed25519PrivateKey.generate()
        self.after.generation = owner.generation + 1
        self.after.identity = forge.sealed(64)
        self.after.slots = [
            forge.Keyslot(owner.account, kind, self.after.generation)
            for kind in ("passphrase", "recovery")
        ]
        self.id = forge.new_id()
        self.grants: dict[Any, tuple[int, bytes]] = {}
        """The version of each grant's revocation and its statement."""

    def succession(self, **changed: bytes) -> bytes:
        """What the keys before sign."""
        fields = {
            "account": self.before.account.bytes,
            "generation": forge.u64(self.after.generation),
            "before": sha256(self.before.card()).digest(),
            "after": sha256(self.after.card()).digest(),
            "identity": sha256(self.after.identity).digest(),
            "created": forge.u64(1_000),
        }
        return forge.pae("succession", *(fields | changed).values())

    def leaves(self) -> list[bytes]:
        """The entries of the change."""
        before, after = self.before, self.after
        digest = forge.hash_of(self.succession())
        return [
            before.entry("rotate", before.account, after.generation, digest),
            *(_slot_entry(before, "keyslot", slot) for slot in after.slots),
            *(_slot_entry(before, "keyslot-remove", slot) for slot in before.slots),
            *(
                before.entry("revoke", grant, version, forge.hash_of(statement))
                for grant, (version, statement) in self.grants.items()
            ),
        ]

    def append(self) -> dict[str, Any]:
        """The append, under a head by the new key."""
        return self.after.append(*self.leaves())

    def body(self) -> dict[str, Any]:
        """The call's body."""
        card, succession = self.after.card(), self.succession()
        return {
            "change_id": str(self.id),
            "account_card": forge.b64(card),
            "card_signature": forge.b64(forge.sign(self.after.key, "account", card)),
            "succession": forge.b64(succession),
            "succession_signature": forge.b64(
                forge.sign(self.before.key, "succession", succession)
            ),
            "keyslots": [forge.b64(slot.raw()) for slot in self.after.slots],
            "identity": {
                "generation": self.after.generation,
                "envelope": forge.b64(self.after.identity),
            },
            "grants": [
                {"grant_id": str(grant), "owner_wrap": forge.b64(forge.wrapped())}
                for grant in self.grants
            ],
            "append": forge.as_json(self.append()),
        }


def _slot_entry(owner: forge.Owner, kind: str, slot: forge.Keyslot) -> bytes:
    return owner.entry(kind, slot.slot, slot.generation, forge.hash_of(slot.raw()))


def unpacked(answer: Any) -> Any:
    """A MessagePack answer."""
    assert answer.is_success, answer.text
    return msgspec.msgpack.decode(answer.content)


async def stage(stand: Stand, change: Change, *wraps: tuple[Any, int, bytes]) -> Any:
    """Stage wraps for a change."""
    body = {"change_id": change.id, "wraps": [list(wrap) for wrap in wraps]}
    return await stand.send("POST", "/accounts/me/rewraps", body, change.before.token)


async def make(stand: Stand, change: Change, body: dict[str, Any] | None = None) -> Any:
    """Make a change."""
    return await stand.post("/accounts/me/keys", body or change.body(), change.before.token)


async def wraps_of(stand: Stand, owner: forge.Owner) -> list[Any]:
    """The memory keys as the server keeps them."""
    answer = await stand.get("/accounts/me/memory-keys?limit=2", owner.token)
    found, following = [], unpacked(answer)
    while True:
        found += following[1]
        if following[0] is None:
            return found
        path = f"/accounts/me/memory-keys?from={following[0]}&limit=2"
        following = unpacked(await stand.get(path, owner.token))


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


async def test_a_change_ends_every_other_session(stand: Stand) -> None:
    """Only the device that made the change stays logged in, and the same call again is the same."""
    owner = await stand.sign_up()
    mine = owner.token
    await stand.log_in(owner)
    theirs, owner.token = owner.token, mine
    assert (await stand.get("/accounts/me", theirs)).is_success
    change = Change(owner)
    body = change.body()
    assert (await make(stand, change, body)).status_code == 204
    assert (await stand.get("/accounts/me", theirs)).status_code == 401
    assert (await stand.get("/accounts/me", mine)).is_success
    assert (await make(stand, change, body)).status_code == 204


class Interrupted:
    """A transaction of a login, and what happens before it holds the account."""

    def __init__(self, tx: Any, before: Callable[[], Awaitable[None]]) -> None:
        self._tx = tx
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def one(self, sql: str, *values: Any) -> Any:
        """The first row of a query."""
        if "FROM accounts" in sql:
            await self._before()
        return await self._tx.one(sql, *values)


async def test_a_login_under_way_does_not_outlive_a_change(stand: Stand) -> None:
    """An old keyslot that was read before a change, and verified, gives no session after it.

    SQLite takes one transaction after the other: there the change is made before the login's.
    """
    owner = await stand.sign_up()
    change, storage = Change(owner), stand.app.state.services.storage
    asked = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", asked)).json()
    submit, made = storage.submit, []

    async def make_change() -> None:
        with patch.object(storage, "submit", submit):
            made.append((await make(stand, change)).status_code)

    async def behind_a_change(job: Callable[[Any], Awaitable[Any]]) -> Any:
        if storage.name == "sqlite":
            await make_change()
            return await submit(job)
        return await submit(lambda tx: job(Interrupted(tx, make_change)))

    with patch.object(storage, "submit", behind_a_change):
        answer = await stand.post("/auth/login", owner.login_body(challenge, ORIGIN))
    assert made == [204]
    assert code(answer) == (401, "wrong-credentials")
    (session,) = (await stand.get("/auth/sessions", owner.token)).json()
    assert session["current"]


async def test_a_session_looked_up_during_a_change_is_not_remembered(stand: Stand) -> None:
    """Who was let in while the change was made is asked again after it, in this process at once."""
    owner = await stand.sign_up()
    mine = owner.token
    await stand.log_in(owner)
    theirs, owner.token = owner.token, mine
    change, principals = Change(owner), stand.app.state.services.principals
    stand.clock.advance(600)  # long enough ago that being seen is written down
    see = principals._see

    async def behind_a_change(*arguments: Any) -> None:
        with patch.object(principals, "_see", see):
            assert (await make(stand, change)).status_code == 204
        await see(*arguments)

    with patch.object(principals, "_see", behind_a_change):
        await stand.get("/accounts/me", theirs)
    assert code(await stand.get("/accounts/me", theirs)) == (401, "session-ended")


async def test_the_old_key_signs_nothing_more(stand: Stand) -> None:
    """A head by the replaced key is refused, whoever sends it, and an old login key as well."""
    owner = await stand.sign_up()
    change = Change(owner)
    append = change.append()
    assert (await make(stand, change)).status_code == 204
    owner.commit(append)
    answer = await stand.send("POST", "/log", owner.put(owner.memory()), owner.token)
    assert code(answer) == (422, "bad-signature")
    asked = {"username": owner.username, "kind": "passphrase"}
    challenge = (await stand.post("/auth/challenge", asked)).json()
    login = owner.login_body(challenge, "http://testserver")
    assert code(await stand.post("/auth/login", login)) == (401, "wrong-credentials")


async def test_a_process_that_did_not_hear_takes_no_head_by_the_old_key(stand: Stand) -> None:
    """Where a token is still remembered with the old key, the log itself refuses its heads."""
    owner = await stand.sign_up()
    await stand.remember(owner)
    principals = stand.app.state.services.principals
    change = Change(owner)
    append = change.append()
    for memory, number, _, _ in await wraps_of(stand, owner):
        assert (await stage(stand, change, (memory, number, forge.wrapped()))).is_success
    with patch.object(principals, "forget_account"):
        assert (await make(stand, change)).status_code == 204
    owner.commit(append)
    answer = await stand.send("POST", "/log", owner.put(owner.memory()), owner.token)
    assert code(answer) == (422, "bad-signature")


async def test_a_process_that_did_not_hear_knows_the_new_key(stand: Stand) -> None:
    """The session that made the change goes on there, with the key that it has now."""
    async with serving(stand.database, stand.clock) as other:
        owner = await stand.sign_up()
        assert (await other.get("/tags", owner.token)).status_code == 200
        change = Change(owner)
        append = change.append()
        assert (await make(stand, change)).status_code == 204
        change.after.commit(append)
        principals = other.app.state.services.principals
        remembered = dict(principals._known)
        head = change.after.put(change.after.memory())
        assert (await other.send("POST", "/log", head, owner.token)).status_code == 200
        principals._known = remembered
        assert (await other.get("/tags", owner.token)).status_code == 200
        assert principals._known[owner.token].caller.vault.verifier.public_key == forge.public(
            change.after.key
        )


async def test_a_change_ends_every_grant(stand: Stand) -> None:
    """A grant is revoked in the same step, and pending requests are superseded."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    await stand.ask(app, owner)
    change = Change(owner)
    change.grants = {grant: (2, owner.statements[grant])}
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
        succession = change.succession(**fields)
        body["succession"] = forge.b64(succession)
        signature = forge.sign(change.before.key, "succession", succession)
        body["succession_signature"] = forge.b64(signature)

    return spoil


def _old_head(body: dict[str, Any], change: Change) -> None:
    body["append"] = forge.as_json(change.before.append(*change.leaves()))


def _kept_slot(body: dict[str, Any], change: Change) -> None:
    kept = change.before.slots[0]
    moved = forge.Keyslot(kept.account, kept.kind, 2, kept.slot, kept.key)
    body["keyslots"][0] = forge.b64(moved.raw())


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
    """What another device wrote meanwhile moves the log, and the change is made anew."""
    owner = await stand.sign_up()
    change = Change(owner)
    body = change.body()
    await stand.remember(owner)
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
