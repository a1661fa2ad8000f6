"""The file of a website's apps, homepages, and typed words."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from coffret_vault.grants.apps import Signed, sign_manifest
from coffret_vault.grants.words import fingerprint
from vectors.making.book import Book, steady
from vectors.making.samples import APP_KEYS, MANIFEST_SAMPLE, identity


def _app(signed: Signed) -> dict[str, Any]:
    return {
        "manifest": base64.b64encode(signed.message).decode(),
        "signature": base64.b64encode(signed.signature).decode(),
    }


def _renamed(number: int) -> Signed:
    app_id = steady(f"website app {number}", 16)
    return sign_manifest(APP_KEYS, msgspec.structs.replace(MANIFEST_SAMPLE, app_id=app_id))


_OWN = sign_manifest(APP_KEYS, MANIFEST_SAMPLE)


def _other_keys() -> Signed:
    keys = identity("stranger")
    changed = msgspec.structs.replace(
        MANIFEST_SAMPLE, signing_public=keys.signing.public, sealing_public=keys.sealing.public
    )
    return sign_manifest(keys, changed)


def website_book() -> Book:
    """What a website says of an app."""
    book = Book("website-apps", "6-grants", "What the file of a website's apps says of one.")
    own, manifest = _app(_OWN), _OWN.message.hex()
    for name, apps, says in (
        ("alone", [own], "confirmed"),
        ("among others", [_app(_renamed(1)), own, _app(_renamed(2))], "confirmed"),
        ("with a field of a later version", [{**own, "since": 2}], "confirmed"),
        ("no app", [], "differs"),
        ("other apps", [_app(_renamed(1)), _app(_renamed(2))], "differs"),
        ("the same app under other keys", [_app(_other_keys())], "differs"),
    ):
        given = {"file": json.dumps({"apps": apps, "x": 1}), "manifest": manifest}
        book.accept(name, "website-apps", given, says=says)
    crossed = {**own, "signature": _app(_renamed(1))["signature"]}
    for name, document in (
        ("not JSON", "<html>"),
        ("a list", json.dumps([own])),
        ("no apps", "{}"),
        ("apps that are none", json.dumps({"apps": {"0": own}})),
        ("an entry that is text", json.dumps({"apps": [own["manifest"]]})),
        ("no signature", json.dumps({"apps": [{"manifest": own["manifest"]}]})),
        ("base64 with a line end", json.dumps({"apps": [_with(own, own["manifest"] + "\n")]})),
        ("base64 for addresses", json.dumps({"apps": [_with(own, "-_-_")]})),
        ("base64 with spare bits", json.dumps({"apps": [_with(own, "QQ==".replace("Q=", "R="))]})),
        ("a manifest that is none", json.dumps({"apps": [_with(own, "AAAA")]})),
        ("an app twice", json.dumps({"apps": [own, own]})),
        ("seventeen apps", json.dumps({"apps": [_app(_renamed(n)) for n in range(17)]})),
        ("too long", json.dumps({"apps": [own]}) + " " * 65_536),
    ):
        given = {"file": document, "manifest": manifest}
        book.refuse(name, "website-apps", given, "malformed")
    given = {"file": json.dumps({"apps": [crossed]}), "manifest": manifest}
    book.refuse("another signature", "website-apps", given, "bad-signature")
    return book


def _with(app: dict[str, Any], manifest: str) -> dict[str, Any]:
    return {**app, "manifest": manifest}


def homepage_book() -> Book:
    """Which host a homepage is at."""
    book = Book("homepage", "6-grants", "The homepage's host, and whether it is asked.")
    for homepage, host, asked in (
        ("https://trips.example.com", "trips.example.com", True),
        ("HTTPS://Trips.Example.COM/a?b#c", "trips.example.com", True),
        ("https://a-b.c?x", "a-b.c", True),
        ("https://xn--mnchen-3ya.de#", "xn--mnchen-3ya.de", True),
        ("https://trips.example", "trips.example", False),
        ("https://printer.local", "printer.local", False),
        ("https://x.home.arpa/", "x.home.arpa", False),
    ):
        book.accept(homepage, "homepage", {"homepage": homepage}, host=host, asked=asked)
    for homepage in (
        "",
        "http://trips.example.com",
        "https://",
        "https://localhost",
        "https://127.0.0.1",
        "https://[::1]",
        "https://trips.example.com:443",
        "https://trips.example.com.",
        "https://me@trips.example.com",
        "https://trips.example.com\\@evil.example.com",
        "https://-a.example.com",
        "https://a..example.com",
        "https://a_b.example.com",
        "https://m\u00fcnchen.de",
        "https://\u017fafe.example.com",
        "https://trips.example.com/ b",
        "https://trips.example.com/\n",
        f"https://{'a' * 64}.com",
        f"https://{'a.' * 126}com",
    ):
        given = {"homepage": homepage}
        book.refuse(f"no host: {homepage!r}", "homepage", given, "malformed")
    return book


def words_book() -> Book:
    """Words as they are typed."""
    book = Book("words", "6-grants", "Eight words as a person types them, and others.")
    keys_hash = steady("words", 32)
    words = fingerprint(keys_hash)
    wide = "".join(chr(ord(sign) + 0xFEE0) if sign.isalpha() else sign for sign in words)
    for name, typed, same in (
        ("as shown", words, True),
        ("capitals", words.upper(), True),
        ("hyphens", words.replace(" ", "-"), True),
        ("run together", words.replace(" ", ""), True),
        ("numbered", " ".join(f"{n}. {word}" for n, word in enumerate(words.split(), 1)), True),
        ("full width", wide, True),
        ("nothing", "", False),
        ("seven", words.rpartition(" ")[0], False),
        ("nine", words + " abacus", False),
        ("another order", " ".join(reversed(words.split())), False),
        ("their beginnings", " ".join(word[:4] for word in words.split()), False),
        ("a letter of another script", words.replace("e", "\u0435", 1), False),
    ):
        given = {"hash": keys_hash.hex(), "typed": typed}
        book.accept(name, "compare-words", given, same=same)
    return book
