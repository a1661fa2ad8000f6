"""How a vault begins and how a device enters it: sign-ups, kept and sent, and an account opened."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from coffret.flows import begun
from coffret.flows.begun import BEGUN_FILE, Begun
from coffret.flows.signup import prepare_vault
from coffret.flows.state import Ambient
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.author import OWNER
from coffret_vault.formats.checkpoint import NO_HEAD, Head
from coffret_vault.formats.entry import ENTRY, Entry
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.settings import Settings
from coffret_vault.log.tree import leaf_hash, root_of
from vectors.making.book import Book, Steady, flipped, steady
from vectors.making.samples import APP_KEYS, CREATED, MEMORY_ID, ORIGIN, identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.keyring import Identity

PASSPHRASE = "a passphrase of no\u00ebl"
_CALL = identifier("call")
_AMBIENT = Ambient(random=Steady("sign-up"), now=lambda: CREATED)
MADE = prepare_vault(ORIGIN, "ada", PASSPHRASE, _AMBIENT, Settings(sealed=True))
OTHER = prepare_vault(
    ORIGIN, "eve", PASSPHRASE, Ambient(random=Steady("another"), now=lambda: CREATED)
)
_ACCOUNT = MADE.place.account_id
_KEYS = MADE.keys.identity
_BODY: dict[str, Any] = json.loads(MADE.body)
_pack = msgspec.msgpack.encode


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


# -- kept on the disk -----------------------------------------------------------------------------


def sign_up_file() -> bytes:
    """A sign-up under way, as it is kept."""
    with TemporaryDirectory() as folder:
        ambient = Ambient(random=Steady("sign-up file"), now=lambda: CREATED)
        begun._write(Path(folder), Begun(MADE, _CALL), PASSPHRASE, ambient)
        return (Path(folder) / BEGUN_FILE).read_bytes()


def sign_up_book() -> Book:
    """A sign-up that was not answered yet, as the device keeps it, and as it is sent."""
    book = Book("sign-up", "3-keys", "Sign-ups: the file of one under way, and what is sent.")
    file = sign_up_file()
    given = {"file": file.hex(), "passphrase": PASSPHRASE}
    gives = {
        "origin": ORIGIN,
        "username": "ada",
        "account_id": _ACCOUNT.hex(),
        "call": _CALL.hex(),
        "secret_key": MADE.kit.secret_key.reveal().hex(),
        "recovery_code": MADE.kit.recovery_code.reveal().hex(),
        "body": sha256(MADE.body).hexdigest(),
    }
    book.accept("under way", "open-sign-up", given, **gives)
    decomposed = given | {"passphrase": PASSPHRASE.replace("\u00eb", "e\u0308")}
    book.accept("under way, decomposed", "open-sign-up", decomposed, **gives)
    for name, changes, outcome in _wrong_files(file):
        book.refuse(name, "open-sign-up", given | changes, outcome)
    for name, body in _sent():
        account = {"account_id": _ACCOUNT.hex(), "username": "ada"}
        book.accept(name, "sign-up", {"body": body}, **account)
    for name, sent, outcome in (*_misshaped(), *_unsound(), *_unfit()):
        text = sent if isinstance(sent, str) else json.dumps(sent)
        book.refuse(name, "sign-up", {"body": text}, outcome)
    return book


def _wrong_files(file: bytes) -> Iterator[tuple[str, dict[str, Any], str]]:
    origin, username, account, kdf, sealed = msgspec.msgpack.decode(file)
    good = [origin, username, account, kdf, sealed]

    def told(**changes: Any) -> dict[str, Any]:
        named = dict(zip(("origin", "username", "account", "kdf", "sealed"), good, strict=True))
        return {"file": _pack(list((named | changes).values())).hex()}

    yield "another passphrase", {"passphrase": PASSPHRASE + "."}, "cannot-open"
    yield "another origin", told(origin=ORIGIN + ":8443"), "cannot-open"
    yield "another username", told(username="eve"), "cannot-open"
    yield "another account", told(account=MEMORY_ID), "cannot-open"
    yield "another salt", told(kdf=kdf | {"salt": bytes(16)}), "cannot-open"
    yield "more passes", told(kdf=kdf | {"passes": 4}), "cannot-open"
    for what, at in (("commitment", 40), ("text", 65), ("tag", -1)):
        changed = bytes.fromhex(flipped(sealed, at % len(sealed)))
        yield f"a bit of the {what}", told(sealed=changed), "cannot-open"
    yield "an envelope cut short", told(sealed=sealed[:80]), "cannot-open"
    for name, weak in (("memory_kib", 64), ("passes", 1), ("lanes", 5), ("passes", 11)):
        yield f"{name} {weak}", told(kdf=kdf | {name: weak}), "kdf-out-of-bounds"
    yield "nothing", {"file": ""}, "malformed"
    yield "a byte short", {"file": file[:-1].hex()}, "malformed"
    yield "a byte long", {"file": (file + b"\0").hex()}, "malformed"
    yield "four parts", {"file": _pack(good[:4]).hex()}, "malformed"
    yield "a map", {"file": _pack({"origin": origin}).hex()}, "malformed"
    yield "an account that is text", told(account=id_text(account)), "malformed"
    yield "an envelope that is text", told(sealed="sealed"), "malformed"
    yield "parameters in a row", told(kdf=list(kdf.values())), "malformed"
    lacking = {name: value for name, value in kdf.items() if name != "lanes"}
    yield "parameters without lanes", told(kdf=lacking), "malformed"
    yield "passes that are text", told(kdf=kdf | {"passes": "3"}), "malformed"


# -- sent -----------------------------------------------------------------------------------------


def _leaves() -> list[bytes]:
    return [b64decode(leaf) for leaf in _BODY["append"]["leaves"]]


def _begun(leaves: list[bytes], key: Identity = _KEYS, **more: Any) -> dict[str, Any]:
    """The first append, with other leaves, under a head that fits them."""
    root = root_of(map(leaf_hash, leaves))
    head = sign_head(key.signing, Head(_ACCOUNT, len(leaves), root, NO_HEAD, CREATED))
    return {"base": 0, "leaves": [_b64(leaf) for leaf in leaves], "head": head} | more


def _entry(kind: str, subject: bytes, version: int = 1, digest: bytes = bytes(32)) -> bytes:
    return ENTRY.serialize(Entry(_ACCOUNT, kind, subject, version, digest, OWNER, CREATED))


def _slots() -> list[bytes]:
    return [b64decode(slot) for slot in _BODY["keyslots"]]


def _sent() -> Iterator[tuple[str, str]]:
    yield "as it is sent", MADE.body.decode()
    yield "in another order", json.dumps(dict(reversed(_BODY.items())))
    account, first, second, _ = _leaves()
    yield "without settings", json.dumps(_BODY | {"append": _begun([account, first, second])})
    swapped = {"keyslots": _BODY["keyslots"][::-1]}
    yield "its keyslots in another order", json.dumps(_BODY | swapped)


def _misshaped() -> Iterator[tuple[str, object, str]]:
    for name in _BODY:
        left = {key: value for key, value in _BODY.items() if key != name}
        yield f"without {name}", left, "invalid-input"
        yield f"null for {name}", _BODY | {name: None}, "invalid-input"
    yield "another field", _BODY | {"email": "ada@vault.example"}, "invalid-input"
    yield "a list", list(_BODY.values()), "invalid-input"
    yield "no JSON", "{", "malformed"
    yield "a field twice", MADE.body.decode()[:-1] + ', "username": "ada"}', "malformed"
    card = _BODY["account_card"]
    yield "base64 without padding", _BODY | {"account_card": card.rstrip("=")}, "invalid-input"
    yield "no keyslots", _BODY | {"keyslots": []}, "invalid-input"
    yield "17 keyslots", _BODY | {"keyslots": _BODY["keyslots"][:1] * 17}, "invalid-input"
    identity = _BODY["identity"]
    yield "generation 0", _BODY | {"identity": identity | {"generation": 0}}, "invalid-input"
    yield (
        "a generation that is text",
        _BODY | {"identity": identity | {"generation": "1"}},
        ("invalid-input"),
    )
    yield "no append", _BODY | {"append": {}}, "malformed"
    yield "an append with more", _BODY | {"append": _BODY["append"] | {"x": 1}}, "malformed"


def _unsound() -> Iterator[tuple[str, object, str]]:
    """Objects that are none, or not signed as they should be."""
    card, signature = (b64decode(_BODY[name]) for name in ("account_card", "card_signature"))
    identity, envelope = _BODY["identity"], b64decode(_BODY["identity"]["envelope"])
    yield "a card cut short", _BODY | {"account_card": _b64(card[:-1])}, "malformed"
    yield "a card that nobody signed", _BODY | {"card_signature": _b64(bytes(64))}, "bad-signature"
    other = _b64(sign_statement(APP_KEYS.signing, "account", card))
    yield "a card that another one signed", _BODY | {"card_signature": other}, "bad-signature"
    kind = _b64(sign_statement(_KEYS.signing, "login", card))
    yield "a card signed as something else", _BODY | {"card_signature": kind}, "bad-signature"
    short = _b64(signature[:-1])
    yield "a signature of 63 bytes", _BODY | {"card_signature": short}, "bad-signature"
    weak = ACCOUNT_CARD.serialize(
        msgspec.structs.replace(ACCOUNT_CARD.parse(card), signing_public=bytes(32))
    )
    yield "a card with a weak key", _BODY | {"account_card": _b64(weak)}, "weak-key"
    for name, data, outcome in (
        ("an identity of 144 bytes", envelope[:-1], "malformed"),
        ("an identity of another suite", b"\2" + envelope[1:], "unknown-suite"),
    ):
        yield name, _BODY | {"identity": identity | {"envelope": _b64(data)}}, outcome
    first, second = _slots()
    yield "a keyslot cut short", _BODY | {"keyslots": [_b64(first[:-1]), _b64(second)]}, "malformed"
    head = _begun(_leaves(), APP_KEYS)["head"]
    by_another = _BODY["append"] | {"head": head}
    yield "a head by another key", _BODY | {"append": by_another}, "bad-signature"


def _unfit() -> Iterator[tuple[str, object, str]]:
    """Parts that do not go together."""
    account, first, second, settings = _leaves()
    yield "another username", _BODY | {"username": "eve"}, "invalid-input"
    yield (
        "keyslots of another account",
        _BODY | {"keyslots": json.loads(OTHER.body)["keyslots"]},
        "invalid-input",
    )
    later = _BODY["identity"] | {"generation": 2}
    yield "another generation", _BODY | {"identity": later}, "invalid-input"
    yield "a keyslot twice", _BODY | {"keyslots": _BODY["keyslots"][:1] * 2}, "invalid-input"
    wrong = steady("another digest", 32)
    for name, leaves in (
        ("without its account entry", [first, second]),
        ("its account entry not the first", [first, account, second]),
        ("its account entry twice", [account, account, first, second]),
        ("an account entry of another card", [_entry(kinds.ACCOUNT, _ACCOUNT, 1, wrong), first,
                                              second]),
        ("without a keyslot's entry", [account, first]),
        ("a keyslot's entry twice", [account, first, first, second]),
        ("an entry of a keyslot that is not there", [account, first, second, _entry(
            kinds.KEYSLOT, MEMORY_ID)]),
        ("settings twice", [account, first, second, settings, settings]),
        ("second settings", [account, first, second, _entry(kinds.SETTINGS, _ACCOUNT, 2)]),
        ("a grant", [account, first, second, _entry(kinds.GRANT, MEMORY_ID)]),
        ("a rejection", [account, first, second, _entry(kinds.REJECT, MEMORY_ID)]),
    ):  # fmt: skip
        yield name, _BODY | {"append": _begun(leaves)}, "invalid-input"
    root = steady("another root", 32)
    head = sign_head(_KEYS.signing, Head(_ACCOUNT, 4, root, NO_HEAD, CREATED))
    yield (
        "a head of another root",
        _BODY | {"append": _BODY["append"] | {"head": head}},
        ("invalid-input"),
    )
    stranger = _BODY["append"] | {"head": json.loads(OTHER.body)["append"]["head"]}
    yield "a head of another account", _BODY | {"append": stranger}, "invalid-input"
