"""Reading, changing and listing memories, and reading the log."""

import tracemalloc
import uuid
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from coffret_server.control import listing
from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
LARGE = 1 << 18
MANY = 24


async def change(
    stand: Stand, owner: forge.Owner, method: str, memory: uuid.UUID, append: Any, match: str | None
) -> Any:
    """Send a change of one memory."""
    headers = {} if match is None else {"If-Match": match}
    answer = await stand.send(
        method, f"/memory-blobs/{memory}", append, owner.token, headers=headers
    )
    if answer.is_success:
        owner.commit(append)
    return answer


async def read(stand: Stand, owner: forge.Owner, memory: uuid.UUID, query: str = "") -> Any:
    """One memory, decoded, and its tag."""
    answer = await stand.get(f"/memory-blobs/{memory}{query}", owner.token)
    assert answer.status_code == 200, answer.text
    return msgspec.msgpack.decode(answer.content), answer.headers["etag"]


async def test_a_memory_is_read_with_its_version(stand: Stand) -> None:
    """A memory comes back as it was sent, with its version as ETag; old versions too."""
    owner = await stand.sign_up()
    memory = forge.new_id()
    first, second = owner.memory(memory), owner.memory(memory, 2)
    await stand.append(owner, owner.put(first))
    found, etag = await read(stand, owner, memory)
    assert (found["record"], found["seq"], found["status"], etag) == (
        list(first), 3, "accepted", '"1"',
    )  # fmt: skip
    answer = await change(stand, owner, "PUT", memory, owner.put(second), etag)
    assert answer.status_code == 200
    assert (await read(stand, owner, memory))[0]["record"] == list(second)
    assert (await read(stand, owner, memory, "?version=1"))[0]["record"] == list(first)
    answer = await stand.get(f"/memory-blobs/{memory}?version=3", owner.token)
    assert code(answer) == (404, "not-found")


async def test_changes_need_the_newest_version(stand: Stand) -> None:
    """Without If-Match a change is refused, and on another version than the newest as well."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    append = owner.put(owner.memory(memory, 2))
    refused: dict[str | None, tuple[int, str]] = {None: (428, "precondition-required")}
    refused |= dict.fromkeys(('"2"', '"0"', "*", 'W/"1"', '"x"'), (412, "version-moved"))
    for tag, expected in refused.items():
        assert code(await change(stand, owner, "PUT", memory, append, tag)) == expected
    assert (await change(stand, owner, "PUT", memory, append, '"1"')).status_code == 200
    owner.tree = forge.Tree()  # a repetition of the last append is answered, not judged again
    assert (await change(stand, owner, "PUT", memory, append, '"1"')).status_code == 200


async def test_a_deletion_names_its_memory(stand: Stand) -> None:
    """DELETE takes the deletion of the memory in the path, and nothing else."""
    owner = await stand.sign_up()
    record = owner.memory()
    memory = forge.identity_of(record[0])[0]
    await stand.append(owner, owner.put(record))
    other = await stand.remember(owner)
    gone = owner.append(owner.entry("delete", memory, 2, forge.digest_of(record)))
    put = owner.put(owner.memory(memory, 2))
    for path, append in ((other, gone), (memory, put)):
        answer = await change(stand, owner, "DELETE", path, append, '"1"')
        assert code(answer) == (422, "invalid-input")
    assert (await change(stand, owner, "DELETE", memory, gone, '"1"')).status_code == 200
    answer = await stand.get(f"/memory-blobs/{memory}", owner.token)
    assert code(answer) == (404, "not-found")


async def test_another_owners_memory_does_not_exist(stand: Stand) -> None:
    """Nothing of another account can be read, listed or changed."""
    owner, other = await stand.sign_up(), await stand.sign_up("bob")
    memory = await stand.remember(owner)
    for path in ("", "/versions", "?version=1"):
        answer = await stand.get(f"/memory-blobs/{memory}{path}", other.token)
        assert code(answer) == (404, "not-found")
    answer = await change(stand, other, "PUT", memory, other.put(other.memory(memory, 2)), '"1"')
    assert code(answer) == (404, "not-found")
    assert (await stand.get("/memory-blobs", other.token)).json()["items"] == []


async def test_the_list_shows_the_clear_fields(stand: Stand) -> None:
    """A list has what the header says in the clear, and the size and status."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner, title="Lisbon", importance=250_000, tags=("sea", "travel"))
    sealed = await stand.remember(owner, visibility=1, title="", importance=None, tags=())
    items = (await stand.get("/memory-blobs", owner.token)).json()["items"]
    assert [item["memory_id"] for item in items] == [str(sealed), str(memory)]
    shown = items[1]
    assert shown.pop("size") > 337
    assert shown == {
        "memory_id": str(memory),
        "version": 1,
        "title": "Lisbon",
        "importance": 0.25,
        "tags": ["sea", "travel"],
        "author": None,
        "created": 1_000,
        "updated": 1_000,
        "status": "accepted",
    }
    assert (items[0]["title"], items[0]["importance"], items[0]["tags"]) == ("", None, [])


async def test_the_list_reads_headers_and_no_more(stand: Stand) -> None:
    """A list of large records shows all of the longest header, and reads little beside headers."""
    owner = await stand.sign_up()
    tags = tuple(sorted(f"{number:02}".ljust(64, "x") for number in range(64)))
    append = owner.put(*[owner.memory(title="t" * 512, tags=tags, size=LARGE) for _ in range(MANY)])
    assert (await stand.append(owner, append)).is_success
    assert (await stand.get("/memory-blobs", owner.token)).is_success  # all is imported now
    tracemalloc.start()
    answer = await stand.get("/memory-blobs", owner.token)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    items = answer.json()["items"]
    assert {(item["title"], tuple(item["tags"])) for item in items} == {("t" * 512, tags)}
    assert len(items) == MANY
    assert all(item["size"] > LARGE for item in items)
    assert used < MANY * LARGE / 4


async def test_the_list_filters(stand: Stand) -> None:
    """All tags asked for, at least that importance, following a memory's newest version."""
    owner = await stand.sign_up()
    both = await stand.remember(owner, tags=("a", "b"), importance=900_000)
    only = await stand.remember(owner, tags=("a",), importance=100_000)
    await stand.remember(owner, tags=("b",), importance=None)

    async def ids(query: str) -> list[str]:
        answer = await stand.get(f"/memory-blobs?{query}", owner.token)
        return [item["memory_id"] for item in answer.json()["items"]]

    assert await ids("tags=a") == [str(only), str(both)]
    assert await ids("tags=a&tags=b") == [str(both)]
    assert await ids("importance=0.9") == [str(both)]
    assert await ids("importance=0") == [str(only), str(both)]
    assert await ids("tags=c") == []
    await stand.append(owner, owner.put(owner.memory(only, 2, tags=("c",), importance=1_000_000)))
    assert await ids("tags=c&importance=1") == [str(only)]
    assert await ids("tags=a") == [str(both)]
    tags = (await stand.get("/tags", owner.token)).json()
    assert tags == [
        {"tag": "b", "memories": 2},
        {"tag": "a", "memories": 1},
        {"tag": "c", "memories": 1},
    ]


async def test_the_list_is_paged(stand: Stand) -> None:
    """Pages have every memory once, in order; a made-up cursor is refused."""
    owner = await stand.sign_up()
    records = [owner.memory() for _ in range(25)]
    await stand.append(owner, owner.put(*records))
    seen, cursor = [], ""
    while True:
        page = (await stand.get(f"/memory-blobs?limit=10{cursor}", owner.token)).json()
        seen += [item["memory_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    expected = sorted((str(forge.identity_of(record[0])[0]) for record in records), reverse=True)
    assert seen == expected
    answer = await stand.get("/memory-blobs?cursor=nonsense", owner.token)
    assert code(answer) == (400, "malformed")


@pytest.mark.parametrize("limit", [2, 10])
async def test_a_page_looks_through_so_many_memories(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Where few or none of many are asked for, pages are short, and all of these come to be had."""
    monkeypatch.setattr(listing, "LOOKED_THROUGH", 5)
    owner = await stand.sign_up()
    memories = sorted(forge.new_id() for _ in range(15))
    important = set(memories[:2])
    records = [owner.memory(item, importance=900_000 * (item in important)) for item in memories]
    for record in records:
        assert (await stand.append(owner, owner.put(record))).is_success
    for place in range(6, 9):
        digest = forge.digest_of(records[place])
        gone = owner.append(owner.entry("delete", memories[place], 2, digest))
        assert (await stand.append(owner, gone)).is_success
    pages, cursor = [], ""
    while True:
        path = f"/memory-blobs?importance=0.5&limit={limit}{cursor}"
        page = (await stand.get(path, owner.token)).json()
        pages.append([item["memory_id"] for item in page["items"]])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert pages == [[], [], [str(memories[1]), str(memories[0])]]
    answer = await stand.get("/memory-blobs", owner.token)
    assert len(answer.json()["items"]) == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "importance=2"])
async def test_a_bad_query_is_refused(sqlite_stand: Stand, query: str) -> None:
    """Limits and filters have bounds."""
    owner = await sqlite_stand.sign_up()
    answer = await sqlite_stand.get(f"/memory-blobs?{query}", owner.token)
    assert code(answer) == (422, "invalid-input")


QUERIES = {
    "/sync?limit=5001": (422, "invalid-input"),
    "/sync?limit=0": (422, "invalid-input"),
    "/sync?from=-1": (422, "invalid-input"),
    "/sync?from=99999999999999999999": (422, "invalid-input"),
    "/sync?from=1&from=2": (400, "malformed"),
    "/log?limit=10001": (422, "invalid-input"),
    "/log/proof?index=0": (422, "invalid-input"),
    "/log/proof?index=0&first=1&size=1": (422, "invalid-input"),
    "/log/proof?index=1&size=1": (422, "invalid-input"),
    "/log/proof?index=0&size=4": (422, "invalid-input"),
    "/log/proof?first=2&size=1": (422, "invalid-input"),
    "/memory-blobs/nonsense": (404, "not-found"),
    "/memory-blobs/00000000-0000-0000-0000-00000000000A": (404, "not-found"),
}


@pytest.mark.parametrize("path", QUERIES)
async def test_a_bad_read_is_refused(sqlite_stand: Stand, path: str) -> None:
    """What the data plane cannot answer it refuses."""
    owner = await sqlite_stand.sign_up()
    assert code(await sqlite_stand.get(path, owner.token)) == QUERIES[path]


async def test_the_log_is_read_in_pages(stand: Stand) -> None:
    """Leaves come as they were sent, from any index, up to the limit."""
    owner = await stand.sign_up()
    append = owner.put(*[owner.memory() for _ in range(20)])
    await stand.append(owner, append)
    found = msgspec.msgpack.decode((await stand.get("/log?from=3&limit=5", owner.token)).content)
    assert found == {"size": 23, "head": owner.head, "leaves": append["leaves"][:5]}
    beyond = msgspec.msgpack.decode((await stand.get("/log?from=23", owner.token)).content)
    assert beyond["leaves"] == []


def root_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 §2.1.3.2)."""
    node, at, last = sha256(b"\x00" + leaf).digest(), index, size - 1
    for sibling in path:
        if at & 1 or at == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    return node


async def test_proofs_verify(stand: Stand) -> None:
    """Inclusion proofs lead to the roots of every size asked, across runs of 256 leaves."""
    owner = await stand.sign_up()
    leaves = list(owner.first_append()["leaves"])
    for _ in range(3):
        append = owner.put(*[owner.memory() for _ in range(250)])
        await stand.append(owner, append)
        leaves += append["leaves"]
    leaves[:3] = msgspec.msgpack.decode((await stand.get("/log?limit=3", owner.token)).content)[
        "leaves"
    ]
    for size in (1, 2, 3, 255, 256, 257, 512, 753):
        tree = forge.Tree()
        for leaf in leaves[:size]:
            tree.add(leaf)
        for index in {0, size // 2, size - 1}:
            answer = await stand.get(f"/log/proof?index={index}&size={size}", owner.token)
            path = msgspec.msgpack.decode(answer.content)["proof"]
            assert root_from(leaves[index], index, size, path) == tree.root()


async def test_a_quota_is_kept(tmp_path: Any, clock: Any) -> None:
    """Beyond the quota a memory is refused with 429, and a deletion makes room again."""
    from server.stand import serving  # noqa: PLC0415 - only this test starts its own server

    database = f"sqlite:///{tmp_path / 'coffret.db'}"
    async with serving(database, clock, quota_memories=2) as stand:
        owner = await stand.sign_up()
        record = owner.memory()
        await stand.append(owner, owner.put(record))
        await stand.remember(owner)
        answer = await stand.append(owner, owner.put(owner.memory()))
        assert code(answer) == (429, "quota-exceeded")
        assert "would have 3 memories of 2:" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
        memory = forge.identity_of(record[0])[0]
        gone = owner.append(owner.entry("delete", memory, 2, forge.digest_of(record)))
        assert (await stand.append(owner, gone)).status_code == 200
        assert (await stand.append(owner, owner.put(owner.memory()))).status_code == 200


async def test_a_quota_of_bytes_is_kept(tmp_path: Any, clock: Any) -> None:
    """The size of every version counts."""
    from server.stand import serving  # noqa: PLC0415 - only this test starts its own server

    database = f"sqlite:///{tmp_path / 'coffret.db'}"
    async with serving(database, clock, quota_bytes=5_000) as stand:
        owner = await stand.sign_up()
        memory = await stand.remember(owner, size=2_048)
        answer = await stand.append(owner, owner.put(owner.memory(memory, 2, size=2_560)))
        assert code(answer) == (429, "quota-exceeded")
        usage = (await stand.get("/accounts/me", owner.token)).json()["usage"]
        assert 2_048 < usage["bytes"] < 5_000
