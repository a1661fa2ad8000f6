"""Audit files: a life of a vault whole, and everything that can be wrong with one."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.author import OWNER, Author
from coffret_vault.formats.checkpoint import NO_HEAD, Head, SignedHead, parse_head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.sharing import CREATE, GRANT, MANIFEST, READ, UPDATE
from coffret_vault.formats.succession import SUCCESSION, Succession
from coffret_vault.keyring import Identity
from coffret_vault.log.audit import AppGrant, Preamble, lines_of, write_audit
from coffret_vault.log.auditing import audit
from coffret_vault.log.lineage import Step
from coffret_vault.log.tree import leaf_hash, root_of
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from harness.flipping import flipped
from vectors import ours_audit
from vectors.making.book import Book, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_ID,
    APP_KEYS,
    CARD,
    GRANT_ID,
    GRANT_SAMPLE,
    MANIFEST_SAMPLE,
    OWNER_KEYS,
    SLOT_ID,
    UPDATED,
    identifier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FIRST, _SECOND, _THIRD = (identifier(f"{name} audited memory") for name in ("a", "b", "c"))
_NEXT = Identity(SigningKey(SecretBytes(steady("next audited", 32))), OWNER_KEYS.sealing)
_CARD_ONE = ACCOUNT_CARD.serialize(CARD)
_CARD_TWO = ACCOUNT_CARD.serialize(
    msgspec.structs.replace(CARD, signing_public=_NEXT.signing.public)
)
_SUCCESSION = SUCCESSION.serialize(
    Succession(
        ACCOUNT_ID,
        2,
        sha256(_CARD_ONE).digest(),
        sha256(_CARD_TWO).digest(),
        steady("identity", 32),
        UPDATED,
    )
)
_MANIFEST = MANIFEST.serialize(MANIFEST_SAMPLE)
_SCOPES = frozenset((READ, CREATE, UPDATE))
_GRANT = GRANT.serialize(msgspec.structs.replace(GRANT_SAMPLE, scopes=_SCOPES))
_ELSEWHERE = identifier("grant to another app")
_APP = Author(APP_ID)


class Said(NamedTuple):
    """An entry in short."""

    kind: str
    subject: bytes
    version: int = 1
    digest: bytes | str = ""
    author: Author = OWNER


def leaf(said: Said, at: int, key: Identity = APP_KEYS) -> bytes:
    """The leaf of an entry, an app's signed."""
    digest = said.digest if isinstance(said.digest, bytes) else steady(f"of {said.digest}", 32)
    entry = Entry(ACCOUNT_ID, said.kind, said.subject, said.version, digest, said.author, at)
    message = ENTRY.serialize(entry)
    if said.author is OWNER:
        return message
    return message + sign_statement(key.signing, "app-entry", message)


_ACCOUNT = Said(kinds.ACCOUNT, ACCOUNT_ID, 1, sha256(_CARD_ONE).digest())
_GRANTED = sha256(_GRANT).digest()
LIFE = (
    _ACCOUNT,
    Said(kinds.KEYSLOT, SLOT_ID),
    Said(kinds.SETTINGS, ACCOUNT_ID, 1, bytes([1]) + bytes(31)),
    Said(kinds.PUT, _FIRST, 1, "one"),
    Said(kinds.GRANT, GRANT_ID, 1, _GRANTED),
    Said(kinds.GRANT, _ELSEWHERE, 1, "a grant that is not told"),
    Said(kinds.PUT, _FIRST, 2, "two", _APP),
    Said(kinds.PUT, _SECOND, 1, "three", _APP),
    Said(kinds.ACCEPT, _FIRST, 2, "two"),
    Said(kinds.REJECT, _SECOND, 1, "three"),
    Said(kinds.PAUSE, GRANT_ID, 2, _GRANTED),
    Said(kinds.RESUME, GRANT_ID, 3, _GRANTED),
    Said(kinds.REVOKE, GRANT_ID, 4, _GRANTED),
    Said(kinds.ROTATE, ACCOUNT_ID, 2, sha256(_SUCCESSION).digest()),
    Said(kinds.KEYSLOT_REMOVE, SLOT_ID),
    Said(kinds.PUT, _THIRD, 1, "four"),
    Said(kinds.DELETE, _FIRST, 3, "two"),
)
"""One entry at least of every kind."""
_CHANGED = 13


def leaves(said: Sequence[Said] = LIFE) -> list[bytes]:
    """A life's leaves."""
    return [leaf(each, UPDATED + at) for at, each in enumerate(said)]


def headed(of: Sequence[bytes], key: Identity, **changes: Any) -> SignedHead:
    """The head over these leaves."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT_ID,
        "size": len(of),
        "root": root_of(map(leaf_hash, of)),
        "prev": NO_HEAD,
        "time": UPDATED + len(of),
    }
    return parse_head(sign_head(key.signing, Head(**(values | changes))))


def preamble(
    of: Sequence[bytes], *, stepped: bool = False, granted: bool = False, **changes: Any
) -> Preamble:
    """What goes before these leaves.

    Args:
        of: the leaves.
        stepped: under the keys that came with the change of keys.
        granted: with the grant to the app.
        changes: what the head says otherwise.
    """
    key, card = (_NEXT, _CARD_TWO) if stepped else (OWNER_KEYS, _CARD_ONE)
    signed = sign_statement(OWNER_KEYS.signing, "succession", _SUCCESSION)
    steps = (Step(_SUCCESSION, signed, _CARD_ONE),) if stepped else ()
    grants = (AppGrant(_GRANT, _MANIFEST),) if granted else ()
    signature = sign_statement(key.signing, "account", card)
    return Preamble(card, signature, steps, grants, headed(of, key, **changes))


def whole(of: Sequence[bytes], **more: Any) -> bytes:
    """A file that the owner's keys signed, whatever it says."""
    return shown(of, of, **more)


def shown(of: Sequence[bytes], signed: Sequence[bytes], **more: Any) -> bytes:
    """A file in which other leaves stand than the owner's keys signed."""
    return b"".join(write_audit(preamble(signed, **more), of))


def _accepted() -> Iterator[tuple[str, bytes]]:
    life = leaves()
    yield "a life", whole(life, stepped=True, granted=True)
    yield "before the change of keys", whole(life[:_CHANGED], granted=True)
    for size in (1, 6):
        yield f"the first {size} entries", whole(life[:size])


def _exchanged(of: Sequence[bytes], at: int) -> list[bytes]:
    return [*of[:at], of[at + 1], of[at], *of[at + 2 :]]


def _unsigned() -> Iterator[tuple[str, bytes]]:
    """Whose leaves are not those under the head."""
    life = leaves()[:9]
    for at in range(len(life)):
        yield f"entry {at} left out", shown([*life[:at], *life[at + 1 :]], life, granted=True)
    for at in (0, 3, 6, 8):
        changed = [*life[:at], flipped(life[at]), *life[at + 1 :]]
        yield f"entry {at}, its last bit another", shown(changed, life, granted=True)
    early = life[:6]
    yield "an entry that is none", shown([*early[:3], b"none", *early[4:]], early)
    yield "an empty line for an entry", shown([*early[:3], b"", *early[4:]], early)
    yield "two entries exchanged", shown(_exchanged(early, 1), early)
    yield "an entry twice", shown([*early[:2], *early[1:]], early)
    yield "an entry too many", shown([*early, leaf(Said(kinds.PUT, SLOT_ID), 1)], early)
    yield "no entries", shown([], early)


def _out_of_turn() -> Iterator[tuple[str, bytes]]:
    """What the owner's keys signed, and does not follow."""

    def with_entry(at: int, **changes: Any) -> bytes:
        said = leaves([*LIFE[:at], LIFE[at]._replace(**changes)])
        return whole(said, stepped=at >= _CHANGED, granted=at > 5)

    yield "a first entry of another card", with_entry(0, digest="another card")
    yield "a first entry of another kind", with_entry(0, kind=kinds.KEYSLOT)
    yield "an account entry again", with_entry(1, kind=kinds.ACCOUNT)
    yield "settings out of turn", with_entry(2, version=2)
    yield "a memory that begins with its second version", with_entry(3, version=2)
    yield "a grant of a second version", with_entry(5, version=2)
    yield "a grant twice", with_entry(5, subject=GRANT_ID, digest=_GRANTED)
    under = LIFE[4]._replace(subject=_ELSEWHERE)
    yield "a grant under another id", whole(leaves([*LIFE[:4], under]), granted=True)
    yield "an acceptance of another record", with_entry(8, digest="another")
    yield "a rejection of what was never written", with_entry(9, version=2)
    yield "a pause of another grant", with_entry(10, digest="another")
    yield "a pause out of turn", with_entry(10, version=3)
    yield "an end of what was never granted", with_entry(12, subject=SLOT_ID)
    yield "an end after the end", whole(leaves([*LIFE[:13], LIFE[12]._replace(version=5)]))
    yield "a change of keys to another generation", with_entry(_CHANGED, version=3)
    yield "a change of keys that is not told", with_entry(_CHANGED, digest="another")
    yield "a change of keys of something else", with_entry(_CHANGED, subject=SLOT_ID)
    yield "a change of keys left out", whole(leaves(LIFE[:6]), stepped=True)
    twice = leaves([*LIFE[:6], LIFE[_CHANGED], LIFE[_CHANGED]._replace(version=3)])
    yield "a change of keys twice", whole(twice, stepped=True)
    yield "a deletion of another version", with_entry(16, digest="one")
    after = LIFE[3]._replace(version=2, kind=kinds.DELETE, digest="one")
    ended = [*LIFE[:4], after, after._replace(version=3)]
    yield "an entry after a deletion", whole(leaves(ended))
    yield "two findings of one memory are one", whole(leaves([*ended, after._replace(version=4)]))
    yield "an app that deletes without the scope", with_entry(7, kind=kinds.DELETE, author=_APP)
    last = LIFE[15]._replace(author=_APP)
    yield "an app that writes after the end", whole(leaves([*LIFE[:13], last]), granted=True)
    yield "an app that writes before its grant", with_entry(3, author=_APP)
    yield "an app that nobody knows", with_entry(6, author=Author(identifier("stranger")))
    yield "an app whose grant is not told", whole(leaves(LIFE[:7]))
    other = leaves(LIFE[:7])
    other[6] = leaf(LIFE[6], UPDATED + 6, OWNER_KEYS)
    yield "an app's entry signed by somebody else", whole(other, granted=True)
    strange = Entry(identifier("other account"), kinds.PUT, _THIRD, 1, bytes(32), OWNER, 1)
    yield "an entry of another account", whole([*leaves(LIFE[:3]), ENTRY.serialize(strange)])
    yield "nothing at all, and signed", whole([])


def _lines(data: bytes) -> list[str]:
    return data.decode("ascii").splitlines(keepends=True)


def _malformed() -> Iterator[tuple[str, str]]:
    lines = _lines(whole(leaves(LIFE[:1]), stepped=True, granted=True))
    text, (name, card, step, grant, *_) = "".join(lines), lines
    head = next(line for line in lines if line.startswith("head "))
    yield from (
        ("nothing", ""),
        ("another format", text.replace("v1/audit", "v2/audit")),
        ("no format", text.removeprefix(name)),
        ("no card", text.replace(card, "")),
        ("two cards", text.replace(card, card * 2)),
        ("a card without its signature", text.replace(card, card.rpartition(" ")[0] + "\n")),
        ("a card with more", text.replace(card, card[:-1] + " AAAA\n")),
        ("a card that is none", text.replace(card, "card AAAA AAAA\n")),
        ("two spaces", text.replace("card ", "card  ")),
        ("a space at the end of a line", text.replace(card, card[:-1] + " \n")),
        ("lines that end with two bytes", text.replace("\n", "\r\n")),
        ("no end of the last line", text[:-1]),
        ("an empty line at the end", text + "\n"),
        ("a head among the entries", text + head),
        ("no head", text.replace(head, "")),
        ("a head cut short", text.replace(head, _coded("head", b64decode(head[5:])[:-1]))),
        ("a head that is no text", text.replace(head, "head /w==\n")),
        ("a grant before the change of keys", text.replace(step + grant, grant + step)),
        ("a grant that is none", text.replace(grant, "grant AAAA AAAA\n")),
        ("a change of keys that is none", text.replace(step, "succession AAAA AAAA AAAA\n")),
        ("base64 in another form", text.replace(lines[-1], "leaf AB==\n")),
        ("a letter that is not ASCII", text.replace(lines[-1], "leaf \u00e4AAA\n")),
    )


def _coded(kind: str, data: bytes) -> str:
    return f"{kind} {b64encode(data).decode()}\n"


def _untrue() -> Iterator[tuple[str, bytes, str]]:
    life = leaves(LIFE[:2])
    good = preamble(life, stepped=True, granted=True)
    replace = msgspec.structs.replace

    def told(**changes: Any) -> bytes:
        return b"".join(write_audit(replace(good, **changes), life))

    other = MANIFEST.serialize(replace(MANIFEST_SAMPLE, name="Another name"))
    strange = GRANT.serialize(replace(GRANT_SAMPLE, account_id=identifier("other account")))
    step = good.steps[0]
    yield "a grant with another manifest", told(grants=(AppGrant(_GRANT, other),)), "untrustworthy"
    yield (
        "a grant of another account",
        told(grants=(AppGrant(strange, _MANIFEST),)),
        "untrustworthy",
    )
    yield (
        "a head of another account",
        told(head=headed(life, _NEXT, account_id=identifier("other account"))),
        "untrustworthy",
    )
    yield "a change of keys twice told", told(steps=(step, step)), "untrustworthy"
    yield "no change of keys told", told(steps=()), "untrustworthy"
    yield "a card that nobody signed", told(card_signature=bytes(64)), "bad-signature"
    yield "a head by the keys of before", told(head=headed(life, OWNER_KEYS)), "bad-signature"
    yield "a head by an app", told(head=headed(life, APP_KEYS)), "bad-signature"
    forged = replace(step, signature=bytes(64))
    yield "a change of keys that nobody signed", told(steps=(forged,)), "bad-signature"
    long = b"".join((*write_audit(good, life), b"leaf " + b"A" * 1_020 + b"\n"))
    yield "a line too long for an entry", long, "too-large"


def _text(data: bytes) -> str:
    return data.decode("ascii")


def audit_book() -> Book:
    """Logs that are whole, and those that are not: which entries show it."""
    book = Book("audit", "5-log", "Audit files: what is whole, and which entries are wrong.")
    for name, data in _accepted():
        found = audit(lines_of(BytesIO(data)))
        assert found.is_whole, name
        given = {"file": _text(data)}
        book.accept(name, "audit", given, **ours_audit.whole(given))
    for name, data in (*_unsigned(), *_out_of_turn()):
        assert not audit(lines_of(BytesIO(data))).is_whole, name
        given = {"file": _text(data)}
        book.accept(name, "audit-findings", given, **ours_audit.findings(given))
    for name, data in (*islice(_unsigned(), 1), *islice(_out_of_turn(), 2)):
        book.refuse(name, "audit", {"file": _text(data)}, "untrustworthy")
    for name, text in _malformed():
        book.refuse(name, "audit", {"file": text}, "malformed")
    for name, data, outcome in _untrue():
        book.refuse(name, "audit", {"file": _text(data)}, outcome)
    few = {"file": _text(whole(leaves(LIFE[:2]), granted=True))}
    for count in (0, 1, 100):
        named = f"{count} keys of one app"
        book.accept(named, "audit-keys", few | {"keys": count}, **ours_audit.whole(few))
    book.refuse("101 keys of one app", "audit-keys", few | {"keys": 101}, "too-large")
    for name, judged, kept in _compared():
        given = {"file": _text(judged), "kept": _text(kept)}
        book.accept(name, "audit-compare", given, **ours_audit.compared(given))
    for name, judged, kept in _uncompared():
        given = {"file": _text(judged), "kept": _text(kept)}
        book.refuse(name, "audit-compare", given, "untrustworthy")
    return book


def _compared() -> Iterator[tuple[str, bytes, bytes]]:
    life = leaves()[:9]
    kept = whole(life)
    yield "the same", kept, kept
    yield "it went on", kept, whole(life[:4])
    yield "it went on, under other keys", whole(leaves(), stepped=True), kept
    yield "rolled back", whole(life[:4]), kept
    yield "rolled back, and signed later", whole(life[:4], time=UPDATED + 100), kept
    branch = [*life[:8], leaf(LIFE[8], 5)]
    yield "forked", whole(branch), kept
    yield "forked, and went on", whole([*branch, leaf(Said(kinds.KEYSLOT, GRANT_ID), 5)]), kept
    yield "two heads", whole(life, time=5), kept
    for at in (0, 4, 8):
        yield f"entry {at} left out", shown([*life[:at], *life[at + 1 :]], life), kept
        later = [*life[:at], leaf(LIFE[at], 5), *life[at + 1 :]]
        yield f"entry {at} altered", shown(later, life), kept
    yield "two exchanged", shown(_exchanged(life, 7), life), kept
    yield "one put in", shown([*life[:7], b"more", *life[7:]], life), kept
    yield "one moved far", shown([*life[:2], *life[3:8], life[2], life[8]], life), kept
    early = whole(life[:6])
    yield "one left out of what was kept early", shown([*life[:2], *life[3:]], life), early
    mixed = [life[0], life[2], leaf(LIFE[3], 5), b"more", life[4], life[7], life[6]]
    yield "everything at once", shown(mixed, life), kept
    yield "nothing left", shown([], life), kept


def _uncompared() -> Iterator[tuple[str, bytes, bytes]]:
    """What says nothing of the log that is judged."""
    life = leaves()[:3]
    kept = whole(life)
    yield "with what the owner did not sign", kept, shown(life[:2], life)
    other = AccountCard(ACCOUNT_ID, "eve", APP_KEYS.signing.public, CARD.sealing_public, UPDATED)
    card = ACCOUNT_CARD.serialize(other)
    signature = sign_statement(APP_KEYS.signing, "account", card)
    strange = Preamble(card, signature, (), (), headed(life, APP_KEYS))
    yield "with another owner's", kept, b"".join(write_audit(strange, life))
