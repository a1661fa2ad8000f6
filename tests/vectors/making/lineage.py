"""The owner's cards, one after another."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from coffret_vault.envelope.signature import sign_statement
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.entry import ACCOUNT, ENTRY, ROTATE, Entry
from coffret_vault.formats.succession import SUCCESSION, Succession
from vectors.making.book import Book, steady
from vectors.making.samples import ACCOUNT_ID, CARD, UPDATED, identifier, identity

_WHO = ("owner", "stranger", "app")
_UNTIL = (7, 12)


def _card(who: str) -> bytes:
    keys = identity(who)
    public = {"signing_public": keys.signing.public, "sealing_public": keys.sealing.public}
    return ACCOUNT_CARD.serialize(msgspec.structs.replace(CARD, **public))


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _step(at: int, signer: str = "", **changes: Any) -> dict[str, str]:
    """The succession from the card at this place to the next one."""
    succession = Succession(
        account_id=ACCOUNT_ID,
        generation=at + 2,
        before=_hash(_card(_WHO[at])),
        after=_hash(_card(_WHO[at + 1])),
        identity=steady(f"identity {at}", 32),
        created=UPDATED,
    )
    raw = SUCCESSION.serialize(msgspec.structs.replace(succession, **changes))
    signature = sign_statement(identity(signer or _WHO[at]).signing, "succession", raw)
    return {"succession": raw.hex(), "signature": signature.hex(), "card": _card(_WHO[at]).hex()}


def _entry(kind: str, version: int, digest: bytes) -> str:
    entry = Entry(ACCOUNT_ID, kind, ACCOUNT_ID, version, digest, OWNER, UPDATED)
    return ENTRY.serialize(entry).hex()


def _given(*steps: dict[str, str]) -> dict[str, Any]:
    """What a device has: the log's entries, which name these steps, and the newest card."""
    return {
        "account": _entry(ACCOUNT, 1, _hash(_card(_WHO[0]))),
        "rotations": [
            {"index": index, "entry": _entry(ROTATE, at + 2, _hash(_raw(step)))}
            for at, (index, step) in enumerate(zip(_UNTIL, steps, strict=False))
        ],
        "steps": list(steps),
        "card": _card(_WHO[len(steps)]).hex(),
    }


def _raw(step: dict[str, str]) -> bytes:
    return bytes.fromhex(step["succession"])


def lineage_book() -> Book:
    """Key changes that the log names, and such as it does not."""
    book = Book("lineage", "3-keys", "The owner's cards in turn, each step as the log names it.")
    first, second = _step(0), _step(1)
    for count in range(3):
        good = _given(*(first, second)[:count])
        reigns = [
            {"until": until, "card": _card(who).hex()}
            for until, who in zip(_UNTIL[:count], _WHO, strict=False)
        ]
        book.accept(f"{count} key changes", "lineage", good, reigns=reigns)
    good = _given(first, second)
    for name, signer in (("signed by the new keys", "stranger"), ("by others", "app")):
        forged = _step(0, signer)
        book.refuse(name, "lineage", _given(forged, second), "bad-signature")
    for name, changes in (
        ("of another account", {"account_id": identifier("other account")}),
        ("to another generation", {"generation": 3}),
        ("from another card", {"before": steady("another card", 32)}),
        ("to another card", {"after": steady("another card", 32)}),
    ):
        book.refuse(name, "lineage", _given(_step(0, **changes), second), "untrustworthy")
    cut = first | {"succession": first["succession"][:-2]}
    strange = {"card": _card("stranger").hex()}
    stranger = {"account": _entry(ACCOUNT, 1, _hash(_card("stranger")))}
    for name, wrong in (
        ("another card at the beginning", good | stranger),
        ("another card, and no key changes", _given() | strange),
        ("a step missing", good | {"steps": [first]}),
        ("a step too many", good | {"steps": [first, second, second]}),
        ("out of turn", good | {"steps": [second, first]}),
        ("another first card", good | {"steps": [first | strange, second]}),
        ("another card now", good | strange),
        ("not a succession", _given(cut, second)),
        ("not the one of the log", good | {"steps": [_step(0, created=0), second]}),
        ("a card that is none", good | {"steps": [first, second | {"card": ""}]}),
    ):
        book.refuse(name, "lineage", wrong, "untrustworthy")
    return book
