"""Files of evidence, from docs/spec/5-log.md."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from vectors.verifier import objects, tree
from vectors.verifier.curves import ed25519_verify
from vectors.verifier.encoding import pae, sha256
from vectors.verifier.refusal import (
    BAD_SIGNATURE,
    MALFORMED,
    TOO_LARGE,
    UNTRUSTWORTHY,
    Refused,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Values = dict[str, Any]

_EVERY = {"format", "kind", "origin", "card", "card_signature", "held", "shown"}
_MORE: dict[str, set[str]] = {
    "fork": {"leaf", "proof"},
    "two-heads": set(),
    "unlinked": set(),
    "rolled-back": {"held_size", "shown_size"},
    "altered": {"frontier", "leaves"},
}
_LISTS = {"proof", "frontier", "leaves"}
_SIZES = {"held_size", "shown_size"}
_PROOFS = {"fork", "two-heads"}


def _bytes(text: str, size: int | None = None) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused(MALFORMED) from None
    require(base64.b64encode(data).decode() == text)
    require(size is None or len(data) == size)
    return data


def _read(data: bytes) -> Values:
    require(len(data) <= 1 << 20, TOO_LARGE)
    try:
        file: Any = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        raise Refused(MALFORMED) from None
    require(isinstance(file, dict) and isinstance(file.get("kind"), str))
    names = set(file) - {"successions"}
    require(file["kind"] in _MORE and names == _EVERY | _MORE[file["kind"]])
    again = json.dumps(file, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n"
    require(again.encode() == data)
    for name, value in file.items():
        if name == "successions":
            _check_steps(value)
        elif name in _LISTS:
            require(isinstance(value, list) and all(isinstance(item, str) for item in value))
        elif name in _SIZES:
            require(type(value) is int and 0 <= value < 1 << 63)
        else:
            require(isinstance(value, str))
    require(file["format"] == "coffret/v1/evidence")
    require(1 <= len(file["origin"]) <= 300 and all(" " <= c <= "~" for c in file["origin"]))
    _check_bytes(file)
    values: Values = file
    return values


def _check_bytes(file: Values) -> None:
    leaf = [file["leaf"]] if file.get("leaf") else []
    for text in (*leaf, *file.get("proof", ()), *file.get("frontier", ())):
        _bytes(text, 32)
    steps = [text for step in file.get("successions", ()) for text in step.values()]
    for text in (file["card"], file["card_signature"], *steps, *file.get("leaves", ())):
        _bytes(text)


def _check_steps(value: Any) -> None:
    require(isinstance(value, list) and bool(value))
    for step in value:
        require(isinstance(step, dict) and set(step) == {"card", "succession", "signature"})
        require(all(isinstance(text, str) for text in step.values()))


def _cards(file: Values, newest: bytes) -> list[Values]:
    """The owner's cards in turn, each of which says which one follows."""
    steps = [{name: _bytes(text) for name, text in s.items()} for s in file.get("successions", [])]
    raw = [*(step["card"] for step in steps), newest]
    cards = [objects.parse("account", card) for card in raw]
    told = [objects.parse("succession", step["succession"]) for step in steps]
    for at, (step, says) in enumerate(zip(steps, told, strict=True)):
        named = says["account_id"] == cards[at]["account_id"] == cards[-1]["account_id"]
        follows = says["generation"] == told[0]["generation"] + at
        hashes = (sha256(raw[at]).hex(), sha256(raw[at + 1]).hex())
        leads = (says["before"], says["after"]) == hashes
        require(named and follows and leads, UNTRUSTWORTHY)
        public = bytes.fromhex(cards[at]["signing_public"])
        ed25519_verify(public, pae("sign/succession", step["succession"]), step["signature"])
    return cards


def _signer(note: str, cards: list[Values]) -> int:
    """The place of the card whose key signed a head."""
    head = objects.parse_head(note)
    for at, card in enumerate(cards):
        public = bytes.fromhex(card["signing_public"])
        key_id = objects.head_key_id(bytes.fromhex(head["account_id"]), public)
        try:
            require(head["key_id"] == key_id.hex(), BAD_SIGNATURE)
            ed25519_verify(public, head["text"].encode(), bytes.fromhex(head["signature"]))
        except Refused:
            continue
        return at
    raise Refused(BAD_SIGNATURE)


def _left(index: int, size: int, proof: list[bytes]) -> list[bytes]:
    """The parts of an inclusion proof to the left of its leaf, the leftmost first."""
    if size == 1:
        return []
    k = 1 << (size - 1).bit_length() - 1
    if index < k:
        return _left(index, k, proof[:-1])
    return [proof[-1], *_left(index - k, size - k, proof[:-1])]


def _fold(parts: list[bytes]) -> bytes:
    """The root over perfect trees, from the smallest, rightmost one."""
    if not parts:
        return sha256(b"")
    root = parts[-1]
    for part in parts[-2::-1]:
        root = sha256(b"\1" + part + root)
    return root


def _is_fork(file: Values, held: Values, shown: Values) -> bool:
    first, size = held["size"], shown["size"]
    if not 0 < first <= size:
        return False
    if first == size:
        bare = not file["leaf"] and not file["proof"]
        return bare and held["root"] != shown["root"]
    leaf, proof = _bytes(file["leaf"], 32), [_bytes(part, 32) for part in file["proof"]]
    tree.verify_inclusion_of(leaf, first, size, proof, bytes.fromhex(shown["root"]))
    return bool(_fold(_left(first, size, proof)).hex() != held["root"])


def _is_two_heads(_: Values, held: Values, shown: Values) -> bool:
    if (held["size"], held["root"]) != (shown["size"], shown["root"]):
        return False
    return bool(held["text"] != shown["text"])


def _is_rolled_back(file: Values, held: Values, shown: Values) -> bool:
    sizes = file["held_size"], file["shown_size"]
    if sizes[0] < held["size"] or sizes[1] < shown["size"]:
        return False
    return bool(shown["size"] < held["size"] or sizes[1] < sizes[0])


def _is_altered(file: Values, held: Values, shown: Values) -> bool:
    frontier = [_bytes(part, 32) for part in file["frontier"]]
    leaves = [_bytes(leaf) for leaf in file["leaves"]]
    require(len(frontier) == held["size"].bit_count())
    covered = shown["size"] - held["size"]
    if _fold(frontier).hex() != held["root"] or not 0 <= covered <= len(leaves):
        return False
    root = tree.grown(held["size"], frontier, leaves[:covered])
    return root.hex() != shown["root"] or not all(map(_by_app, leaves[covered:]))


def _by_app(leaf: bytes) -> bool:
    try:
        return bool(objects.parse_leaf(leaf)["signature"])
    except Refused:
        return False


def judge(data: bytes) -> Values:
    """What a file shows, or its outcome class."""
    file = _read(data)
    card_bytes, signature = _bytes(file["card"]), _bytes(file["card_signature"])
    for name in ("held", "shown"):
        objects.parse_head(file[name])
    card = objects.parse("account", card_bytes)
    public = bytes.fromhex(card["signing_public"])
    ed25519_verify(public, pae("sign/account", card_bytes), signature)
    cards = _cards(file, card_bytes)
    signers = [_signer(file[name], cards) for name in ("held", "shown")]
    require(len(cards) == 1 or 0 in signers, UNTRUSTWORTHY)
    held, shown = objects.parse_head(file["held"]), objects.parse_head(file["shown"])
    for head in (held, shown):
        require(head["account_id"] == card["account_id"], UNTRUSTWORTHY)
    checks: dict[str, Callable[[Values, Values, Values], bool]] = {
        "fork": _is_fork,
        "two-heads": _is_two_heads,
        "unlinked": lambda _, held, shown: bool(0 < held["size"] < shown["size"]),
        "rolled-back": _is_rolled_back,
        "altered": _is_altered,
    }
    require(checks[file["kind"]](file, held, shown), UNTRUSTWORTHY)
    return {
        "kind": file["kind"],
        "proven": file["kind"] in _PROOFS,
        "username": card["username"],
        "held": held["size"],
        "shown": shown["size"],
    }
