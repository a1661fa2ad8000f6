"""Names of wrapping keys, kept search indexes, and what a device knows things again by."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from coffret.kit import RecoveryKit
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import KEK, Kek
from coffret_vault.formats.pae import pae, u64
from coffret_vault.grants.apps import index_key, messages_key
from coffret_vault.keyring import Keyring
from coffret_vault.keyslots.slots import Place, secret_key_mark
from harness.flipping import flipped
from vectors import ours_kept
from vectors.making.book import Book, steady
from vectors.making.samples import ACCOUNT_ID, GRANT_ID, ORIGIN, secret, seeds
from vectors.verifier.aes import gcm_seal
from vectors.verifier.stream import seal_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 16 << 10
_HEAD = 8 + 24 + 32
"""Bytes of a device's file before its first chunk: size of the log, salt, commitment."""


def kek_book() -> Book:
    """What a record says of the key that its memory key is wrapped under."""
    book = Book("kek", "4-records", "The name of the key that a memory key is wrapped under.")
    for generation in (1, 2, 1 << 32):
        data = KEK.encode(Kek(generation=generation)).hex()
        book.accept(f"generation {generation}", "read-kek", {"bytes": data}, generation=generation)
    data = KEK.encode(Kek(grant_id=GRANT_ID)).hex()
    book.accept("a grant", "read-kek", {"bytes": data}, grant_id=GRANT_ID.hex())
    for name, wrong in _wrong_names():
        book.refuse(name, "read-kek", {"bytes": wrong.hex()}, "malformed")
    return book


def _wrong_names() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "a kind alone", b"\0"
    yield "generation 0", b"\0" + u64(0)
    yield "a generation of 7 bytes", b"\0" + u64(1)[1:]
    yield "a generation of 9 bytes", b"\0\0" + u64(1)
    yield "a generation as long as an id", b"\0" + bytes(15) + b"\1"
    yield "a grant of 15 bytes", b"\1" + GRANT_ID[1:]
    yield "a grant of 17 bytes", b"\1" + GRANT_ID + b"\0"
    yield "a grant as long as a generation", b"\1" + u64(1)
    yield "another kind", b"\2" + GRANT_ID


def index_book() -> Book:
    """Streams: a device's search index, and one that an app keeps of a grant.

    The library draws its own salt, so that these are sealed by the definition.
    """
    book = Book(
        "index", "2-envelope", "Search indexes at rest: Cobblestone-256, and what it is of."
    )
    keyring = Keyring(ACCOUNT_ID, 2, secret("account key"))
    place = {
        "account_key": keyring.account_key().reveal().hex(),
        "account_id": ACCOUNT_ID.hex(),
        "generation": 2,
    }
    key = keyring.kek("local").reveal()
    for length in (0, 1, 100, _CHUNK, _CHUNK + 1):
        index = steady(f"index of {length}", length)
        file = u64(7) + _sealed(key, _context(2, 7), index)
        gives = {"size": 7, "digest": sha256(index).hexdigest()}
        book.accept(f"{length} bytes", "open-index", place | _file(file), **gives)
        if length > _CHUNK:
            cut = place | _file(file[:-17])
            book.refuse("its last chunk left out", "open-index", cut, "cannot-open")
    small = u64(7) + _sealed(key, _context(2, 7), b"an index")
    for name, changes in _wrong_files(small):
        book.refuse(name, "open-index", place | _file(small) | changes, "cannot-open")
    _of_grant(book)
    return book


def _of_grant(book: Book) -> None:
    grant_key = secret("grant key")
    key = index_key(grant_key, GRANT_ID).reveal()
    sealed = _sealed(key, pae("stream/grant-index", GRANT_ID), b"an app's")
    given = {"grant_key": grant_key.reveal().hex(), "grant_id": GRANT_ID.hex()}
    digest = sha256(b"an app's").hexdigest()
    book.accept("of a grant", "open-grant-index", given | _file(sealed), digest=digest)
    bare = _sealed(grant_key.reveal(), pae("stream/grant-index", GRANT_ID), b"an app's")
    for name, changes in (
        ("of another grant", {"grant_id": ACCOUNT_ID.hex()}),
        ("under another grant's key", {"grant_key": steady("another grant key", 32).hex()}),
        ("under the grant's key itself", _file(bare)),
        ("of a grant, with a size before it", _file(u64(7) + sealed)),
        ("of a grant, a bit of it", _file(flipped(sealed, -1))),
    ):
        book.refuse(name, "open-grant-index", given | _file(sealed) | changes, "cannot-open")


def _sealed(key: bytes, context: bytes, plaintext: bytes) -> bytes:
    salt = steady("salt of an index", 24)
    return seal_stream(key, context, plaintext, salt, "sha512", gcm_seal)


def _context(generation: int, size: int) -> bytes:
    return pae("stream/index", ACCOUNT_ID, u64(generation), u64(size))


def _file(data: bytes) -> dict[str, object]:
    return {"file": data.hex()}


def _wrong_files(file: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    yield "another log's size", _file(u64(8) + file[8:])
    yield "another generation", {"generation": 1}
    yield "another account", {"account_id": GRANT_ID.hex()}
    yield "another account key", {"account_key": steady("another account key", 32).hex()}
    yield "without the size", _file(file[8:])
    yield "nothing", _file(b"")
    yield "no chunk", _file(file[:_HEAD])
    yield "a byte short", _file(file[:-1])
    yield "a byte long", _file(file + b"\0")
    for name, at in (("salt", 8), ("commitment", 32), ("text", _HEAD), ("tag", -1)):
        yield f"a bit of the {name}", _file(flipped(file, at))


def ids_book() -> Book:
    """What is known again by a key: a Secret Key, and the exchanges of a conversation."""
    book = Book("ids", "4-records", "Ids of exchanges, and the mark of a Secret Key.")
    code = secret("Secret Key", 20)
    given: dict[str, object] = {"secret_key": code.reveal().hex(), "origin": ORIGIN}
    given |= {"account_id": ACCOUNT_ID.hex()}
    mark = secret_key_mark(code, Place(ORIGIN, ACCOUNT_ID))
    book.accept("a Secret Key", "secret-key-mark", given, mark=mark.hex())
    for username in ("ada", "grace"):
        given = {"seeds": seeds("app").hex(), "account_id": ACCOUNT_ID.hex(), "username": username}
        key = messages_key(seeds("app"), ACCOUNT_ID, username).reveal().hex()
        book.accept(f"an app's key for {username}", "app-messages-key", given, key=key)
    for name, session, labels, messages in _conversations():
        given = {"key": steady("messages", 32).hex(), "session": session, **labels}
        given |= {"messages": messages}
        book.accept(name, "exchange-ids", given, **ours_kept.exchange_ids(given))
    return book


def _conversations() -> Iterator[tuple[str, str, dict[str, str], list[list[str]]]]:
    nobody = {"agent": "", "user": ""}
    asked = ["user", "Ana", "Where did we eat octopus?"]
    told = ["assistant", "Assistant", "In Lisbon, by the river."]
    yield "a question", "chat-7", nobody, [asked]
    yield "a question and its answer", "chat-7", nobody, [asked, told]
    yield "in another session", "chat-8", nobody, [asked]
    yield "with an agent and a user", "chat-7", {"agent": "helper", "user": "ana"}, [asked, told]
    yield "an agent where another has a user", "chat-7", {"agent": "ana", "user": ""}, [asked]
    yield "in any script", "\u00fc", nobody, [["other", "\u00c9va", "caf\u00e9 \U0001f419"]]
    for length in (31, 32, 255, 256, 65_535, 65_536):
        yield f"a text of {length} bytes", "long", nobody, [["user", "Ana", "x" * length]]


def kit_book() -> Book:
    """Recovery kits, as they are printed and as a person may have copied them."""
    book = Book("kit", "3-keys", "What a page says of a vault: codes as they are written there.")
    code, recovery = secret("Secret Key", 20), secret("recovery code")
    head = "a head\n\n\u2014 its signature\n"
    kit = RecoveryKit(ORIGIN, "ada", ACCOUNT_ID, code, recovery, "eight words", head)
    gives = {
        "origin": ORIGIN,
        "username": "ada",
        "account_id": ACCOUNT_ID.hex(),
        "secret_key": kit.secret_key_code(),
        "recovery_code": kit.recovery_code_text(),
    }
    page = kit.text()
    for name, other in (
        ("as it is printed", page),
        ("without spaces before its lines", "\n".join(map(str.strip, page.splitlines()))),
        ("with tabs", page.replace("   ", "\t\t")),
        ("without its last newline", page.rstrip()),
        ("with a second kit behind it", page + page.replace("ada", "eve")),
        ("with a line that says no value before it", "Server\nUsername:  eve\n" + page),
    ):
        book.accept(name, "read-kit", {"page": other}, **gives)
    lines = page.splitlines()
    for label in ("Server", "Username", "Account", "Secret Key", "Recovery code"):
        left = "\n".join(line for line in lines if not line.strip().startswith(label + "  "))
        book.refuse(f"without {label}", "read-kit", {"page": left}, "malformed")
    for name, old, new in (
        ("one space behind a label", "Username       ada", "Username ada"),
        ("a value of two words", "Username       ada", "Username       ada eve"),
        ("an account that is no id", id_text(ACCOUNT_ID), id_text(ACCOUNT_ID)[:-1]),
        ("a label in other letters", "Server  ", "server  "),
    ):
        book.refuse(name, "read-kit", {"page": page.replace(old, new)}, "malformed")
    book.refuse("nothing", "read-kit", {"page": ""}, "malformed")
    return book
