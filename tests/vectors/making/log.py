"""Leaves, the Merkle tree and heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats.author import Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head, parse_head
from coffret_vault.formats.entry import ENTRY
from coffret_vault.formats.layout import id_text
from coffret_vault.log.tree import Frontier
from vectors.making.book import Book, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
    ENTRY_SAMPLE,
    OWNER_KEYS,
    UPDATED,
    identifier,
    show,
)
from vectors.verifier import tree as definitions

if TYPE_CHECKING:
    from collections.abc import Iterator


def leaf_book() -> Book:
    """Leaves by the owner and by an app."""
    book = Book("leaf", "5-log", "Leaves: an owner's entry alone, an app's with its signature.")
    owner = ENTRY.serialize(ENTRY_SAMPLE)
    by_app = msgspec.structs.replace(ENTRY_SAMPLE, author=Author(APP_ID))
    app = ENTRY.serialize(by_app)
    signature = sign_statement(APP_KEYS.signing, "app-entry", app)
    shown = show(ENTRY_SAMPLE) | {"signature": ""}
    book.accept("by the owner", "leaf", {"bytes": owner.hex()}, **shown)
    shown = show(by_app) | {"signature": signature.hex()}
    book.accept("by an app", "leaf", {"bytes": (app + signature).hex()}, **shown)
    for name, data, outcome in (
        ("by the owner, with a signature", owner + signature, "malformed"),
        ("by an app, without", app, "malformed"),
        ("by an app, a byte short", (app + signature)[:-1], "malformed"),
        ("by an app, a byte long", app + signature + b"\0", "malformed"),
        ("by an app, two signatures", app + signature * 2, "malformed"),
        ("nothing", b"", "malformed"),
        ("a signature alone", signature, "malformed"),
        ("another suite", owner.replace(b"\1", b"\2", 1), "malformed"),
        ("suite 2", _suite2(owner), "unknown-suite"),
        ("suite 2, by an app", _suite2(app + signature), "unknown-suite"),
    ):
        book.refuse(name, "leaf", {"bytes": data.hex()}, outcome)
    return book


def _suite2(entry: bytes) -> bytes:
    at = 8 + len(b"coffret/v1/log-entry") + 16
    return entry[:at] + b"\2" + entry[at + 1 :]


def _leaves(size: int) -> list[bytes]:
    return [steady(f"leaf {n}", n * 7 % 40) for n in range(size)]


def _root(size: int) -> bytes:
    frontier = Frontier()
    for leaf in _leaves(size):
        frontier.append(leaf)
    return frontier.root()


def tree_book() -> Book:
    """Roots and proofs."""
    book = Book("tree", "5-log", "Roots, inclusion and consistency, after RFC 6962.")
    for size in (*range(10), 16, 33):
        leaves = [leaf.hex() for leaf in _leaves(size)]
        book.accept(f"root of {size}", "tree-root", {"leaves": leaves}, root=_root(size).hex())
    for index, size in ((0, 1), (0, 2), (1, 2), (2, 3), (4, 7), (6, 7), (0, 8), (7, 8), (10, 13)):
        _inclusion(book, index, size)
    for size, indexes in (
        (1, {0}),
        (2, {1}),
        (7, set()),
        (7, {0, 6}),
        (8, {3, 4}),
        (13, {2, 7, 12}),
    ):
        _many_leaves(book, size, indexes)
    _many_leaves(book, 5, set(range(5)))
    for first, second in ((0, 0), (0, 5), (5, 5), (1, 2), (2, 3), (3, 7), (4, 7), (4, 8), (6, 13)):
        _consistency(book, first, second)
    return book


def _inclusion(book: Book, index: int, size: int) -> None:
    leaves = _leaves(size)
    proof = [part.hex() for part in definitions.inclusion_proof(index, leaves)]
    good = {
        "leaf": leaves[index].hex(),
        "index": index,
        "size": size,
        "proof": proof,
        "root": _root(size).hex(),
    }
    name = f"{index} of {size}"
    book.accept(name, "inclusion", good)
    for what, changes in (
        ("another leaf", {"leaf": "00"}),
        ("another root", {"root": bytes(32).hex()}),
        ("a part too many", {"proof": [*proof, bytes(32).hex()]}),
        ("a part too few", {"proof": proof[:-1]} if proof else {"size": 2}),
        ("an index past the end", {"index": size}),
        ("another index", {"index": (index + 1) % size} if size > 1 else {"index": 1}),
        ("parts the other way round", {"proof": proof[::-1]} if len(proof) > 1 else {"size": 5}),
    ):
        book.refuse(f"{name}, {what}", "inclusion", good | changes, "untrustworthy")


def _many_leaves(book: Book, size: int, indexes: set[int]) -> None:
    leaves = _leaves(size)
    nodes = [part.hex() for part in definitions.many_proof(indexes, leaves)]
    given = [[index, leaves[index].hex()] for index in sorted(indexes)]
    good = {"leaves": given, "size": size, "nodes": nodes, "root": _root(size).hex()}
    name = f"{sorted(indexes)} of {size}"
    book.accept(name, "many-leaves", good)
    other = bytes(32).hex()
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("another root", {"root": other}),
        ("a part too many", {"nodes": [*nodes, other]}),
        ("an index past the end", {"leaves": [*given, [size, "00"]]}),
    ]
    if nodes:
        wrong.append(("a part too few", {"nodes": nodes[:-1]}))
        wrong.append(("another part", {"nodes": [other, *nodes[1:]]}))
    if given:
        wrong.append(("another leaf", {"leaves": [[given[0][0], "00"], *given[1:]]}))
        wrong.append(("a leaf too few", {"leaves": given[1:]}))
    for what, changes in wrong:
        book.refuse(f"{name}, {what}", "many-leaves", good | changes, "untrustworthy")


def _consistency(book: Book, first: int, second: int) -> None:
    proof = [part.hex() for part in definitions.consistency_proof(first, _leaves(second))]
    good = {
        "first": first,
        "first_root": _root(first).hex(),
        "second": second,
        "second_root": _root(second).hex(),
        "proof": proof,
    }
    name = f"{first} to {second}"
    book.accept(name, "consistency", good)
    other = bytes(32).hex()
    for what, changes in (
        ("another first root", {"first_root": other}),
        ("a part too many", {"proof": [*proof, other]}),
        ("the other way", {"first": second + 1}),
        *((("another second root", {"second_root": other}),) if first else ()),
        *((("a part too few", {"proof": proof[:-1]}),) if proof else ()),
        *((("another part", {"proof": [*proof[:-1], other]}),) if proof else ()),
    ):
        book.refuse(f"{name}, {what}", "consistency", good | changes, "untrustworthy")


def head_book() -> Book:
    """Signed heads."""
    book = Book("head", "5-log", "Heads: C2SP checkpoints in signed notes, in exactly one form.")
    public = OWNER_KEYS.signing.public.hex()
    first = Head(ACCOUNT_ID, 1, _root(1), NO_HEAD, UPDATED)
    notes = [sign_head(OWNER_KEYS.signing, first)]
    second = Head(ACCOUNT_ID, 9, _root(9), parse_head(notes[0]).digest, UPDATED + 1)
    notes.append(sign_head(OWNER_KEYS.signing, second))
    for name, head, note in zip(("first", "second"), (first, second), notes, strict=True):
        digest = parse_head(note).digest.hex()
        book.accept(name, "head", {"note": note, "public": public}, **show(head), digest=digest)
    for name, note in _malformed(notes[1]):
        book.refuse(name, "head", {"note": note, "public": public}, "malformed")
    stranger = sign_head(APP_KEYS.signing, second)
    foreign = {"note": stranger, "public": public}
    book.refuse("by another key", "head", foreign, "bad-signature")
    for name, old, new in (
        ("another size", "\n9\n", "\n8\n"),
        ("another time", f"time {UPDATED + 1}", f"time {UPDATED}"),
        ("another signature", notes[1][-20:-8], notes[0][-20:-8]),
        ("another key id", notes[1].split()[-1][:5], "AAAAA"),
    ):
        changed = {"note": notes[1].replace(old, new), "public": public}
        book.refuse(name, "head", changed, "bad-signature")
    return book


def _malformed(note: str) -> Iterator[tuple[str, str]]:
    yield "nothing", ""
    yield "without the last newline", note[:-1]
    yield "with another newline", note + "\n"
    yield "CR LF", note.replace("\n", "\r\n")
    yield "a leading zero", note.replace("\n9\n", "\n09\n")
    yield "a sign", note.replace("\n9\n", "\n+9\n")
    yield "a number of 20 digits", note.replace("\n9\n", f"\n{'9' * 20}\n")
    yield "other digits", note.replace("\n9\n", "\n\u0669\n")
    yield "without prev", "".join(_kept(note))
    yield "an upper-case id", _line(note, 0, note.partition("\n")[0].upper())
    yield "another name below", _below(note)
    yield "a second signature", note + note.splitlines(keepends=True)[-1]
    yield "a hyphen for the dash", note.replace("\u2014", "-")
    yield "without the blank line", note.replace("\n\n", "\n")
    yield "an extension line", note.replace("\n\n", "\nmore\n\n")
    yield "a root of 31 bytes", _line(note, 2, "A" * 42 + "==")
    yield "spare bits in the root", _line(note, 2, "A" * 42 + "B=")
    yield "spare bits in prev", _line(note, 3, "prev " + "A" * 42 + "B=")
    yield "spare bits in the signature", note[:-3] + chr(ord(note[-3]) + 1) + note[-2:]
    yield "URL-safe base64", _line(note, 2, "_" * 43 + "=")
    yield "not base64", _line(note, 2, "*" * 43 + "=")
    yield "time in words", _line(note, 4, "time now")


def _kept(note: str) -> list[str]:
    return [line for line in note.splitlines(keepends=True) if "prev" not in line]


def _line(note: str, number: int, text: str) -> str:
    lines = note.split("\n")
    lines[number] = text
    return "\n".join(lines)


def _below(note: str) -> str:
    """The name beside the signature is that of another vault."""
    mine, other = id_text(ACCOUNT_ID), id_text(identifier("other account"))
    text, dash, rest = note.partition("\u2014")
    return text + dash + rest.replace(mine, other)
