"""Proofs of possession: what the SDK makes, and everything that a server must not take."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from coffret.flows.http import Request
from coffret.flows.proof import Prover
from coffret.flows.state import Ambient
from coffret_server.proofs import Proofs, thumbprint
from coffret_vault.envelope.signature import sign_statement
from vectors.making.book import Book, Steady, steady
from vectors.making.samples import APP_KEYS, ORIGIN, OWNER_KEYS, UPDATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coffret_vault.keyring import Identity

_NOW = UPDATED // 1_000_000
_PATH, _TOKEN = "/api/v1/grants", "cfs_token"
_ADDRESS = ORIGIN + _PATH
_SERVER_KEY = steady("a server's key for nonces", 32)
_JTI = "a name that nobody had"
Claims = dict[str, Any]


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _digest(data: bytes) -> str:
    return b64url(sha256(data).digest())


def _header(key: Identity = OWNER_KEYS) -> Claims:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64url(key.signing.public)}
    return {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk}


def _claims(**changes: Any) -> Claims:
    """The claims of a proof for the request of `_given`; a change to None leaves one out."""
    claims = {
        "jti": _JTI,
        "htm": "GET",
        "htu": _ADDRESS,
        "iat": _NOW,
        "bdg": _digest(b"limit=5\n"),
        "ath": _digest(_TOKEN.encode()),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def _jws(header: Any, claims: Any, key: Identity = OWNER_KEYS) -> str:
    """A proof, signed whatever it says; a part that is bytes stands there as it is."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode()
             for part in (header, claims)]  # fmt: skip
    return _signed(".".join(map(b64url, parts)), key)


def _signed(text: str, key: Identity = OWNER_KEYS) -> str:
    return f"{text}.{b64url(key.signing.sign(text.encode()))}"


def _nonce(at: int, key: bytes = _SERVER_KEY) -> str:
    """A nonce as the server gave it at that second."""
    process = Proofs((ORIGIN,), key, lambda: at * 1_000_000)
    with patch("coffret_server.proofs.secrets.token_bytes", Steady(f"nonce of {at}")):
        return process.new_nonce()


def _given(proof: str, **changes: Any) -> dict[str, Any]:
    """A request of now, to a process that runs for long and has taken nothing yet.

    Args:
        proof: what it brings.
        changes: what is otherwise. ``earlier`` are proofs that came with the same request, each
            with the second; ``nonces`` those that the server gave, each with the second.
    """
    return {
        "proof": proof,
        "public": OWNER_KEYS.signing.public.hex(),
        "token": _TOKEN,
        "method": "GET",
        "path": _PATH,
        "query": "limit=5",
        "body": "",
        "origins": [ORIGIN],
        "began": _NOW - 1_000,
        "now": _NOW,
        "earlier": [],
        "server_key": _SERVER_KEY.hex(),
        "nonces": [],
    } | changes


def _of_sdk(name: str, *, nonce: str = "", now: int = _NOW, **changes: Any) -> dict[str, Any]:
    """A request with the proof that the SDK makes for it."""
    given = _given("", **changes)
    prover = Prover(OWNER_KEYS.signing, Ambient(random=Steady(name), now=lambda: now * 1_000_000))
    prover.nonce = nonce
    body = bytes.fromhex(given["body"])
    request = Request(given["method"], given["path"], body, token=given["token"])
    address = given["origins"][-1] + given["path"]
    return given | {"proof": prover.prove(request, address, given["query"].encode())}


def _taken() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "by a device", _of_sdk("get")
    body: dict[str, Any] = {"method": "POST", "query": "", "body": b'{"state":"paused"}'.hex()}
    yield "of a body", _of_sdk("post", **body)
    yield "of neither query nor body", _of_sdk("bare", query="")
    yield "for a token", _of_sdk("token", token="", path="/api/v1/auth/token", query="")
    yield "at another name of the server", _of_sdk("name", origins=["http://a:8080", ORIGIN])
    yield "60 s old", _of_sdk("old", now=_NOW - 60)
    yield "of the second in which the process began", _of_sdk("new", began=_NOW)
    for name, at in (("now", _NOW), ("60 s ago", _NOW - 60), ("10 s ahead", _NOW + 10)):
        nonce = _nonce(at)
        told: dict[str, Any] = {"nonce": nonce, "nonces": [[nonce, at]]}
        yield f"with a nonce of {name}, by a wrong clock", _of_sdk(name, now=1, **told)
    nonce = _nonce(_NOW)
    far = _claims(nonce=nonce, iat=1 << 53)
    yield "of the last second there is", _given(_jws(_header(), far), nonces=[[nonce, _NOW]])
    earlier = [[_NOW, _jws(_header(), _claims(jti="another name that nobody had"))]]
    yield "behind another one", _given(_jws(_header(), _claims()), earlier=earlier)
    back = [[_NOW + 11, _jws(_header(), _claims(jti="a name of before", iat=_NOW + 11))]]
    yield "behind a clock that was put back", _given(_jws(_header(), _claims()), earlier=back)
    yield from ((name, _given(proof)) for name, proof in _as_good())


def _as_good() -> Iterator[tuple[str, str]]:
    """Proofs in other forms of JSON, all for the request as it is given."""
    head = _header()
    spaced = b" \n" + json.dumps(_claims()).encode() + b"\t "
    yield "with white space", _jws(head, spaced)
    turned = dict(reversed(_claims().items()))
    yield "in another order", _jws(dict(reversed(head.items())), turned)
    twice = json.dumps(_claims()).replace('"htm"', '"htm": "POST", "htm"').encode()
    yield "a claim twice, of which the last counts", _jws(head, twice)
    for name, jti in (("16", "x" * 16), ("64", "x" * 64), ("16 other", "\u00fc" * 16)):
        yield f"a name of {name} characters", _jws(head, _claims(jti=jti))
    escaped = json.dumps(_claims()).replace("GET", "\\u0047ET").encode()
    yield "a claim with an escape", _jws(head, escaped)
    yield "4,096 bytes", _long(4_096)


def _long(size: int) -> str:
    """A proof of that many bytes, which spaces make so long."""
    for spaces in range(3):  # a part of 4n + 1 letters there is none
        header = json.dumps(_header()).encode() + b" " * spaces
        claims = json.dumps(_claims()).encode()
        while len(proof := _jws(header, claims)) < size:
            claims += b" " * max(1, (size - len(proof)) * 3 // 4 - 4)
        if len(proof) == size:
            return proof
    raise AssertionError


def _malformed() -> Iterator[tuple[str, str]]:
    """What is no proof in the published form, though its signature is right where it can be."""
    good = _jws(_header(), _claims())
    head, claims, signature = good.split(".")
    yield "nothing", ""
    yield "two parts", f"{head}.{claims}"
    yield "four parts", f"{good}.{signature}"
    yield "no signature", f"{head}.{claims}."
    yield "a space behind it", good + " "
    yield "4,097 bytes", _long(4_097)
    yield "4,097 bytes, and more behind them", _long(4_097) + "A"
    for name, part in (("header", head), ("claims", claims)):
        padded = part + "=" * (-len(part) % 4 or 4)
        yield f"a padded {name}", _signed(good.replace(part, padded).rpartition(".")[0])
    yield "a padded signature", good + "=="
    yield "a signature in another spelling", good[:-1] + _next_letter(good[-1])
    url = _jws(_header(), _claims(jti="\u00ff\u00fe" * 8)).rpartition(".")[0]
    for name, old, new in (("/", "_", "/"), ("+", "-", "+")):
        found = next(text for text in (url, _dashed()) if old in text)
        yield f"base64 with {name}", _signed(found.replace(old, new))
    yield "a signature of 63 bytes", f"{head}.{claims}.{b64url(_raw(signature)[:-1])}"
    yield "a signature of 65 bytes", f"{head}.{claims}.{b64url(_raw(signature) + bytes(1))}"
    for name, header in _wrong_headers():
        yield name, _jws(header, _claims())
    for name, wrong in _wrong_claims():
        yield name, _jws(_header(), wrong)


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _next_letter(letter: str) -> str:
    """Another letter for the same bits, where four of its six count for nothing."""
    order = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return order[order.index(letter) ^ 1]


def _dashed() -> str:
    """A header and claims with a hyphen in them."""
    for at in range(100):
        text = _jws(_header(), _claims(jti=f"\u00fb\u00ef\u00be{at:032}>>>???")).rpartition(".")[0]
        if "-" in text:
            return text
    raise AssertionError


def _wrong_headers() -> Iterator[tuple[str, Any]]:
    head = _header()
    for name, value in (("typ", "JWT"), ("typ", "DPOP+JWT"), ("alg", "none"), ("alg", "HS256"),
                        ("alg", "Ed25519"), ("jwk", "x")):  # fmt: skip
        yield f"a header with the {name} {value}", head | {name: value}
    for name in head:
        left = {key: part for key, part in head.items() if key != name}
        yield f"a header without {name}", left
    for name, value in (("kty", "EC"), ("crv", "X25519"), ("x", head["jwk"]["x"] + "="),
                        ("x", head["jwk"]["x"][:-1]), ("d", "x" * 43)):  # fmt: skip
        yield f"a key with the {name} {value[:44]}", head | {"jwk": head["jwk"] | {name: value}}
    yield "a header with kid", head | {"kid": "1"}
    yield "a header with crit", head | {"crit": []}
    yield "a header that is a list", list(head.values())
    yield "a header that is no JSON", b"{"
    yield "a header with more behind it", json.dumps(head).encode() + b"{}"


def _wrong_claims() -> Iterator[tuple[str, Any]]:
    good = _claims()
    for name in ("jti", "htm", "htu", "iat", "bdg"):
        yield f"without {name}", _claims(**{name: None})
    for name in ("ath", "nonce"):
        yield f"{name} null", good | {name: None}
    yield "a name of 15 characters", _claims(jti="x" * 15)
    yield "a name of 65 characters", _claims(jti="x" * 65)
    yield "a name that is a number", _claims(jti=10**20)
    for value in (float(_NOW), str(_NOW), True, -1, (1 << 53) + 1, 10**30):
        yield f"the time {value!r}", _claims(iat=value)
    yield "a nonce of 65 characters", _claims(nonce="A" * 65)
    yield "a nonce that is a number", _claims(nonce=1)
    yield "with exp", _claims(exp=_NOW + 60)
    for name in ("ath", "bdg"):
        yield f"{name} with padding", _claims(**{name: good[name] + "="})
        yield f"{name} in hex", _claims(**{name: sha256(b"").hexdigest()})
    yield "claims that are a list", list(good.values())
    yield "claims that are a text", "claims"
    text = json.dumps(good).encode()
    yield "claims with a byte order mark", b"\xef\xbb\xbf" + text
    yield "claims that are no UTF-8", text.replace(b"GET", b"G\xff")
    yield "claims with a lone surrogate", text.replace(b"nobody", b"\\ud800")
    yield "claims with a bare control character", text.replace(b"nobody", b"no\x01body")
    yield "claims with more behind them", text + b"\0"
    yield "claims with a comma at the end", text[:-1] + b",}"
    yield "claims with a time that is not finite", text.replace(str(_NOW).encode(), b"NaN")


def _for_another() -> Iterator[tuple[str, dict[str, Any]]]:
    """Well-formed and of now, but not for this request, token or key."""
    good = _jws(_header(), _claims())
    head, claims, signature = good.split(".")
    yield "by another key", _given(_jws(_header(APP_KEYS), _claims(), APP_KEYS))
    yield "by another key that says it is this one", _given(_jws(_header(), _claims(), APP_KEYS))
    yield "for another holder", _given(good, public=APP_KEYS.signing.public.hex())
    other = b64url(json.dumps(_claims(jti="another name that nobody had")).encode())
    yield "with another one's signature", _given(f"{head}.{other}.{signature}")
    statement = sign_statement(OWNER_KEYS.signing, "login", f"{head}.{claims}".encode())
    yield "signed as a statement", _given(f"{head}.{claims}.{b64url(statement)}")
    for name, changes in (
        ("another method", {"method": "DELETE"}),
        ("the method in other letters", {"method": "get"}),
        ("another path", {"path": _PATH + "/x"}),
        ("a path with a slash at its end", {"path": _PATH + "/"}),
        ("another query", {"query": "limit=6"}),
        ("no query", {"query": ""}),
        ("a body", {"body": b"x".hex()}),
        ("a body where the proof has a query", {"query": "", "body": b"limit=5".hex()}),
        ("another token", {"token": _TOKEN + "2"}),
        ("no token", {"token": ""}),
        ("another server", {"origins": ["https://evil.example"]}),
        ("another scheme", {"origins": [ORIGIN.replace("https", "http")]}),
        ("a server without a name", {"origins": []}),
    ):
        yield name, _given(good) | changes
    yield "with a query in its address", _given(_jws(_header(), _claims(htu=_ADDRESS + "?limit=5")))
    yield "a token, and a proof for none", _given(_jws(_header(), _claims(ath=None)))
    late = _claims(iat=_NOW - 61, htm="POST")
    yield "another method, and of another time", _given(_jws(_header(), late))


def _again() -> Iterator[tuple[str, dict[str, Any]]]:
    """What was taken before."""
    good = _jws(_header(), _claims())
    yield "twice", _given(good, earlier=[[_NOW, good]])
    yield "a name again", _given(_jws(_header(), _claims()), earlier=[[_NOW, _long(4_096)]])
    yield "twice, the clock a little back", _given(good, earlier=[[_NOW, good], [_NOW + 9, good]])
    nonce = _nonce(_NOW - 60)
    told = _jws(_header(), _claims(nonce=nonce, iat=1))
    before = {"earlier": [[_NOW - 9, told]], "nonces": [[nonce, _NOW - 60]]}
    yield "twice, with a nonce", _given(told, **before)


def _of_another_time() -> Iterator[tuple[str, dict[str, Any]]]:
    """Right in everything else."""
    for name, at in (("61 s old", _NOW - 61), ("of the next second", _NOW + 1), ("of 1970", 0)):
        yield name, _given(_jws(_header(), _claims(iat=at)))
    good = _jws(_header(), _claims(iat=_NOW - 1))
    yield "of before the process began", _given(good, began=_NOW)
    back = [[_NOW + 11, _jws(_header(), _claims(jti="a name of before", iat=_NOW + 11))]]
    yield "of before the clock was put back", _given(good, earlier=back)
    for name, at in (("61 s old", _NOW - 61), ("11 s ahead", _NOW + 11)):
        nonce = _nonce(at)
        proof = _jws(_header(), _claims(nonce=nonce))
        yield f"with a nonce {name}", _given(proof, nonces=[[nonce, at]])
    nonce = _nonce(_NOW - 1)
    proof = _jws(_header(), _claims(nonce=nonce))
    before = {"began": _NOW, "nonces": [[nonce, _NOW - 1]]}
    yield "with a nonce of before the process began", _given(proof, **before)
    for name, wrong in (("another server's nonce", _nonce(_NOW, steady("another server", 32))),
                        ("no nonce at all", "x" * 64), ("an empty nonce", "")):  # fmt: skip
        yield name, _given(_jws(_header(), _claims(nonce=wrong)))


def proof_book() -> Book:
    """Proofs of possession, and how a process of a server takes them."""
    book = Book("proof", "7-http", "DPoP proofs (RFC 9449): taken once, for one request and key.")
    for name, given in _taken():
        book.accept(name, "check-proof", given)
    wrong = [(name, _given(proof)) for name, proof in _malformed()]
    for name, given in (*wrong, *_for_another(), *_again()):
        book.refuse(name, "check-proof", given, "invalid-proof")
    for name, given in _of_another_time():
        book.refuse(name, "check-proof", given, "use-nonce")
    for name, key in (("the owner's", OWNER_KEYS), ("an app's", APP_KEYS)):
        public = {"public": key.signing.public.hex()}
        book.accept(name, "key-thumbprint", public, thumbprint=thumbprint(key.signing.public))
    return book
