"""Appends, headers and bodies with something wrong in them."""

import copy
import uuid
from base64 import b64decode
from typing import Any

import pytest

from server import forge
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio


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


def _renamed_head(append: dict[str, Any], owner: forge.Owner) -> None:
    """Of another vault, but by the right key under its right id."""
    other = copy.copy(owner)
    other.account = forge.new_id()
    tree = owner.tree.copy()
    tree.add(append["leaves"][0])
    _give_key_id(append, other.sign_head(tree), _key_id(append["head"]))


def _unknown_key_id(append: dict[str, Any], _: forge.Owner) -> None:
    _give_key_id(append, append["head"], bytes(4))


def _key_id(head: str) -> bytes:
    return b64decode(head.rpartition(" ")[2])[:4]


def _give_key_id(append: dict[str, Any], head: str, key_id: bytes) -> None:
    before, _, signed = head.rpartition(" ")
    append["head"] = f"{before} {forge.b64(key_id + b64decode(signed)[4:])}\n"


def _of_another(append: dict[str, Any], owner: forge.Owner) -> None:
    """A record of another account, with an entry of this one that says the same."""
    record = forge.record(forge.header(forge.new_id(), forge.new_id()))
    append.update(owner.put(record))


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
    "head of another vault": (_renamed_head, (422, "invalid-input")),
    "head under another key's id": (_unknown_key_id, (422, "bad-signature")),
    "record of another account": (_of_another, (422, "invalid-input")),
    "wrap of no key": (
        lambda a, _: a.update(wraps=[[forge.new_id(), forge.new_id(), 0, forge.wrapped()]]),
        (400, "malformed"),
    ),
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
    "key number two": ({"key_number": 2}, (400, "malformed")),
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


async def test_a_fresh_key_has_the_number_of_its_version(sqlite_stand: Stand) -> None:
    """A version is under a key that was in use or under one that begins with it."""
    stand = sqlite_stand
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    await stand.append(owner, owner.put(owner.memory(memory, 2)))
    answer = await stand.append(owner, owner.put(owner.memory(memory, 3, key_number=2)))
    assert code(answer) == (422, "invalid-input")
    answer = await stand.append(owner, owner.put(owner.memory(memory, 3, key_number=3)))
    assert answer.is_success
    answer = await stand.append(owner, owner.put(owner.memory(memory, 4, key_number=3)))
    assert answer.is_success


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not MessagePack": b"\xc1",
    "a number": b"\x07",
    "cut off": b"\x81\xa4base",
    "a key twice": b"\x83\xa4base\x00\xa4base\x01\xa4head\xa1x",
    "lists without end": b"\x91" * 100_000,
}
GIANT = b"\x81\xa6leaves\xdd\xff\xff\xff\xff"
"""A list of four thousand million, as it says."""


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_not_an_append_is_malformed(sqlite_stand: Stand, name: str) -> None:
    """No bytes make the server do anything but refuse."""
    owner = await sqlite_stand.sign_up()
    answer = await sqlite_stand.send("POST", "/log", BODIES[name], owner.token)
    assert code(answer) == (400, "malformed")
    answer = await sqlite_stand.send("POST", "/log", GIANT, owner.token)
    assert code(answer) == (413, "too-large")


TWICE, NO_JSON = "a JSON object has a key twice", "the body is not JSON"
JSON_BODIES: dict[str, tuple[bytes, str]] = {
    "a key twice": (b'{"base": 1, "base": 2, "head": ""}', TWICE),
    "a key twice below": (b'{"base": 1, "head": "", "leaves": [{"a": 1, "a": 1}]}', TWICE),
    "nested deeply": (b"[" * 10_000 + b"]" * 10_000, "the JSON is nested too deeply"),
    "nested a little": (b"[" * 17 + b"]" * 17, "the JSON is nested too deeply"),
    "of many parts": (b"[" + b"{}," * 250_000 + b"{}]", "the JSON has too many parts"),
    "not a number": (b'{"base": NaN, "head": ""}', "a JSON number is not finite"),
    "not UTF-8": (b'{"base": 1, "head": "\xff"}', NO_JSON),
    "cut off": (b'{"base": 1', NO_JSON),
}


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", JSON_BODIES)
async def test_json_is_read_strictly_in_both_planes(sqlite_stand: Stand, name: str) -> None:
    """JSON with a key twice, deep nesting, many parts or NaN is refused by every call, for that."""
    owner = await sqlite_stand.sign_up()
    body, why = JSON_BODIES[name]
    for path in ("/log", "/developers"):
        headers = {"Content-Type": "application/json"}
        answer = await sqlite_stand.send("POST", path, body, owner.token, headers=headers)
        assert code(answer) == (400, "malformed")
        assert answer.json()["detail"] == why


async def test_another_content_type_is_refused(sqlite_stand: Stand) -> None:
    """The data plane takes MessagePack and JSON."""
    owner = await sqlite_stand.sign_up()
    headers = {"Content-Type": "text/plain"}
    answer = await sqlite_stand.send("POST", "/log", b"{}", owner.token, headers=headers)
    assert code(answer) == (400, "malformed")
