"""Appends: what an owner's change must be, and what it does."""

import asyncio

import msgspec
import pytest

from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio


async def test_a_memory_is_stored_and_synced(stand: Stand) -> None:
    """What was appended comes back in the sync feed as it was sent."""
    owner = await stand.sign_up()
    record = owner.memory()
    append = owner.put(record)
    answer = await stand.append(owner, append, "/memory-blobs")
    assert answer.status_code == 201
    assert msgspec.msgpack.decode(answer.content) == {"size": 4}
    size, head, items = await stand.sync(owner)
    assert (size, head) == (4, append["head"])
    assert items[3] == [append["leaves"][0], list(record)]
    assert [item[1] for item in items[:3]] == [None, None, None]


async def test_a_batch_is_stored(stand: Stand) -> None:
    """A thousand memories in one append, across the runs of the Merkle tree."""
    owner = await stand.sign_up()
    records = [owner.memory() for _ in range(1_000)]
    answer = await stand.append(owner, owner.put(*records), "/memory-blobs/batch")
    assert answer.status_code == 201, answer.text
    _, _, items = await stand.sync(owner)
    assert [item[1] for item in items[3:]] == [list(record) for record in records]


async def test_json_does_as_well(stand: Stand) -> None:
    """The same append and the same answers in JSON."""
    owner = await stand.sign_up()
    record = owner.memory()
    append = owner.put(record)
    headers = {"Accept": "application/json"}
    answer = await stand.post("/log", forge.as_json(append), owner.token, headers=headers)
    assert answer.json() == {"size": 4}
    found = (await stand.get("/sync?from=3", owner.token, headers=headers)).json()
    assert found[2] == [[forge.b64(append["leaves"][0]), forge.as_json(record)]]


async def test_empty_lists_may_be_left_out(stand: Stand) -> None:
    """An append of nothing but a head, over what an app wrote, is accepted."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    written = app.put(owner.account, app.memory(owner.account, grant))
    assert (await stand.write(app, grant, written, owner)).is_success
    append = owner.append()
    short = {"base": append["base"], "head": append["head"]}
    answer = await stand.send("POST", "/log", short, owner.token)
    assert msgspec.msgpack.decode(answer.content) == {"size": 5}


async def test_the_same_append_again_gets_the_same_answer(stand: Stand) -> None:
    """A repetition of the last append is answered alike and changes nothing."""
    owner = await stand.sign_up()
    append = owner.put(owner.memory())
    first = await stand.send("POST", "/memory-blobs", append, owner.token)
    again = await stand.send("POST", "/memory-blobs", append, owner.token)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert (await stand.sync(owner))[0] == 4


async def test_an_append_on_an_old_base_is_refused_with_what_is_current(stand: Stand) -> None:
    """The refusal names the size and the head that are in force."""
    owner = await stand.sign_up()
    late = owner.put(owner.memory())
    await stand.remember(owner)
    answer = await stand.send("POST", "/log", late, owner.token)
    assert code(answer) == (409, "log-moved")
    assert answer.json()["current"] == {"size": 4, "head": owner.head}


@pytest.mark.parametrize("base", [0, 2**63, 10**19 - 1])
async def test_a_base_that_no_log_has_is_only_moved(stand: Stand, base: int) -> None:
    """An empty log's head, and one of a size that no database counts to, fit no log."""
    owner = await stand.sign_up()
    tree = owner.tree.copy()
    tree.size = base
    append = {"base": base, "leaves": [], "head": owner.sign_head(tree)}
    for answer in (
        await stand.send("POST", "/log", append, owner.token),
        await stand.post("/log", append, owner.token),
    ):
        assert code(answer) == (409, "log-moved")


@pytest.mark.attack(56)
async def test_of_two_writers_one_wins(stand: Stand) -> None:
    """Of appends sent together on one base exactly one is accepted, each round."""
    owner = await stand.sign_up()
    for _ in range(8):
        appends = [owner.put(owner.memory()) for _ in range(4)]
        answers = await asyncio.gather(
            *[stand.send("POST", "/log", append, owner.token) for append in appends]
        )
        won = [a for a, r in zip(appends, answers, strict=True) if r.status_code == 200]
        lost = [r for r in answers if r.status_code != 200]
        assert len(won) == 1
        assert {code(answer) for answer in lost} == {(409, "log-moved")}
        owner.commit(won[0])
    size, head, items = await stand.sync(owner)
    assert (size, head, len(items)) == (11, owner.head, 11)


async def test_a_bad_append_takes_no_other_down(stand: Stand) -> None:
    """Appends of several vaults sent together: the wrong ones fail, each other is accepted."""
    owners = [await stand.sign_up(f"owner{n}") for n in range(6)]
    appends = [owner.put(owner.memory()) for owner in owners]
    for append in appends[::2]:
        append["records"] = [[*append["records"][0][:3], forge.wrapped()]]  # fine: a wrap is free
    taken = await stand.remember(owners[0])
    appends[0] = owners[0].put(owners[0].memory(taken))
    answers = await asyncio.gather(
        *[
            stand.send("POST", "/log", append, owner.token)
            for owner, append in zip(owners, appends, strict=True)
        ]
    )
    assert [answer.status_code for answer in answers] == [409, 200, 200, 200, 200, 200]


async def test_versions_follow_one_another(stand: Stand) -> None:
    """A second version replaces the first in the feed; both are kept."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    second = owner.memory(memory, 2, title="changed", key_number=2)
    assert (await stand.append(owner, owner.put(second))).status_code == 200
    _, _, items = await stand.sync(owner)
    assert items[3][1] is None
    assert items[4][1] == list(second)
    answer = await stand.get(f"/memory-blobs/{memory}/versions", owner.token)
    rows = msgspec.msgpack.decode(answer.content)
    assert [(row[0] is not None, *row[1:]) for row in rows] == [
        (True, 1, "accepted", 3),
        (True, 2, "accepted", 4),
    ]


async def test_several_versions_in_one_append(stand: Stand) -> None:
    """A memory created, changed and deleted in a single append leaves only its entries."""
    owner = await stand.sign_up()
    memory = forge.new_id()
    first, second = owner.memory(memory), owner.memory(memory, 2)
    leaves = [
        owner.entry("put", memory, 1, forge.digest_of(first)),
        owner.entry("put", memory, 2, forge.digest_of(second)),
        owner.entry("delete", memory, 3, forge.digest_of(second)),
    ]
    append = owner.append(*leaves, records=[list(second), list(first)])
    assert (await stand.append(owner, append)).status_code == 200
    _, _, items = await stand.sync(owner)
    assert [item[1] for item in items[3:]] == [None, None, None]
    usage = (await stand.get("/accounts/me", owner.token)).json()["usage"]
    assert (usage["memories"], usage["bytes"]) == (0, 0)


async def test_a_deletion_forgets_the_ciphertext(stand: Stand) -> None:
    """After a deletion no version's record is kept, and nothing of the memory can follow."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    second = owner.memory(memory, 2)
    await stand.append(owner, owner.put(second))
    gone = owner.append(owner.entry("delete", memory, 3, forge.digest_of(second)))
    assert (await stand.append(owner, gone)).status_code == 200
    answer = await stand.get(f"/memory-blobs/{memory}/versions", owner.token)
    assert [row[0] for row in msgspec.msgpack.decode(answer.content)] == [None, None, None]
    assert code(await stand.get(f"/memory-blobs/{memory}", owner.token)) == (404, "not-found")
    after = owner.put(owner.memory(memory, 4))
    assert code(await stand.append(owner, after)) == (409, "conflict")
    assert (await stand.get("/tags", owner.token)).json() == []


async def test_versions_that_do_not_fit_are_conflicts(stand: Stand) -> None:
    """A version skipped, repeated, or of a memory that does not exist changes nothing."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    stranger = forge.new_id()
    record = owner.memory(memory)
    wrong = {
        "repeated": owner.put(record),
        "skipped": owner.put(owner.memory(memory, 3)),
        "of nothing": owner.put(owner.memory(stranger, 2)),
        "deletion of nothing": owner.append(owner.entry("delete", stranger, 1, bytes(32))),
        "deletion of another digest": owner.append(owner.entry("delete", memory, 2, bytes(32))),
        "acceptance of what is not pending": owner.append(
            owner.entry("accept", memory, 1, forge.digest_of(record))
        ),
        "acceptance of a version to come": owner.append(
            owner.entry("accept", memory, 7, forge.digest_of(record))
        ),
        "rejection of nothing": owner.append(owner.entry("reject", stranger, 1, bytes(32))),
    }
    for name, append in wrong.items():
        assert code(await stand.append(owner, append)) == (409, "conflict"), name
    answer = await stand.append(owner, wrong["skipped"])
    assert answer.json()["current"]["version"] == 1
    assert (await stand.sync(owner))[0] == 4


async def test_only_entries_of_memories_go_to_the_log(stand: Stand) -> None:
    """Grants and keyslots change with their own calls, never by a bare entry."""
    owner = await stand.sign_up()
    for kind in ("account", "keyslot", "keyslot-remove", "rotate", "grant", "pause", "revoke"):
        append = owner.append(owner.entry(kind, forge.new_id(), 1, bytes(32)))
        assert code(await stand.append(owner, append)) == (422, "invalid-input")


async def test_the_creating_calls_only_create(stand: Stand) -> None:
    """A next version, or two records for one, is not a creation."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    next_version = owner.put(owner.memory(memory, 2))
    two = owner.put(owner.memory(), owner.memory())
    both = owner.put(owner.memory(), owner.memory(memory, 2))
    for path, append in (
        ("/memory-blobs", next_version),
        ("/memory-blobs/batch", next_version),
        ("/memory-blobs", two),
        ("/memory-blobs", both),
        ("/memory-blobs/batch", both),
        ("/memory-blobs", owner.append()),
    ):
        assert code(await stand.append(owner, append, path)) == (422, "invalid-input")


async def test_a_batch_of_more_than_a_thousand_is_too_large(sqlite_stand: Stand) -> None:
    """The limit on records is kept before anything is parsed."""
    owner = await sqlite_stand.sign_up()
    append = owner.append()
    append["records"] = [[b"", b"", b"", b""]] * 1_001
    assert code(await sqlite_stand.append(owner, append)) == (413, "too-large")
