"""What an app reads and writes under a grant, and the owner's review of it."""

import asyncio
import uuid
from typing import Any

import msgspec
import pytest

from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio

ACCEPTED_KEK = b"\x00" + forge.u64(1)


async def records(stand: Stand, app: forge.App, grant: uuid.UUID, query: str = "") -> Any:
    """What the app reads: the cursor and the items."""
    answer = await stand.get(f"/grants/{grant}/records{query}", app.token)
    assert answer.status_code == 200, answer.text
    return msgspec.msgpack.decode(answer.content)[:2]


async def shown(stand: Stand, app: forge.App, grant: uuid.UUID, query: str = "") -> list[Any]:
    """Memory, version and status of each item."""
    found = (await records(stand, app, grant, query))[1]
    return [(*forge.subject_of(item[6]), item[4]) for item in found]


async def judge(stand: Stand, owner: forge.Owner, kind: str, record: Any, **parts: Any) -> Any:
    """Accept or reject a pending record."""
    memory, version = forge.identity_of(record[0])
    entry = owner.entry(kind, memory, version, forge.digest_of(record))
    return await stand.append(owner, owner.append(entry, **parts))


def wrap_of(record: Any) -> list[Any]:
    """The owner's new wrap for an accepted record."""
    return [*forge.identity_of(record[0]), ACCEPTED_KEK, forge.wrapped()]


async def test_an_app_reads_what_it_has_the_keys_of(stand: Stand) -> None:
    """Only memories with a wrap in the grant are served, each with that wrap."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app, ("read",))
    granted, other = owner.memory(), owner.memory()
    written = owner.put(granted, other)
    await stand.append(owner, written)
    memory = forge.identity_of(granted[0])[0]
    wrap = forge.wrapped()
    body = {"wraps": [[memory, 1, wrap]]}
    await stand.send("POST", f"/grants/{grant}/wraps", body, owner.token)
    cursor, items = await records(stand, app, grant)
    assert cursor is None
    leaf = written["leaves"][0]
    assert items == [[granted[0], granted[1], 1, wrap, "accepted", 4, leaf]]
    assert (await stand.get(f"/grants/{grant}", owner.token)).json()["last_read"] is not None


async def test_another_app_gets_nothing(stand: Stand) -> None:
    """A grant of another app does not exist, whatever is done with its id."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    grant = await stand.grant(owner, app)
    for path in ("records", "head"):
        answer = await stand.get(f"/grants/{grant}/{path}", other.token)
        assert code(answer) == (404, "not-found")
    body = other.put(owner.account, other.memory(owner.account, grant))
    assert code(await stand.write(other, grant, body, owner)) == (404, "not-found")


async def test_what_an_app_creates_is_pending_until_accepted(stand: Stand) -> None:
    """Owner and author see it, no other app does; acceptance gives it the owner's wrap."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    grant, elsewhere = await stand.grant(owner, app), await stand.grant(owner, other)
    record = app.memory(owner.account, grant)
    memory = forge.identity_of(record[0])[0]
    answer = await stand.write(app, grant, app.put(owner.account, record), owner)
    assert answer.status_code == 201
    assert msgspec.msgpack.decode(answer.content) == {"size": 6, "indexes": [5]}
    await stand.share(owner, elsewhere, memory)
    assert await shown(stand, app, grant) == [(memory, 1, "pending")]
    assert await shown(stand, other, elsewhere) == []
    assert (await stand.sync(owner))[2][5][1] == list(record)
    items = (await stand.get("/memory-blobs", owner.token)).json()["items"]
    assert (items[0]["status"], items[0]["author"]) == ("pending", str(app.app))

    bare = await judge(stand, owner, "accept", record)
    assert code(bare) == (422, "invalid-input")
    wrap = wrap_of(record)
    assert (await judge(stand, owner, "accept", record, accepts=[wrap])).status_code == 200
    _, _, feed = await stand.sync(owner)
    assert feed[5][1] is None
    assert feed[6][1] == [record[0], record[1], ACCEPTED_KEK, wrap[3]]
    assert await shown(stand, app, grant) == [(memory, 1, "accepted")]
    assert await shown(stand, other, elsewhere) == [(memory, 1, "accepted")]
    assert (await records(stand, app, grant))[1][0][3] == record[3]


async def test_a_rejected_memory_is_seen_by_its_author_only(stand: Stand) -> None:
    """After a rejection it leaves the list and the feed; the app sees what became of it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = app.memory(owner.account, grant)
    memory = forge.identity_of(record[0])[0]
    await stand.write(app, grant, app.put(owner.account, record), owner)
    assert (await judge(stand, owner, "reject", record)).status_code == 200
    assert await shown(stand, app, grant) == [(memory, 1, "rejected")]
    assert (await stand.get("/memory-blobs", owner.token)).json()["items"] == []
    assert (await stand.get("/tags", owner.token)).json() == []
    assert [item[1] for item in (await stand.sync(owner))[2][4:]] == [None, None]
    wrap = wrap_of(record)
    again = await judge(stand, owner, "accept", record, accepts=[wrap])
    assert code(again) == (409, "conflict")


async def test_an_update_leaves_the_accepted_version_in_place(stand: Stand) -> None:
    """Until an app's update is accepted others see the last accepted version."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    grant, elsewhere = await stand.grant(owner, app), await stand.grant(owner, other)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    await stand.share(owner, elsewhere, memory)
    update = app.memory(owner.account, grant, memory, 2, title="changed")
    assert (await stand.write(app, grant, app.put(owner.account, update), owner)).is_success
    assert await shown(stand, other, elsewhere) == [(memory, 1, "accepted")]
    assert sorted(await shown(stand, app, grant)) == [
        (memory, 1, "accepted"),
        (memory, 2, "pending"),
    ]
    answer = await stand.get(f"/memory-blobs/{memory}", owner.token)
    assert msgspec.msgpack.decode(answer.content)["version"] == 1
    assert answer.headers["etag"] == '"2"'
    assert (await judge(stand, owner, "accept", update)).status_code == 200
    assert await shown(stand, other, elsewhere) == [(memory, 2, "accepted")]
    items = (await stand.get("/memory-blobs", owner.token)).json()["items"]
    assert (items[0]["title"], items[0]["version"]) == ("changed", 2)


async def test_an_overtaken_version_can_only_be_rejected(stand: Stand) -> None:
    """When the owner wrote after an app, the app's version cannot be put in force again."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    update = app.memory(owner.account, grant, memory, 2)
    await stand.write(app, grant, app.put(owner.account, update), owner)
    mine = owner.memory(memory, 3, title="mine")
    await stand.append(owner, owner.put(mine))
    assert code(await judge(stand, owner, "accept", update)) == (409, "conflict")
    assert (await judge(stand, owner, "reject", update)).status_code == 200
    feed = (await stand.sync(owner))[2]
    assert [item[1] for item in feed if item[1] is not None] == [list(mine)]


async def test_a_deletion_by_an_app_waits_for_the_owner(stand: Stand) -> None:
    """A pending deletion changes nothing; accepted, it deletes; rejected, it is forgotten."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = forge.new_id()
    for verdict, left in (("reject", 1), ("accept", 0)):
        memory = forge.new_id()
        record = owner.memory(memory)
        await stand.append(owner, owner.put(record))
        await stand.share(owner, grant, memory)
        digest = forge.digest_of(record)
        leaf = app.leaf(owner.account, "delete", memory, 2, digest)
        answer = await stand.write(app, grant, {"leaves": [leaf]}, owner)
        assert answer.status_code == 201
        assert (memory, 1, "accepted") in await shown(stand, app, grant)
        entry = owner.entry(verdict, memory, 2, digest)
        assert (await stand.append(owner, owner.append(entry))).status_code == 200
        answer = await stand.get(f"/memory-blobs/{memory}", owner.token)
        assert answer.is_success is bool(left)
    versions = await stand.get(f"/memory-blobs/{memory}/versions", owner.token)
    rows = msgspec.msgpack.decode(versions.content)
    assert [(row[0], row[2]) for row in rows] == [(None, "accepted"), (None, "accepted")]


async def test_the_same_writing_again_gets_the_same_answer(stand: Stand) -> None:
    """An app may repeat a lost call; nothing is written twice."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    first, second = app.memory(owner.account, grant), app.memory(owner.account, grant)
    body = app.put(owner.account, first, second)
    answers = [await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)]
    answers += [await stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token)]
    assert [msgspec.msgpack.decode(a.content) for a in answers] == [
        {"size": 6, "indexes": [4, 5]}
    ] * 2


async def test_scopes_are_kept(stand: Stand) -> None:
    """Without the scope a call is refused, and without `read` an app sees its own only."""
    owner, app = await stand.sign_up(), await stand.new_app()
    reader, creator = (
        await stand.grant(owner, app, ("read",)),
        await stand.grant(owner, app, ("create",)),
    )
    memory = await stand.remember(owner)
    for grant in (reader, creator):
        await stand.share(owner, grant, memory)
    body = app.put(owner.account, app.memory(owner.account, reader))
    assert code(await stand.write(app, reader, body, owner)) == (403, "not-granted")
    update = app.put(owner.account, app.memory(owner.account, creator, memory, 2))
    assert code(await stand.write(app, creator, update, owner)) == (403, "not-granted")
    leaf = app.leaf(owner.account, "delete", memory, 2, bytes(32))
    gone = {"leaves": [leaf]}
    assert code(await stand.write(app, creator, gone, owner)) == (403, "not-granted")
    record = app.memory(owner.account, creator)
    assert (await stand.write(app, creator, app.put(owner.account, record), owner)).is_success
    await judge(stand, owner, "accept", record, accepts=[wrap_of(record)])
    assert await shown(stand, app, creator) == [(forge.identity_of(record[0])[0], 1, "accepted")]


async def test_an_app_changes_only_what_its_grant_has_the_key_of(stand: Stand) -> None:
    """Updates and deletions need a wrap for that memory."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = owner.memory()
    memory = forge.identity_of(record[0])[0]
    await stand.append(owner, owner.put(record))
    update = app.put(owner.account, app.memory(owner.account, grant, memory, 2))
    assert code(await stand.write(app, grant, update, owner)) == (403, "not-granted")
    leaf = app.leaf(owner.account, "delete", memory, 2, forge.digest_of(record))
    assert code(await stand.write(app, grant, {"leaves": [leaf]}, owner)) == (403, "not-granted")
    await stand.share(owner, grant, memory)
    newer = app.memory(owner.account, grant, memory, 2, key_number=2)
    body = app.put(owner.account, newer)
    assert code(await stand.write(app, grant, body, owner)) == (409, "conflict")
    assert (await stand.write(app, grant, update, owner)).is_success


@pytest.mark.attack(40)
async def test_wrong_writings_are_refused(stand: Stand) -> None:
    """A bad signature, author, kek, kind or pairing is refused, and nothing is written."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    bob = await stand.sign_up("bob")
    grant, theirs = await stand.grant(owner, app), await stand.grant(bob, app)
    good = app.memory(owner.account, grant)
    memory = forge.identity_of(good[0])[0]
    body = app.put(owner.account, good)
    forged = {**body, "leaves": [body["leaves"][0][:-64] + bytes(64)]}
    unsigned = {**body, "leaves": [body["leaves"][0][:-64]]}
    accept = app.leaf(owner.account, "accept", memory, 1, forge.digest_of(good))
    owned = forge.record(forge.header(owner.account, memory, app=app.app))
    as_owner = (forge.header(owner.account, memory), *good[1:])
    wrong: dict[str, tuple[Any, tuple[int, str]]] = {
        "signature": (forged, (422, "bad-signature")),
        "no signature": (unsigned, (400, "malformed")),
        "another app": (
            other.put(owner.account, other.memory(owner.account, grant)),
            (422, "invalid-input"),
        ),
        "kind": ({"leaves": [accept]}, (400, "malformed")),
        "kek of the owner": (app.put(owner.account, owned), (422, "invalid-input")),
        "kek of another grant": (
            app.put(owner.account, app.memory(owner.account, theirs)),
            (422, "invalid-input"),
        ),
        "author of the header": (app.put(owner.account, as_owner), (422, "invalid-input")),
        "another account": (
            app.put(bob.account, app.memory(bob.account, grant)),
            (404, "not-found"),
        ),
        "nothing": ({"leaves": []}, (422, "invalid-input")),
        "no record": ({"leaves": body["leaves"]}, (422, "invalid-input")),
        "no leaf for a record": (
            {**body, "records": [*body["records"], list(app.memory(owner.account, grant))]},
            (422, "invalid-input"),
        ),
        "too many": ({"leaves": [b""] * 1_001}, (413, "too-large")),
        "an unknown field": ({**body, "status": "accepted"}, (400, "malformed")),
    }
    for name, (spoilt, expected) in wrong.items():
        answer = await stand.send("POST", f"/grants/{grant}/memory-blobs", spoilt, app.token)
        assert code(answer) == expected, name
    assert (await stand.sync(owner))[0] == 4
    assert (await stand.write(app, grant, body, owner)).is_success


async def test_a_version_that_does_not_fit_tells_the_newest(stand: Stand) -> None:
    """An app that missed a version learns which is the newest, and its digest."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    newest = owner.memory(memory, 2)
    await stand.append(owner, owner.put(newest))
    late = app.put(owner.account, app.memory(owner.account, grant, memory, 2))
    answer = await stand.write(app, grant, late, owner)
    assert code(answer) == (409, "conflict")
    assert answer.json()["current"] == {
        "version": 2,
        "digest": forge.b64(forge.digest_of(newest)),
    }


async def test_owner_and_app_can_write_at_once(stand: Stand) -> None:
    """Whatever the order, the log stays one: the owner's append is refused or lands on top."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    for _ in range(5):
        stand.clock.advance(3)  # an owner who came too late has that long for themselves
        body = app.put(owner.account, app.memory(owner.account, grant))
        append = owner.put(owner.memory())
        written, appended = await asyncio.gather(
            stand.send("POST", f"/grants/{grant}/memory-blobs", body, app.token),
            stand.send("POST", "/log", append, owner.token),
        )
        assert written.status_code == 201
        index = msgspec.msgpack.decode(written.content)["indexes"][0]
        if appended.is_success:
            assert index == append["base"] + 1
            owner.commit(append)
        else:
            assert code(appended) == (409, "log-moved")
            assert index == append["base"]
        owner.follow(body["leaves"])
    assert (await stand.append(owner, owner.append())).status_code == 200


async def test_news_is_read_since_an_index(stand: Stand) -> None:
    """`since` gives what is new: versions, acceptances, and wraps given later."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    first, second = await stand.remember(owner), await stand.remember(owner)
    await stand.share(owner, grant, first)
    size = (await stand.sync(owner))[0]
    await stand.remember(owner)
    assert await shown(stand, app, grant, f"?since={size}") == []
    await stand.share(owner, grant, second)
    assert await shown(stand, app, grant, f"?since={size}") == [(second, 1, "accepted")]
    await stand.append(owner, owner.put(owner.memory(first, 2)))
    found = await shown(stand, app, grant, f"?since={size}")
    assert sorted(found) == sorted([(second, 1, "accepted"), (first, 2, "accepted")])


async def test_records_are_paged(stand: Stand) -> None:
    """Pages have every record once, accepted and own, in the order they became news."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    mine = [owner.memory() for _ in range(7)]
    await stand.append(owner, owner.put(*mine))
    memories = [forge.identity_of(record[0])[0] for record in mine]
    await stand.share(owner, grant, *memories)
    own = [app.memory(owner.account, grant) for _ in range(6)]
    await stand.write(app, grant, app.put(owner.account, *own), owner)
    seen, cursor = [], None
    while True:
        query = "?limit=4" + (f"&cursor={cursor}" if cursor else "")
        cursor, items = await records(stand, app, grant, query)
        seen += [forge.identity_of(item[0])[0] for item in items]
        if cursor is None:
            break
    expected = memories + [forge.identity_of(record[0])[0] for record in own]
    assert sorted(seen) == sorted(expected)
    answer = await stand.get(f"/grants/{grant}/records?cursor=AAAA", app.token)
    assert code(answer) == (400, "malformed")


async def test_a_new_key_shuts_old_wraps_out(stand: Stand) -> None:
    """A version under a new key is served only with a wrap of that key."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    await stand.append(owner, owner.put(owner.memory(memory, 2, key_number=2)))
    assert await shown(stand, app, grant) == []
    third = owner.memory(memory, 3, key_number=2)
    wraps = [[grant, memory, 2, forge.wrapped()]]
    assert (await stand.append(owner, owner.put(third, wraps=wraps))).is_success
    assert await shown(stand, app, grant) == [(memory, 3, "accepted")]
    unwrap = owner.put(owner.memory(), unwraps=[[grant, memory]])
    assert (await stand.append(owner, unwrap)).is_success
    assert await shown(stand, app, grant) == []


async def test_the_head_tells_an_app_of_news(stand: Stand) -> None:
    """An app reads the size and the owner's newest head."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    answer = await stand.get(f"/grants/{grant}/head", app.token)
    told = msgspec.msgpack.decode(answer.content)
    assert told == {"size": 4, "head": owner.head, "continues": []}


async def test_pending_of_one_app_is_hidden_from_another_with_the_same_memory(
    stand: Stand,
) -> None:
    """A create-only app sees neither the owner's memories nor another app's writing."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    grant, elsewhere = await stand.grant(owner, app), await stand.grant(owner, other, ("create",))
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    await stand.share(owner, elsewhere, memory)
    update = app.memory(owner.account, grant, memory, 2)
    await stand.write(app, grant, app.put(owner.account, update), owner)
    assert await shown(stand, other, elsewhere) == []
