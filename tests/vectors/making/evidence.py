"""Files of evidence."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead, parse_head
from coffret_vault.formats.entry import ENTRY
from coffret_vault.formats.succession import SUCCESSION, Succession
from coffret_vault.keyring import Identity
from coffret_vault.log import evidence
from coffret_vault.log.evidence import Subject
from coffret_vault.log.judging import verify_evidence
from coffret_vault.log.lineage import Step
from coffret_vault.log.tree import Frontier, inclusion_proof, leaf_hash, root_of
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from vectors.making.book import Book, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_KEYS,
    CARD,
    ENTRY_SAMPLE,
    ORIGIN,
    OWNER_KEYS,
    UPDATED,
    identifier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_CARD = ACCOUNT_CARD.serialize(CARD)
_SUBJECT = Subject(ORIGIN, _CARD, sign_statement(OWNER_KEYS.signing, "account", _CARD))


def _leaves(size: int, branch: str = "") -> list[bytes]:
    return [steady(f"evidence {at} {branch}", 40) for at in range(size)]


def _hashes(size: int, branch: str = "") -> list[bytes]:
    return [leaf_hash(leaf) for leaf in _leaves(size, branch)]


def _head(size: int, branch: str = "", **changes: Any) -> SignedHead:
    key = changes.pop("key", OWNER_KEYS.signing)
    values: dict[str, Any] = {
        "account_id": ACCOUNT_ID,
        "size": size,
        "root": root_of(_hashes(size, branch)),
        "prev": NO_HEAD,
        "time": UPDATED,
    }
    return parse_head(sign_head(key, Head(**(values | changes))))


def _fork(first: int, second: int, branch: str = "other") -> bytes:
    hashes, held, shown = _hashes(second, branch), _head(first), _head(second, branch)
    if first == second:
        return evidence.fork(_SUBJECT, held, shown)
    return evidence.fork(_SUBJECT, held, shown, hashes[first], inclusion_proof(hashes, first))


def _altered(size: int, shown: SignedHead, leaves: list[bytes], branch: str = "") -> bytes:
    frontier = Frontier()
    for leaf in _leaves(size, branch):
        frontier.append(leaf)
    return evidence.altered(_SUBJECT, _head(size), frontier, shown, leaves)


def _true() -> Iterator[tuple[str, bytes]]:
    """What shows what it says."""
    for first, second in ((1, 2), (3, 3), (3, 7), (4, 5), (4, 8), (6, 13), (8, 9)):
        yield f"a fork, {first} and {second}", _fork(first, second)
    yield (
        "two heads over one log",
        evidence.two_heads(_SUBJECT, _head(3), _head(3, time=UPDATED + 1)),
    )
    yield (
        "two heads with another prev",
        evidence.two_heads(_SUBJECT, _head(3), _head(3, prev=bytes([1] * 32))),
    )
    yield "no proof came", evidence.unlinked(_SUBJECT, _head(3), _head(5))
    yield "an older head", evidence.rolled_back(_SUBJECT, _head(5), 5, _head(3), 3)
    yield "an older head, as many entries", evidence.rolled_back(_SUBJECT, _head(5), 6, _head(3), 6)
    yield "what apps wrote is gone", evidence.rolled_back(_SUBJECT, _head(5), 7, _head(5), 5)
    yield "another entry", _altered(5, _head(7), [_leaves(7)[5], b"other"])
    yield "entries of another log", _altered(5, _head(7, "other"), _leaves(7)[5:])
    yield (
        "an owner's entry behind the head",
        _altered(5, _head(7), [*_leaves(7)[5:], ENTRY.serialize(ENTRY_SAMPLE)]),
    )
    yield "no entry behind the head", _altered(5, _head(5), [b"no leaf"])


def _stepped(*keys: Identity, skip: int = 0, again: int = 0, forge: bool = False) -> Subject:
    """A subject of which the keys were changed, from the first of these to the last.

    Args:
        keys: in turn.
        skip: leave out this step of the chain.
        again: have this one name the generation of the one before.
        forge: have the newest keys sign for those before.
    """
    cards = [
        ACCOUNT_CARD.serialize(
            msgspec.structs.replace(
                CARD, signing_public=key.signing.public, sealing_public=key.sealing.public
            )
        )
        for key in keys
    ]
    steps = []
    for at, (before, after) in enumerate(pairwise(cards)):
        says = Succession(
            ACCOUNT_ID,
            2 + at - (again == at > 0),
            sha256(before).digest(),
            sha256(after).digest(),
            sha256(b"identity").digest(),
            UPDATED,
        )
        message = SUCCESSION.serialize(says)
        signer = keys[-1] if forge else keys[at]
        signature = sign_statement(signer.signing, "succession", message)
        steps.append(Step(message, signature, before))
    kept = tuple(step for at, step in enumerate(steps) if not (skip and at == skip))
    signed = sign_statement(keys[-1].signing, "account", cards[-1])
    return Subject(ORIGIN, cards[-1], signed, kept)


_NEXT = Identity(SigningKey(SecretBytes(steady("next", 32))), OWNER_KEYS.sealing)
_LAST = Identity(SigningKey(SecretBytes(steady("last", 32))), OWNER_KEYS.sealing)
_CHAIN = OWNER_KEYS, _NEXT, _LAST


def _across(subject: Subject, held: Identity, shown: Identity) -> bytes:
    """A fork of which each head is by one of the owner's keys."""
    hashes = _hashes(7, "other")
    heads = _head(4, key=held.signing), _head(7, "other", key=shown.signing)
    return evidence.fork(subject, *heads, hashes[4], inclusion_proof(hashes, 4))


def _across_true() -> Iterator[tuple[str, bytes]]:
    """What shows what it says, though the keys were changed."""
    yield "a fork across a key change", _across(_stepped(*_CHAIN[:2]), OWNER_KEYS, _NEXT)
    yield "a fork across two key changes", _across(_stepped(*_CHAIN), OWNER_KEYS, _LAST)
    yield "both heads by the oldest keys", _across(_stepped(*_CHAIN), OWNER_KEYS, OWNER_KEYS)
    yield "the shown head by the older keys", _across(_stepped(*_CHAIN[:2]), _NEXT, OWNER_KEYS)
    yield (
        "a log of before a key change",
        evidence.rolled_back(_stepped(*_CHAIN[:2]), _head(5, key=_NEXT.signing), 5, _head(3), 3),
    )


def _across_untrue() -> Iterator[tuple[str, bytes]]:
    """Key changes that do not lead to the card, or that no head is older than."""
    yield "a step is missing", _across(_stepped(*_CHAIN, skip=1), OWNER_KEYS, _LAST)
    yield "a generation twice", _across(_stepped(*_CHAIN, again=1), OWNER_KEYS, _LAST)
    yield "no head by the oldest keys", _across(_stepped(*_CHAIN), _NEXT, _LAST)
    one = _stepped(*_CHAIN[:2])
    turned = Subject(one.origin, one.card, one.card_signature, one.steps * 2)
    yield "a step twice", _across(turned, OWNER_KEYS, _NEXT)


def _untrue() -> Iterator[tuple[str, bytes]]:
    """What is signed and shows nothing."""
    yield "a log and its own continuation", _fork(4, 7, "")
    yield "a log and its own continuation, a power of two", _fork(4, 5, "")
    yield "one head twice", _fork(3, 3, "")
    yield (
        "the longer one first",
        evidence.fork(
            _SUBJECT, _head(7), _head(4, "other"), _hashes(7)[4], inclusion_proof(_hashes(7), 4)
        ),
    )
    proof = inclusion_proof(_hashes(7, "other"), 4)
    heads, leaf = (_head(4), _head(7, "other")), _hashes(7, "other")[4]
    yield "another leaf", evidence.fork(_SUBJECT, *heads, bytes(32), proof)
    yield "a part too few", evidence.fork(_SUBJECT, *heads, leaf, proof[:-1])
    yield "a part too many", evidence.fork(_SUBJECT, *heads, leaf, [*proof, bytes(32)])
    yield (
        "one size, with a proof",
        evidence.fork(_SUBJECT, _head(3), _head(3, "other"), leaf, proof),
    )
    yield (
        "an empty log",
        evidence.fork(_SUBJECT, _head(0), _head(3), _hashes(3)[0], inclusion_proof(_hashes(3), 0)),
    )
    yield "two heads, the same", evidence.two_heads(_SUBJECT, _head(3), _head(3))
    yield "two heads over two logs", evidence.two_heads(_SUBJECT, _head(3), _head(3, "other"))
    yield "no proof, the other way round", evidence.unlinked(_SUBJECT, _head(5), _head(3))
    yield "a log that grew", evidence.rolled_back(_SUBJECT, _head(3), 3, _head(5), 5)
    yield "a log that stayed", evidence.rolled_back(_SUBJECT, _head(3), 4, _head(3), 4)
    yield "a log below its head", evidence.rolled_back(_SUBJECT, _head(5), 5, _head(3), 2)
    yield "a past below its head", evidence.rolled_back(_SUBJECT, _head(5), 4, _head(3), 3)
    yield "entries that fit", _altered(5, _head(7), _leaves(7)[5:])
    yield "entries that end before the head", _altered(5, _head(7), [b"other"])
    yield "another frontier", _altered(5, _head(7), _leaves(7)[5:], "other")
    elsewhere = _head(3, "other", account_id=identifier("other account"))
    yield "a head of another account", evidence.fork(_SUBJECT, _head(3), elsewhere)


def _malformed(good: bytes) -> Iterator[tuple[str, str]]:
    text, whole = good.decode("ascii"), json.loads(good)
    yield "nothing", ""
    yield "with spaces", json.dumps(whole, sort_keys=True) + "\n"
    yield "without the newline", text[:-1]
    yield "with two newlines", text + "\n"
    yield "a field twice", text.replace("{", '{"card":"",', 1)
    yield "not ASCII", text.replace("\\u2014", "\u2014")
    yield "a list", "[]\n"
    stepped = json.loads(_across(_stepped(*_CHAIN[:2]), OWNER_KEYS, _NEXT))
    for name, value in (
        ("no step at all", []),
        ("steps that are no list", {}),
        ("a step that is none", [""]),
        ("a step without its card", [{"signature": "", "succession": ""}]),
        ("a step with more", [stepped["successions"][0] | {"zeal": ""}]),
        ("a step with a card that is none", [stepped["successions"][0] | {"card": "AAAA"}]),
        ("a step that says nothing", [stepped["successions"][0] | {"succession": ""}]),
    ):
        yield name, evidence._canonical(stepped | {"successions": value}).decode("ascii")
    unsigned = stepped | {"card_signature": "A" * 86 + "=="}
    step = stepped["successions"][0]
    for name, changes in (
        ("base64 with a line break in a step, under a wrong signature", {"signature": "AA==\n"}),
        ("base64 in another form in a step, under a wrong signature", {"succession": "AB=="}),
    ):
        both = unsigned | {"successions": [step | changes]}
        yield name, evidence._canonical(both).decode("ascii")
    both = whole | {"card_signature": "A" * 86 + "==", "leaf": "AB=="}
    yield "a leaf in another form, under a wrong signature", evidence._canonical(both).decode()
    changed: tuple[tuple[str, dict[str, Any]], ...] = (
        ("an unknown field", {"zeal": ""}),
        ("another format", {"format": "coffret/v2/evidence"}),
        ("an unknown kind", {"kind": "proof"}),
        ("no origin", {"origin": ""}),
        ("an origin that is too long", {"origin": "a" * 301}),
        ("an origin with a line break", {"origin": "a\n"}),
        ("a number for a text", {"card": 1}),
        ("base64 with a line break", {"card": whole["card"] + "\n"}),
        ("a leaf of 31 bytes", {"leaf": "A" * 42 + "=="}),
        ("a part of 33 bytes", {"proof": ["A" * 44]}),
        ("a text for a list", {"proof": ""}),
        ("a head cut short", {"held": whole["held"][:-1]}),
        ("a card that is none", {"card": "AAAA"}),
    )
    for name, changes in changed:
        yield name, evidence._canonical(whole | changes).decode("ascii")


def evidence_book() -> Book:
    """What is evidence, and what is not."""
    book = Book("evidence", "5-log", "Files of evidence: what they show, with public keys alone.")
    for name, data in (*_true(), *_across_true()):
        found = verify_evidence(data)
        book.accept(
            name,
            "evidence",
            {"file": data.decode("ascii")},
            kind=found.verdict.kind,
            proven=found.verdict.proven,
            username=CARD.username,
            held=found.held.size,
            shown=found.shown.size,
        )
    for name, data in (*_untrue(), *_across_untrue()):
        book.refuse(name, "evidence", {"file": data.decode("ascii")}, "untrustworthy")
    good = _fork(4, 7)
    for name, text in _malformed(good):
        book.refuse(name, "evidence", {"file": text}, "malformed")
    stranger = evidence.fork(_SUBJECT, _head(3), _head(3, "other", key=APP_KEYS.signing))
    unsigned = Subject(ORIGIN, _CARD, bytes(64))
    for name, data in (
        ("a head by another key", stranger),
        ("a head by a key between", _across(_stepped(*_CHAIN[:2]), OWNER_KEYS, _LAST)),
        (
            "a step that the keys before did not sign",
            _across(_stepped(*_CHAIN[:2], forge=True), OWNER_KEYS, _NEXT),
        ),
        ("a card that nobody signed", evidence.fork(unsigned, _head(3), _head(3, "other"))),
    ):
        book.refuse(name, "evidence", {"file": data.decode("ascii")}, "bad-signature")
    return book
