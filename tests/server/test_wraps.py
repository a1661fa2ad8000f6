"""Keys of memories, wrapped for grants."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from server import forge
from server.stand import Stand, code

if TYPE_CHECKING:
    import uuid

pytestmark = pytest.mark.asyncio


async def test_wraps_are_given_and_listed(stand: Stand) -> None:
    """Wraps can be sent again, are counted by memory, and are listed in pages."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app, activate=False)
    memories = [await stand.remember(owner) for _ in range(3)]
    wraps = [(memory, 1, forge.wrapped()) for memory in memories]
    for _ in range(2):
        answer = await stand.send("POST", f"/grants/{grant}/wraps", {"wraps": wraps}, owner.token)
        assert msgspec.msgpack.decode(answer.content) == {"memories": 3}
    first = msgspec.msgpack.decode(
        (await stand.get(f"/grants/{grant}/wraps?limit=2", owner.token)).content
    )
    rest = msgspec.msgpack.decode(
        (await stand.get(f"/grants/{grant}/wraps?cursor={first[0]}", owner.token)).content
    )
    expected = [[memory.bytes, number, wrap] for memory, number, wrap in sorted(wraps)]
    assert first[1] + rest[1] == expected
    assert rest[0] is None
    headers = {"Accept": "application/json"}
    found = (await stand.get(f"/grants/{grant}/wraps", owner.token, headers=headers)).json()
    assert found[1] == forge.as_json(sorted(wraps))


async def test_wrong_wraps_are_refused(stand: Stand) -> None:
    """Wraps for unknown memories, keys or grants, or of another form, change nothing."""
    owner, app = await stand.sign_up(), await stand.new_app()
    other = await stand.sign_up("bob")
    grant, theirs = await stand.grant(owner, app), await stand.remember(other)
    memory = await stand.remember(owner)
    over = await stand.grant(owner, app)
    await stand.set_state(owner, over, "revoked", 2)
    good = [memory, 1, forge.wrapped()]
    wrong: dict[str, tuple[uuid.UUID, Any, tuple[int, str]]] = {
        "unknown memory": (grant, [forge.new_id(), 1, good[2]], (422, "invalid-input")),
        "another's memory": (grant, [theirs, 1, good[2]], (422, "invalid-input")),
        "unknown key": (grant, [memory, 2, good[2]], (422, "invalid-input")),
        "key zero": (grant, [memory, 0, good[2]], (400, "malformed")),
        "short": (grant, [memory, 1, b"\1"], (400, "malformed")),
        "suite": (grant, [memory, 1, b"\2" + bytes(112)], (422, "unknown-suite")),
        "unknown grant": (forge.new_id(), good, (404, "not-found")),
        "revoked grant": (over, good, (409, "conflict")),
    }
    for name, (where, wrap, expected) in wrong.items():
        body = {"wraps": [wrap]}
        answer = await stand.send("POST", f"/grants/{where}/wraps", body, owner.token)
        assert code(answer) == expected, name
    body = {"wraps": [good] * 5_001}
    answer = await stand.send("POST", f"/grants/{grant}/wraps", body, owner.token)
    assert code(answer) == (413, "too-large")
    assert (await stand.get(f"/grants/{grant}", owner.token)).json()["memories"] == 0
    answer = await stand.send("POST", f"/grants/{grant}/wraps", {"wraps": [good]}, other.token)
    assert code(answer) == (404, "not-found")


async def test_a_grant_tells_of_its_own_wraps(stand: Stand) -> None:
    """Each of several grants is read by its id, with the number and the news of its wraps alone."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grants = [await stand.grant(owner, app) for _ in range(3)]
    memories = [await stand.remember(owner) for _ in range(2)]
    await stand.share(owner, grants[1], memories[0])
    later = await stand.remember(owner)
    await stand.share(owner, grants[0], *memories)
    await stand.share(owner, grants[2], *memories, later)
    unwraps = [[grants[0], memory] for memory in memories]
    assert (await stand.append(owner, owner.put(owner.memory(), unwraps=unwraps))).is_success
    rows = [(await stand.get(f"/grants/{grant}", owner.token)).json() for grant in grants]
    assert [row["grant_id"] for row in rows] == [str(grant) for grant in grants]
    assert [row["memories"] for row in rows] == [0, 1, 3]
    for grant, row in zip(grants, rows, strict=True):
        answer = await stand.get(f"/grants/{grant}/wraps", owner.token)
        assert len(msgspec.msgpack.decode(answer.content)[1]) == row["memories"]
        path = f"/grants/{grant}/wraps"
        told = msgspec.msgpack.decode(
            (await stand.send("POST", path, {"wraps": []}, owner.token)).content
        )
        assert told == {"memories": row["memories"]}
    numbers = [row["wraps_changed"] for row in rows]
    assert numbers == [-1, *sorted(set(numbers[1:]))]
    for row in rows:
        seen = (await stand.get(f"/grants/{row['grant_id']}", app.token)).json()
        assert seen.items() <= row.items()
    assert (await stand.get(f"/grants/{grants[1]}/records", app.token)).is_success
    listed = (await stand.get("/grants", owner.token)).json()
    read = [row["grant_id"] for row in listed if row["last_read"] is not None]
    assert read == [str(grants[1])]


async def test_an_ended_grant_takes_no_wrap_and_stops_no_append(stand: Stand) -> None:
    """A device whose clock is behind gets its memory in; one for a revoked grant is refused."""
    owner, app = await stand.sign_up(), await stand.new_app()
    ended, revoked = await stand.grant(owner, app), await stand.grant(owner, app)
    await stand.set_state(owner, revoked, "revoked", 2)
    stand.clock.advance(366 * 86_400)
    await stand.log_in(owner)
    await stand.authorize(app)
    another_s = await stand.grant(await stand.sign_up("bob"), app)
    nowhere = forge.new_id()
    for grant, expected in ((ended, 200), (revoked, 422), (another_s, 422), (nowhere, 422)):
        memory = forge.new_id()
        wraps = [[grant, memory, 1, forge.wrapped()]]
        answer = await stand.append(owner, owner.put(owner.memory(memory), wraps=wraps))
        assert answer.status_code == expected
    row = (await stand.get(f"/grants/{ended}", owner.token)).json()
    assert (row["memories"], row["wraps_changed"]) == (0, -1)


async def test_a_grant_tells_when_its_wraps_changed(stand: Stand) -> None:
    """Whatever gives a wrap or replaces one moves the number; only the owner is told."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)

    async def changed() -> int:
        row = (await stand.get(f"/grants/{grant}", owner.token)).json()
        listed = (await stand.get("/grants", owner.token)).json()
        assert listed == [row]
        return int(row["wraps_changed"])

    seen = [await changed()]
    assert seen == [-1]
    memory = await stand.remember(owner)
    await stand.share(owner, grant, memory)
    seen.append(await changed())
    await stand.remember(owner)
    assert await changed() == seen[-1]
    await stand.share(owner, grant, memory)
    seen.append(await changed())
    again = owner.memory(memory, 2, key_number=2)
    wraps = [[grant, memory, 2, forge.wrapped()]]
    assert (await stand.append(owner, owner.put(again, wraps=wraps))).is_success
    seen.append(await changed())
    own = app.memory(owner.account, grant)
    assert (await stand.write(app, grant, app.put(owner.account, own), owner)).is_success
    seen.append(await changed())
    assert seen == sorted(set(seen))
    await stand.append(owner, owner.put(owner.memory(), unwraps=[[grant, memory]]))
    assert await changed() == seen[-1]
    row = (await stand.get(f"/grants/{grant}", app.token)).json()
    assert "wraps_changed" not in row


async def test_a_grant_that_is_over_is_given_nothing(stand: Stand) -> None:
    """Its time ends it, as a revocation does, before it is put in force as well."""
    owner, app = await stand.sign_up(), await stand.new_app()
    memory = await stand.remember(owner)
    grants = [await stand.grant(owner, app, activate=number == 0) for number in range(2)]
    stand.clock.advance(86_400)
    await stand.log_in(owner)
    for grant in grants:
        wraps = {"wraps": [[memory, 1, forge.wrapped()]]}
        answer = await stand.send("POST", f"/grants/{grant}/wraps", wraps, owner.token)
        assert code(answer) == (409, "conflict")
