"""Appends: what an owner's change must be, and what it does."""

import asyncio
import uuid
from typing import Any

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
    """An append of nothing but a head over the log as it stands is accepted."""
    owner = await stand.sign_up()
    append = owner.append()
    short = {"base": append["base"], "head": append["head"]}
    answer = await stand.send("POST", "/log", short, owner.token)
    assert msgspec.msgpack.decode(answer.content) == {"size": 3}


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


def _flip_head(append: dict[str, Any], _: forge.Owner) -> None:
    text = append["head"]
    append["head"] = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]


def _other_root(append: dict[str, Any], owner: forge.Owner) -> None:
    tree = owner.tree.copy()
    tree.add(b"something else")
    append["head"] = owner.sign_head(tree)


def _other_key(append: dict[str, Any], owner: forge.Owner) -> None:
    other = forge.Owner()
    other.account = owner.account
    tree = owner.tree.copy()
    tree.add(append["leaves"][0])
    append["head"] = other.sign_head(tree)


def _resign(append: dict[str, Any], owner: forge.Owner, *leaves: bytes) -> None:
    """Replace the leaves, with a head that fits them."""
    append.update(owner.append(*leaves, records=append["records"]))


def _leaf(append: dict[str, Any], owner: forge.Owner, **changes: Any) -> None:
    memory, version = forge.identity_of(append["records"][0][0])
    digest = forge.digest_of(tuple(append["records"][0]))
    values: dict[str, Any] = {
        "account": owner.account,
        "kind": "put",
        "subject": memory,
        "version": version,
    }
    _resign(append, owner, forge.entry(**(values | {"digest": digest} | changes)))


def _record(append: dict[str, Any], owner: forge.Owner, index: int, value: bytes) -> None:
    """Replace a part of the record, and resign so that nothing else is wrong."""
    record = list(append["records"][0])
    record[index] = value
    append["records"] = [record]
    memory, version = forge.identity_of(record[0] if index else owner.memory()[0])
    leaf = owner.entry("put", memory, version, forge.digest_of(tuple(record)))
    _resign(append, owner, leaf)


WRONG: dict[str, tuple[Any, tuple[int, str]]] = {
    "head signature": (_flip_head, (422, "bad-signature")),
    "head of another root": (_other_root, (422, "invalid-input")),
    "head of another key": (_other_key, (422, "bad-signature")),
    "head of another size": (
        lambda a, o: a.update(head=o.head or o.sign_head(o.tree)),
        (422, "invalid-input"),
    ),
    "head text": (lambda a, _: a.update(head=a["head"] + "\n"), (400, "malformed")),
    "base below zero": (lambda a, _: a.update(base=-1), (422, "invalid-input")),
    "leaf of another account": (
        lambda a, o: _leaf(a, o, account=forge.new_id()),
        (422, "invalid-input"),
    ),
    "leaf by an app": (lambda a, o: _leaf(a, o, app=forge.new_id()), (422, "invalid-input")),
    "leaf of an unknown kind": (lambda a, o: _leaf(a, o, kind="purge"), (400, "malformed")),
    "leaf of another digest": (lambda a, o: _leaf(a, o, digest=bytes(32)), (422, "invalid-input")),
    "leaf of a short digest": (lambda a, o: _leaf(a, o, digest=bytes(31)), (400, "malformed")),
    "leaf of another version": (lambda a, o: _leaf(a, o, version=2), (422, "invalid-input")),
    "leaf of another memory": (
        lambda a, o: _leaf(a, o, subject=forge.new_id()),
        (422, "invalid-input"),
    ),
    "leaf with a byte more": (
        lambda a, o: _resign(a, o, a["leaves"][0] + b"\0"),
        (400, "malformed"),
    ),
    "leaf that is empty": (lambda a, o: _resign(a, o, b""), (400, "malformed")),
    "leaf twice": (lambda a, o: _resign(a, o, *a["leaves"] * 2), (422, "invalid-input")),
    "no record": (lambda a, _: a.update(records=[]), (422, "invalid-input")),
    "record twice": (lambda a, _: a.update(records=a["records"] * 2), (422, "invalid-input")),
    "record without a leaf": (
        lambda a, o: a["records"].append(list(o.memory())),
        (422, "invalid-input"),
    ),
    "record of three parts": (
        lambda a, _: a.update(records=[a["records"][0][:3]]),
        (400, "malformed"),
    ),
    "envelope too short": (lambda a, o: _record(a, o, 1, b"\1" * 80), (400, "malformed")),
    "envelope not padded": (lambda a, o: _record(a, o, 1, forge.sealed(300)), (400, "malformed")),
    "envelope of text": (
        lambda a, o: _record(a, o, 1, b"Dear diary, " * 40),
        (422, "unknown-suite"),
    ),
    "envelope of another suite": (
        lambda a, o: _record(a, o, 1, b"\2" + forge.sealed()[1:]),
        (422, "unknown-suite"),
    ),
    "envelope too large": (
        lambda a, o: _record(a, o, 1, b"\1" + bytes(2_228_224)),
        (413, "too-large"),
    ),
    "kek of a grant": (
        lambda a, o: _record(a, o, 2, b"\1" + bytes(16)),
        (422, "invalid-input"),
    ),
    "kek that is none": (lambda a, o: _record(a, o, 2, b""), (400, "malformed")),
    "kek of generation zero": (lambda a, o: _record(a, o, 2, bytes(9)), (400, "malformed")),
    "wrap too short": (lambda a, o: _record(a, o, 3, forge.wrapped()[1:]), (400, "malformed")),
    "wrap of another suite": (
        lambda a, o: _record(a, o, 3, b"\2" + bytes(112)),
        (422, "unknown-suite"),
    ),
    "unknown field": (lambda a, _: a.update(force=True), (400, "malformed")),
    "missing field": (lambda a, _: a.pop("head"), (400, "malformed")),
    "wrap for no grant": (
        lambda a, _: a.update(wraps=[[forge.new_id(), forge.new_id(), 1, forge.wrapped()]]),
        (422, "invalid-input"),
    ),
    "accept without an entry": (
        lambda a, _: a.update(accepts=[[forge.new_id(), 1, b"\0" + forge.u64(1), forge.wrapped()]]),
        (422, "invalid-input"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_append_is_refused_whole(sqlite_stand: Stand, name: str) -> None:
    """Each thing wrong with an append has its code, and leaves the log where it was."""
    owner = await sqlite_stand.sign_up()
    append = owner.put(owner.memory())
    spoil, expected = WRONG[name]
    spoil(append, owner)
    answer = await sqlite_stand.send("POST", "/log", append, owner.token)
    assert code(answer) == expected
    assert (await sqlite_stand.sync(owner))[0] == 3


WRONG_HEADERS: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "sealed with a title": ({"visibility": 1, "importance": None, "tags": ()}, (400, "malformed")),
    "sealed with tags": ({"visibility": 1, "importance": None, "title": ""}, (400, "malformed")),
    "visibility of two": ({"visibility": 2}, (400, "malformed")),
    "title too long": ({"title": "x" * 513}, (400, "malformed")),
    "title not in NFC": ({"title": "e\u0301"}, (400, "malformed")),
    "title with U+0000": ({"title": "a\0b"}, (400, "malformed")),
    "importance above one": ({"importance": 1_000_001}, (400, "malformed")),
    "an empty tag": ({"tags": ("",)}, (400, "malformed")),
    "a tag too long": ({"tags": ("x" * 65,)}, (400, "malformed")),
    "a control character in a tag": ({"tags": ("a\nb",)}, (400, "malformed")),
    "too many tags": ({"tags": tuple(f"t{n}" for n in range(65))}, (400, "malformed")),
    "updated before created": ({"created": 2, "updated": 1}, (400, "malformed")),
    "key number zero": ({"key_number": 0}, (400, "malformed")),
    "key number two": ({"key_number": 2}, (422, "invalid-input")),
    "a time beyond 63 bits": ({"created": 1, "updated": 2**63}, (400, "malformed")),
    "by an app": ({"app": uuid.UUID(int=7)}, (422, "invalid-input")),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
async def test_a_wrong_header_is_refused(sqlite_stand: Stand, name: str) -> None:
    """Every rule on a header is kept, and the log stays where it was."""
    owner = await sqlite_stand.sign_up()
    fields, expected = WRONG_HEADERS[name]
    answer = await sqlite_stand.append(owner, owner.put(owner.memory(**fields)))
    assert code(answer) == expected
    assert (await sqlite_stand.sync(owner))[0] == 3


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
    for path, append in (
        ("/memory-blobs", next_version),
        ("/memory-blobs/batch", next_version),
        ("/memory-blobs", two),
        ("/memory-blobs", owner.append()),
    ):
        assert code(await stand.append(owner, append, path)) == (422, "invalid-input")


async def test_a_batch_of_more_than_a_thousand_is_too_large(sqlite_stand: Stand) -> None:
    """The limit on records is kept before anything is parsed."""
    owner = await sqlite_stand.sign_up()
    append = owner.append()
    append["records"] = [[b"", b"", b"", b""]] * 1_001
    assert code(await sqlite_stand.append(owner, append)) == (413, "too-large")


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not MessagePack": b"\xc1",
    "a number": b"\x07",
    "cut off": b"\x81\xa4base",
    "a key twice": b"\x83\xa4base\x00\xa4base\x01\xa4head\xa1x",
    "lists without end": b"\x91" * 100_000,
    "a list of four thousand million": b"\x81\xa6leaves\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_not_an_append_is_malformed(sqlite_stand: Stand, name: str) -> None:
    """No bytes make the server do anything but refuse."""
    owner = await sqlite_stand.sign_up()
    answer = await sqlite_stand.send("POST", "/log", BODIES[name], owner.token)
    assert code(answer) == (400, "malformed")


JSON_BODIES: dict[str, bytes] = {
    "a key twice": b'{"base": 1, "base": 2, "head": ""}',
    "a key twice below": b'{"base": 1, "head": "", "leaves": [{"a": 1, "a": 1}]}',
    "nested deeply": b"[" * 10_000 + b"]" * 10_000,
    "not a number": b'{"base": NaN, "head": ""}',
    "not UTF-8": b'{"base": 1, "head": "\xff"}',
    "cut off": b'{"base": 1',
}


@pytest.mark.parametrize("name", JSON_BODIES)
async def test_json_is_read_strictly_in_both_planes(sqlite_stand: Stand, name: str) -> None:
    """JSON with a key twice, deep nesting or NaN is refused by every call."""
    owner = await sqlite_stand.sign_up()
    for path in ("/log", "/developers"):
        answer = await sqlite_stand.http.post(
            f"/api/v1{path}",
            content=JSON_BODIES[name],
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {owner.token}",
            },
        )
        assert code(answer) == (400, "malformed")


async def test_another_content_type_is_refused(sqlite_stand: Stand) -> None:
    """The data plane takes MessagePack and JSON."""
    owner = await sqlite_stand.sign_up()
    headers = {"Content-Type": "text/plain"}
    answer = await sqlite_stand.send("POST", "/log", b"{}", owner.token, headers=headers)
    assert code(answer) == (400, "malformed")
