"""Derivations, codes, KDF limits, keyslots and identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coffret_vault.envelope import seal
from coffret_vault.formats.account import ACCOUNT_CARD, KEYSLOT, Kdf, identity_seeds_header
from coffret_vault.formats.account import write_kdf as kdf_field
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, write_code
from coffret_vault.formats.pae import pack_list, u64
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring import Keyring
from coffret_vault.keyslots.session_names import seal_session_name, session_name_header
from coffret_vault.keyslots.slots import (
    Place,
    SlotPlan,
    derive,
    derive_passphrase_keys,
    derive_recovery_keys,
    make_keyslot,
)
from vectors.making.book import Book, Steady, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    CARD,
    CREATED,
    ORIGIN,
    SLOT_ID,
    identifier,
    identity,
    secret,
    seeds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SALT = steady("kdf salt", 16)
_PASSPHRASE = "cr\u00e8me br\u00fbl\u00e9e at midnight"
_DECOMPOSED = "cre\u0300me bru\u0302le\u0301e at midnight"


def derive_book() -> Book:
    """Derived keys, KEKs, public keys and fingerprints."""
    book = Book("derive", "3-keys", "Keys that follow from keys.")
    fields = [ORIGIN.encode(), ACCOUNT_ID]
    for purpose in ("recovery-login-seed", "recovery-key"):
        key = steady(purpose, 32)
        given = {"key": key.hex(), "purpose": purpose, "fields": [part.hex() for part in fields]}
        derived = derive(key, purpose, *fields).reveal().hex()
        book.accept(purpose, "derive", given, key=derived)
    for generation in (1, 2):
        keyring = Keyring(ACCOUNT_ID, generation, secret("account key"))
        for purpose in ("memory", "grant", "identity", "local", "given", "messages", "states"):
            given_kek: dict[str, Any] = {
                "account_key": steady("account key", 32).hex(),
                "purpose": purpose,
                "account_id": ACCOUNT_ID.hex(),
                "generation": generation,
            }
            key = keyring.kek(purpose).reveal()
            book.accept(f"kek {purpose} {generation}", "kek", given_kek, key=key.hex())
    for who in ("owner", "app"):
        pair, both = identity(who), seeds(who)
        given = {"signing": both[:32].hex(), "sealing": both[32:].hex()}
        book.accept(
            f"public keys of the {who}",
            "public-keys",
            given,
            signing=pair.signing.public.hex(),
            sealing=pair.sealing.public.hex(),
            hash=pair.keys_hash.hex(),
        )
    for name, value in (("zeros", bytes(32)), ("ones", b"\xff" * 32), ("hash", steady("h", 32))):
        given = {"hash": value.hex()}
        book.accept(f"fingerprint of {name}", "fingerprint", given, words=fingerprint(value))
    return book


def codes_book() -> Book:
    """Secret Keys and recovery codes."""
    book = Book("codes", "3-keys", "Codes for people, written and read.")
    for kind, size in ((SECRET_KEY, 20), (RECOVERY_CODE, 32)):
        for label in ("zeros", "ones", "random"):
            value = {"zeros": bytes(size), "ones": b"\xff" * size}.get(label, steady(kind, size))
            code = write_code(kind, value)
            given = {"kind": kind, "secret": value.hex()}
            book.accept(f"{kind} {label}", "write-code", given, code=code)
            for name, typed in _as_typed(code).items():
                reading = {"kind": kind, "code": typed}
                book.accept(f"{kind} {label}, {name}", "read-code", reading, secret=value.hex())
        for name, typed in _typos(write_code(kind, steady(kind, size))):
            book.refuse(f"{kind}, {name}", "read-code", {"kind": kind, "code": typed}, "code-typo")
    other = write_code(SECRET_KEY, steady(SECRET_KEY, 20))
    book.refuse("of the other kind", "read-code", {"kind": RECOVERY_CODE, "code": other}, _TYPO)
    filled = _filling(write_code(RECOVERY_CODE, steady(RECOVERY_CODE, 32)))
    book.refuse("a filling bit", "read-code", {"kind": RECOVERY_CODE, "code": filled}, _TYPO)
    return book


_TYPO = "code-typo"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _as_typed(code: str) -> dict[str, str]:
    return {
        "as shown": code,
        "in lower case": code.lower(),
        "with spaces": f" {code.replace('-', ' ')} ",
        "without hyphens": code.replace("-", ""),
        "with O and I": code.replace("0", "O").replace("1", "I"),
        "with o and l": code.replace("0", "o").replace("1", "l"),
    }


def _next(symbol: str) -> str:
    return _ALPHABET[(_ALPHABET.index(symbol) + 1) % 32]


def _typos(code: str) -> Iterator[tuple[str, str]]:
    for at, symbol in enumerate(code):
        if symbol != "-" and at > 3:
            yield f"symbol {at} changed", code[:at] + _next(symbol) + code[at + 1 :]
    yield "a symbol short", code[:-1]
    yield "a symbol long", code + "0"
    yield "nothing", ""
    yield "only the beginning", code[:4]
    yield "another beginning", "CX1" + code[3:]
    yield "without the beginning", code[4:]
    yield "a symbol that is none", code[:-1] + "U"
    yield "a sign", code[:-1] + "!"
    yield "two symbols swapped", code[:4] + code[5] + code[4] + code[6:]


def _filling(code: str) -> str:
    """The same code with the one spare bit set in the last symbol of the secret."""
    plain = code.replace("-", "")
    at = len(plain) - 4
    return plain[:at] + _ALPHABET[_ALPHABET.index(plain[at]) | 1] + plain[at + 1 :]


def kdf_book() -> Book:
    """The limits on passphrase parameters."""
    book = Book("kdf", "3-keys", "Passphrase parameters: within the limits, outside, malformed.")
    for numbers in ((65_536, 3, 4), (1_048_576, 10, 1), (65_536, 3, 1)):
        memory, passes, lanes = numbers
        given = {"kdf": kdf_field(Kdf(_SALT, *numbers)).hex()}
        shown = {"memory_kib": memory, "passes": passes, "lanes": lanes}
        book.accept(str(numbers), "kdf", given, salt=_SALT.hex(), **shown)
    for numbers in (
        (65_535, 3, 4),
        (1_048_577, 3, 4),
        (65_536, 2, 4),
        (65_536, 11, 4),
        (65_536, 3, 0),
        (65_536, 3, 5),
        (0, 0, 0),
        (64 << 20, 3, 4),
        (2**64 - 1, 2**64 - 1, 2**64 - 1),
    ):
        given = {"kdf": kdf_field(Kdf(_SALT, *numbers)).hex()}
        book.refuse(str(numbers), "kdf", given, "kdf-out-of-bounds")
    numbers_field = (u64(65_536), u64(3), u64(4))
    for name, data in (
        ("none", kdf_field(None)),
        ("argon2i", pack_list((b"argon2i", _SALT, *numbers_field))),
        ("pbkdf2", pack_list((b"pbkdf2", _SALT, *numbers_field))),
        ("upper case", pack_list((b"Argon2id", _SALT, *numbers_field))),
        ("a short salt", pack_list((b"argon2id", _SALT[:8], *numbers_field))),
        ("a number of 4 bytes", pack_list((b"argon2id", _SALT, bytes(4), *numbers_field[1:]))),
        ("a part too many", pack_list((b"argon2id", _SALT, *numbers_field, b""))),
    ):
        book.refuse(name, "kdf", {"kdf": data.hex()}, "malformed")
    return book


def keyslot_book() -> Book:
    """Keyslots opened with what a person knows."""
    book = Book("keyslot-open", "3-keys", "Keyslots, opened with passphrase or recovery code.")
    place, plan = Place(ORIGIN, ACCOUNT_ID), SlotPlan(SLOT_ID, 1, CREATED)
    secret_key = secret("secret key", 20)
    account_key = secret("account key")
    kdf = Kdf(_SALT, 65_536, 3, 4)
    by_passphrase = derive_passphrase_keys(_PASSPHRASE, secret_key, place, kdf)
    slot = make_keyslot(by_passphrase, place, plan, account_key, random=Steady("slot"))
    known = {"passphrase": _PASSPHRASE, "secret_key": secret_key.reveal().hex()}
    good = _opening(KEYSLOT.serialize(slot), known)
    gives = account_key.reveal().hex()
    book.accept("passphrase", "open-keyslot", good, account_key=gives)
    decomposed = good | {"secrets": known | {"passphrase": _DECOMPOSED}}
    book.accept("passphrase, decomposed", "open-keyslot", decomposed, account_key=gives)
    for name, changes in (
        ("another passphrase", {"secrets": known | {"passphrase": _PASSPHRASE + "."}}),
        ("another Secret Key", {"secrets": known | {"secret_key": bytes(20).hex()}}),
        ("another origin", {"origin": ORIGIN + ":8443"}),
    ):
        book.refuse(name, "open-keyslot", good | changes, "cannot-open")
    weak = msgspec.structs.replace(slot, kdf=Kdf(_SALT, 64, 1, 1))
    weak_case = good | {"slot": KEYSLOT.serialize(weak).hex()}
    book.refuse("weakened parameters", "open-keyslot", weak_case, "kdf-out-of-bounds")
    _recovery_cases(book, place, plan)
    return book


def _recovery_cases(book: Book, place: Place, plan: SlotPlan) -> None:
    account_key, code = secret("account key"), secret("recovery code")
    gives = account_key.reveal().hex()
    recovery = derive_recovery_keys(code, place)
    slot = make_keyslot(recovery, place, plan, account_key, random=Steady("recovery slot"))
    good = _opening(KEYSLOT.serialize(slot), {"recovery_code": code.reveal().hex()})
    book.accept("recovery code", "open-keyslot", good, account_key=gives)
    for name, field, value in (
        ("another slot id", "slot_id", identifier("other slot")),
        ("another generation", "generation", 2),
        ("another wrap", "wrap", bytes(113)),
        ("another login key", "login_public", CARD.signing_public),
    ):
        changed = KEYSLOT.serialize(msgspec.structs.replace(slot, **{field: value})).hex()
        book.refuse(name, "open-keyslot", good | {"slot": changed}, "cannot-open")
    wrong = {"secrets": {"recovery_code": bytes(32).hex()}}
    book.refuse("another code", "open-keyslot", good | wrong, "cannot-open")
    foreign = good | {"account_id": identifier("other account").hex()}
    book.refuse("of another account", "open-keyslot", foreign, "untrustworthy")


def _opening(slot: bytes, secrets: dict[str, str]) -> dict[str, Any]:
    place = {"origin": ORIGIN, "account_id": ACCOUNT_ID.hex()}
    return {"slot": slot.hex(), **place, "secrets": secrets}


def identity_book() -> Book:
    """The identity's seeds, opened and compared with the card."""
    book = Book("identity", "3-keys", "The identity envelope, and seeds that are not the card's.")
    keyring = Keyring(ACCOUNT_ID, 2, secret("account key"))
    publics = (CARD.signing_public, CARD.sealing_public)
    header = identity_seeds_header(ACCOUNT_ID, 2, *publics)
    kek = keyring.kek("identity")
    sealed = seal("identity", kek, header, seeds("owner"), random=Steady("identity"))
    good = {
        "account_key": steady("account key", 32).hex(),
        "generation": 2,
        "account_id": ACCOUNT_ID.hex(),
        "card": ACCOUNT_CARD.serialize(CARD).hex(),
        "envelope": sealed.hex(),
    }
    book.accept("as usual", "open-identity", good, seeds=seeds("owner").hex())
    foreign = seeds("owner")[:32] + seeds("stranger")[32:]
    for name, inside in (("other seeds", seeds("stranger")), ("half of them", foreign)):
        swapped = seal("identity", kek, header, inside, random=Steady(name)).hex()
        book.refuse(name, "open-identity", good | {"envelope": swapped}, "untrustworthy")
    other = msgspec.structs.replace(CARD, signing_public=identity("app").signing.public)
    for name, changes in (
        ("another generation", {"generation": 1}),
        ("another account key", {"account_key": bytes(32).hex()}),
        ("another card", {"card": ACCOUNT_CARD.serialize(other).hex()}),
        ("cut", {"envelope": sealed[:-1].hex()}),
    ):
        book.refuse(name, "open-identity", good | changes, "cannot-open")
    return book


def session_name_book() -> Book:
    """The name of a session, opened beside its key."""
    book = Book("session-name", "3-keys", "What a device calls itself, bound to its session's key.")
    keyring, session = Keyring(ACCOUNT_ID, 2, secret("account key")), CARD.signing_public
    sealed = seal_session_name(keyring, session, "Ana\u2019s laptop", random=Steady("session name"))
    good = {
        "account_key": steady("account key", 32).hex(),
        "generation": 2,
        "account_id": ACCOUNT_ID.hex(),
        "session": session.hex(),
        "envelope": sealed.hex(),
    }
    book.accept("as usual", "open-session-name", good, name="Ana\u2019s laptop")
    unnamed = seal_session_name(keyring, session, "", random=Steady("no name"))
    book.accept("without a name", "open-session-name", good | {"envelope": unnamed.hex()}, name="")
    kek, header = keyring.kek("local"), session_name_header(ACCOUNT_ID, 2, session)
    for name, inside in (("not UTF-8", b"\xff" * 64), ("not 64 bytes", b"laptop")):
        odd = seal("session-name", kek, header, inside, random=Steady(name)).hex()
        book.refuse(name, "open-session-name", good | {"envelope": odd}, "cannot-open")
    for name, changes in (
        ("another session", {"session": CARD.sealing_public[:32].hex()}),
        ("another generation", {"generation": 1}),
        ("another account", {"account_id": bytes(16).hex()}),
        ("cut", {"envelope": sealed[:-1].hex()}),
    ):
        book.refuse(name, "open-session-name", good | changes, "cannot-open")
    return book
