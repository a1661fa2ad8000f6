"""What an app may not write, because the owner's devices would not believe it."""

from typing import Any

import msgspec
import pytest

from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
MINUTE = 60_000_000


async def _delete(stand: Stand, app: forge.App, grant: Any, owner: forge.Owner, item: Any) -> Any:
    """An app's proposal to delete a memory whose newest version is this record."""
    memory, version = forge.identity_of(item[0])
    leaf = app.leaf(owner.account, "delete", memory, version + 1, forge.digest_of(item))
    return await stand.write(app, grant, {"leaves": [leaf]}, owner)


async def test_an_app_deletes_only_what_is_in_force(stand: Stand) -> None:
    """What was never accepted, pending or rejected or of the same call, is a conflict."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    waiting, refused, accepted, fresh = (app.memory(owner.account, grant) for _ in range(4))
    body = app.put(owner.account, waiting, refused, accepted)
    assert (await stand.write(app, grant, body, owner)).status_code == 201
    for kind, item in (("reject", refused), ("accept", accepted)):
        entry = owner.entry(kind, *forge.identity_of(item[0]), forge.digest_of(item))
        wrap = [*forge.identity_of(item[0]), b"\x00" + forge.u64(1), forge.wrapped()]
        append = owner.append(entry, accepts=[wrap] if kind == "accept" else [])
        assert (await stand.append(owner, append)).status_code == 200
    for item in (waiting, refused):
        answer = await _delete(stand, app, grant, owner, item)
        assert code(answer) == (409, "conflict")
        assert "current" not in answer.json()  # no version of it would do
    both = app.put(owner.account, fresh)
    memory = forge.identity_of(fresh[0])[0]
    both["leaves"].append(app.leaf(owner.account, "delete", memory, 2, forge.digest_of(fresh)))
    assert code(await stand.write(app, grant, both, owner)) == (409, "conflict")
    assert (await _delete(stand, app, grant, owner, accepted)).status_code == 201


async def test_an_overtaken_deletion_can_only_be_rejected(stand: Stand) -> None:
    """When the owner wrote after an app proposed to delete, accepting that deletes nothing."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = owner.memory()
    memory, digest = forge.identity_of(record[0])[0], forge.digest_of(record)
    await stand.append(owner, owner.put(record))
    await stand.share(owner, grant, memory)
    leaf = app.leaf(owner.account, "delete", memory, 2, digest)
    assert (await stand.write(app, grant, {"leaves": [leaf]}, owner)).is_success
    await stand.append(owner, owner.put(owner.memory(memory, 3, title="mine")))
    yes = owner.append(owner.entry("accept", memory, 2, digest))
    assert code(await stand.append(owner, yes)) == (409, "conflict")
    assert (await stand.get(f"/memory-blobs/{memory}", owner.token)).is_success
    no = owner.append(owner.entry("reject", memory, 2, digest))
    assert (await stand.append(owner, no)).is_success


async def test_who_creates_what_is_there_learns_nothing_of_what_others_wrote(stand: Stand) -> None:
    """Of a memory that is not its own and that it does not hold: only that the id was used."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app, scopes=("create", "update"))

    async def tried(memory: Any, *more: Any) -> dict[str, Any]:
        again = app.memory(owner.account, grant, memory)
        body = app.put(owner.account, *more, again)
        answer = await stand.write(app, grant, body, owner)
        assert code(answer) == (409, "conflict")
        told: dict[str, Any] = answer.json()
        del told["request_id"]
        return told

    fresh, changed, first = await stand.remember(owner), await stand.remember(owner), owner.memory()
    gone = forge.identity_of(first[0])[0]
    await stand.append(owner, owner.put(first, owner.memory(changed, 2)))
    deletion = owner.entry("delete", gone, 2, forge.digest_of(first))
    assert (await stand.append(owner, owner.append(deletion))).is_success
    nothing = await tried(fresh)
    assert "current" not in nothing
    assert nothing == await tried(changed) == await tried(gone)
    behind = app.memory(owner.account, grant, changed, 2)  # as if the same call had created it
    assert nothing == await tried(changed, behind)


async def test_who_creates_its_own_again_learns_where_it_stands(stand: Stand) -> None:
    """What an app made, or holds a key of, it is told of: so it goes on after a lost answer."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    own, held = app.memory(owner.account, grant), await stand.remember(owner)
    assert (await stand.write(app, grant, app.put(owner.account, own), owner)).is_success
    await stand.share(owner, grant, held)
    for memory in (forge.identity_of(own[0])[0], held):
        again = app.memory(owner.account, grant, memory)
        answer = await stand.write(app, grant, app.put(owner.account, again), owner)
        assert code(answer) == (409, "conflict")
        assert answer.json()["current"]["version"] == 1


async def test_an_app_is_shown_nothing_of_what_was_deleted(stand: Stand) -> None:
    """What it proposed for a memory goes with it, refused or not; a refused deletion is not shown.

    Though other memories stay, and another account has one of that very id.
    """
    owner, other, app = await stand.sign_up(), await stand.sign_up("bob"), await stand.new_app()
    grant = await stand.grant(owner, app)
    gone, kept = owner.memory(), owner.memory()
    assert (await stand.append(owner, owner.put(gone, kept))).is_success
    (memory, _), (stays, _) = forge.identity_of(gone[0]), forge.identity_of(kept[0])
    await stand.remember(other, memory=memory)
    await stand.share(owner, grant, memory, stays)
    assert (await _delete(stand, app, grant, owner, kept)).is_success
    refused, waiting = (app.memory(owner.account, grant, memory, version) for version in (2, 3))
    body = app.put(owner.account, refused, waiting)
    assert (await stand.write(app, grant, body, owner)).is_success
    for at, digest in (
        ((stays, 2), forge.digest_of(kept)),
        ((memory, 2), forge.digest_of(refused)),
    ):
        append = owner.append(owner.entry("reject", *at, digest))
        assert (await stand.append(owner, append)).is_success
    both = [(memory, 1), (memory, 2), (memory, 3), (stays, 1)]
    assert sorted(await _seen(stand, app, grant)) == sorted(both)
    deletion = owner.entry("delete", memory, 4, forge.digest_of(waiting))
    assert (await stand.append(owner, owner.append(deletion))).is_success
    assert await _seen(stand, app, grant) == [(stays, 1)]


async def _seen(stand: Stand, app: forge.App, grant: Any) -> list[Any]:
    """Of which versions an app is shown something."""
    answer = await stand.get(f"/grants/{grant}/records", app.token)
    items = msgspec.msgpack.decode(answer.content)[1]
    return [forge.subject_of(item[6] if item[4] != "rejected" else item[0]) for item in items]


async def test_an_app_changes_what_that_grant_has_the_key_of(stand: Stand) -> None:
    """Neither another grant's key of a memory nor its own of another memory lets it be changed."""
    owner, app, other = await stand.sign_up(), await stand.new_app(), await stand.new_app("Other")
    mine, theirs = await stand.grant(owner, app), await stand.grant(owner, other)
    memory, shared = await stand.remember(owner), await stand.remember(owner)
    await stand.share(owner, theirs, memory)
    await stand.share(owner, mine, shared)
    body = app.put(owner.account, app.memory(owner.account, mine, memory, 2))
    assert code(await stand.write(app, mine, body, owner)) == (403, "not-granted")
    body = app.put(owner.account, app.memory(owner.account, mine, shared, 2))
    assert (await stand.write(app, mine, body, owner)).is_success


async def test_an_app_writes_into_one_log_at_a_time(stand: Stand) -> None:
    """Among leaves for one owner none is taken that is of another, whatever it would do there."""
    owner, other, app = await stand.sign_up(), await stand.sign_up("bob"), await stand.new_app()
    grant = await stand.grant(owner, app)
    await stand.grant(other, app)
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    record = (await stand.sync(owner))[2][-1][1]
    leaf = app.leaf(other.account, "delete", memory, 2, forge.digest_of(record))
    body = app.put(owner.account, app.memory(owner.account, grant))
    for leaves in ([*body["leaves"], leaf], [leaf, *body["leaves"]]):
        answer = await stand.write(app, grant, body | {"leaves": leaves}, owner)
        assert code(answer) == (422, "invalid-input")
    assert (await stand.sync(owner))[0] == owner.tree.size


async def test_an_acceptance_is_of_that_version_and_under_the_owner_s_key(stand: Stand) -> None:
    """One of another digest, or whose new wrap would still be the grant's, accepts nothing."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    record = app.memory(owner.account, grant)
    assert (await stand.write(app, grant, app.put(owner.account, record), owner)).is_success
    place, digest = forge.identity_of(record[0]), forge.digest_of(record)
    mine, theirs = b"\0" + forge.u64(1), b"\1" + grant.bytes
    for kind, named, kek in (
        ("accept", bytes(32), mine),
        ("accept", digest, theirs),
        ("reject", bytes(32), None),
    ):
        accepts = [] if kek is None else [[*place, kek, forge.wrapped()]]
        append = owner.append(owner.entry(kind, *place, named), accepts=accepts)
        assert code(await stand.append(owner, append)) == (422, "invalid-input")
    accepts = [[*place, mine, forge.wrapped()]]
    append = owner.append(owner.entry("accept", *place, digest), accepts=accepts)
    assert (await stand.append(owner, append)).is_success


async def test_versions_are_of_one_memory_each_once(stand: Stand) -> None:
    """A version that was accepted, or refused, is told of once, beside none of others."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    first, second = (app.memory(owner.account, grant) for _ in range(2))
    body = app.put(owner.account, first, second)
    assert (await stand.write(app, grant, body, owner)).is_success
    for kind, item in (("accept", first), ("reject", second)):
        place = forge.identity_of(item[0])
        entry = owner.entry(kind, *place, forge.digest_of(item))
        wrap = [*place, b"\0" + forge.u64(1), forge.wrapped()]
        append = owner.append(entry, accepts=[wrap] if kind == "accept" else [])
        assert (await stand.append(owner, append)).is_success
        answer = await stand.get(f"/memory-blobs/{place[0]}/versions", owner.token)
        rows = msgspec.msgpack.decode(answer.content)
        assert [row[1:3] for row in rows] == [[1, f"{kind}ed"]]


async def test_an_app_writes_within_the_time_of_its_grant(stand: Stand) -> None:
    """An entry's time is from the grant's beginning to its end, at most ten minutes ahead."""
    owner, app = await stand.sign_up(), await stand.new_app()
    await stand.grant(owner, app)  # that an earlier one had begun is of no use to this one
    stand.clock.advance(3_600)
    await stand.authorize(app)
    grant = await stand.grant(owner, app)
    begins = stand.clock.now
    ends = begins + 86_400_000_000

    async def write(time: int) -> Any:
        app.time = time
        body = app.put(owner.account, app.memory(owner.account, grant))
        return await stand.write(app, grant, body, owner)

    for time in (0, begins - 1):
        assert code(await write(time)) == (422, "invalid-input")
    for time in (begins + 10 * MINUTE + 1, ends):
        assert code(await write(time)) == (422, "wrong-clock")
    for time in (begins, begins + 10 * MINUTE):
        assert (await write(time)).status_code == 201
    stand.clock.advance(86_400 - 60)
    await stand.authorize(app)
    assert code(await write(ends + 1)) == (422, "invalid-input")
    assert (await write(ends)).status_code == 201


async def test_a_memory_is_not_updated_in_the_future(stand: Stand) -> None:
    """A header's time may be ten minutes ahead of the server's clock; the past is free."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    latest = stand.clock.now + 10 * MINUTE
    for updated, expected in ((latest, 201), (latest + 1, 422), (2_000, 201)):
        item = app.memory(owner.account, grant, updated=updated)
        answer = await stand.write(app, grant, app.put(owner.account, item), owner)
        assert answer.status_code == expected, updated


async def test_an_app_writes_under_the_key_in_use(stand: Stand) -> None:
    """A creation has key number 1, an update that of the newest, and the grant must hold it."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    second = app.memory(owner.account, grant, key_number=2)
    body = app.put(owner.account, second)
    assert code(await stand.write(app, grant, body, owner)) == (400, "malformed")
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    await stand.append(owner, owner.put(owner.memory(memory, 2, key_number=2)))

    async def update(number: int) -> Any:
        item = app.memory(owner.account, grant, memory, 3, key_number=number)
        return await stand.write(app, grant, app.put(owner.account, item), owner)

    assert code(await update(1)) == (403, "not-granted")
    assert code(await update(2)) == (403, "not-granted")
    gone = app.leaf(owner.account, "delete", memory, 3, bytes(32))
    answer = await stand.write(app, grant, {"leaves": [gone]}, owner)
    assert code(answer) == (403, "not-granted")
    wraps = {"wraps": [[memory, 2, forge.wrapped()]]}
    await stand.send("POST", f"/grants/{grant}/wraps", wraps, owner.token)
    assert code(await update(1)) == (409, "conflict")
    assert code(await update(3)) == (409, "conflict")
    assert (await update(2)).status_code == 201


@pytest.mark.parametrize("fields", [{"title": "a\U000e0fff"}, {"tags": ("a", "b\u0378")}])
async def test_characters_that_are_not_assigned_are_refused(
    sqlite_stand: Stand, fields: dict[str, Any]
) -> None:
    """A newer Unicode may see another normal form in them; emoji to come are no such thing."""
    owner, app = await sqlite_stand.sign_up(), await sqlite_stand.new_app()
    grant = await sqlite_stand.grant(owner, app)
    item = app.memory(owner.account, grant, **fields)
    body = app.put(owner.account, item)
    assert code(await sqlite_stand.write(app, grant, body, owner)) == (422, "invalid-input")
    item = app.memory(owner.account, grant, title="\U0001faff")
    body = app.put(owner.account, item)
    assert (await sqlite_stand.write(app, grant, body, owner)).status_code == 201
