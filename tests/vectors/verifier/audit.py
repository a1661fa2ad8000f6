"""Audit files, from docs/spec/5-log.md, Audit file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from vectors.verifier import objects
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
    from collections.abc import Iterator

Values = dict[str, Any]
Found = list[list[Any]]
_MEMORY = ("put", "delete", "accept", "reject")
_ENDS = ("pause", "resume", "revoke")


def _line(line: str, word: str, count: int) -> list[bytes]:
    require(len(line.encode()) <= 1 << 22, TOO_LARGE)
    require(word != "leaf" or len(line.encode()) <= 1024, TOO_LARGE)
    require(line.isascii() and line.endswith("\n"))
    first, *parts = line[:-1].split(" ")
    require(first == word and len(parts) == count)
    return [_bytes(part) for part in parts]


def _bytes(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused(MALFORMED) from None
    require(base64.b64encode(data).decode() == text)
    return data


class _File:
    """A file's parts, of which everything but the leaves is verified."""

    def __init__(self, text: str) -> None:
        lines = _lines(text)
        require(next(lines, "") == "coffret/v1/audit\n")
        newest, signature = _line(next(lines, ""), "card", 2)
        rest = list(lines)
        steps = list(_while(rest, "succession", 3))
        grants = list(_while(rest, "grant", 2))
        require(len(steps) <= 1_000 and len(grants) <= 10_000, TOO_LARGE)
        try:
            note = _line(rest.pop(0) if rest else "", "head", 1)[0].decode()
        except UnicodeDecodeError:
            raise Refused(MALFORMED) from None
        self.head = objects.parse_head(note)
        self.cards = [card for card, _, _ in steps] + [newest]
        self.successions = [succession for _, succession, _ in steps]
        card = objects.parse("account", newest)
        self.account = card["account_id"]
        read = [(objects.parse("grant", g), objects.parse("app-manifest", m)) for g, m in grants]
        public = bytes.fromhex(card["signing_public"])
        ed25519_verify(public, pae("sign/account", newest), signature)
        self._check_steps([signed for _, _, signed in steps])
        self._check_head(public)
        self.keys: dict[str, Values] = {}
        every: dict[str, set[str]] = {}
        for (statement, manifest), (grant, app) in zip(grants, read, strict=True):
            named = grant["account_id"], grant["app_id"], grant["manifest_digest"]
            require(named == (self.account, app["app_id"], sha256(manifest).hex()), UNTRUSTWORTHY)
            every.setdefault(app["app_id"], set()).add(app["signing_public"])
            require(len(every[app["app_id"]]) <= 100, TOO_LARGE)
            self.keys[sha256(statement).hex()] = grant | {"key": app["signing_public"]}
        self.leaves = [_line(line, "leaf", 1)[0] for line in rest]

    def _check_steps(self, signatures: list[bytes]) -> None:
        cards = [objects.parse("account", card) for card in self.cards]
        told = [objects.parse("succession", raw) for raw in self.successions]
        for at, (says, signature) in enumerate(zip(told, signatures, strict=True)):
            hashes = [sha256(card).hex() for card in self.cards[at : at + 2]]
            require([says["before"], says["after"]] == hashes, UNTRUSTWORTHY)
            require(says["generation"] == told[0]["generation"] + at, UNTRUSTWORTHY)
            require(says["account_id"] == cards[at]["account_id"] == self.account, UNTRUSTWORTHY)
            public = bytes.fromhex(cards[at]["signing_public"])
            ed25519_verify(public, pae("sign/succession", self.successions[at]), signature)

    def _check_head(self, public: bytes) -> None:
        key_id = objects.head_key_id(bytes.fromhex(self.head["account_id"]), public)
        require(self.head["key_id"] == key_id.hex(), BAD_SIGNATURE)
        signature = bytes.fromhex(self.head["signature"])
        ed25519_verify(public, self.head["text"].encode(), signature)
        require(self.head["account_id"] == self.account, UNTRUSTWORTHY)

    def is_signed(self) -> bool:
        """Whether the leaves are those under the head."""
        if len(self.leaves) != self.head["size"]:
            return False
        return bool(_root(self.leaves).hex() == self.head["root"])


def _lines(text: str) -> Iterator[str]:
    *ended, rest = text.split("\n")
    yield from (f"{line}\n" for line in ended)
    if rest:
        yield rest


def _while(lines: list[str], word: str, count: int) -> Iterator[list[bytes]]:
    while lines and lines[0].startswith(f"{word} "):
        yield _line(lines.pop(0), word, count)


def _root(leaves: list[bytes]) -> bytes:
    level = [sha256(b"\0" + leaf) for leaf in leaves]
    if not level:
        return sha256(b"")
    while len(level) > 1:  # a last one without a neighbour goes up as it is: RFC 6962's tree
        pairs = [sha256(b"\1" + a + b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


class _Log:
    """What the entries so far come to."""

    def __init__(self, file: _File) -> None:
        self.file = file
        self.memories: dict[str, list[Values]] = {}
        self.over: set[str] = set()
        self.grants: dict[str, Values] = {}
        self.unasked: set[str] = set()
        self.times: list[int] = []
        self.counted: dict[str, int] = {}

    def look(self, at: int, raw: bytes) -> Iterator[str]:
        """What is found in one entry."""
        try:
            entry = objects.parse_leaf(raw)
        except Refused:
            yield "unreadable"
            return
        if entry["account_id"] != self.file.account:
            yield "foreign"
            return
        self.counted[entry["kind"]] = self.counted.get(entry["kind"], 0) + 1
        self.times.append(entry["time"])
        if entry["author"] is not None and not self._is_signed(entry, raw):
            yield "unsigned"
        of_memory, of_grant = entry["kind"] in _MEMORY, entry["kind"] in ("grant", *_ENDS)
        about = f"{of_memory} {entry['subject']}"
        if (of_memory or of_grant) and about in self.unasked:
            return
        if not self._in_turn(at, entry):
            if of_memory or entry["kind"] in _ENDS:
                self.unasked.add(about)
            yield "out-of-turn"

    def _is_signed(self, entry: Values, raw: bytes) -> bool:
        scope = "create" if entry["version"] == 1 else "update"
        scope = "delete" if entry["kind"] == "delete" else scope
        for state in self.grants.values():
            told = self.file.keys.get(state["digest"])
            if told is None or state["over"] or told["app_id"] != entry["author"]:
                continue
            if scope not in told["scopes"]:
                continue
            try:
                message, signature = pae("sign/app-entry", raw[:-64]), raw[-64:]
                ed25519_verify(bytes.fromhex(told["key"]), message, signature)
            except Refused as refused:
                if refused.outcome != BAD_SIGNATURE:
                    raise
                continue
            return True
        return False

    def _in_turn(self, at: int, entry: Values) -> bool:
        kind = entry["kind"]
        if (at == 0) is not (kind == "account"):
            return False
        if kind in _MEMORY:
            return self._memory(entry)
        if kind == "grant" or kind in _ENDS:
            return self._grant(entry)
        return kind.startswith("keyslot") or self._account(entry)

    def _account(self, entry: Values) -> bool:
        kind, version, digest = entry["kind"], entry["version"], entry["digest"]
        mine = entry["subject"] == self.file.account
        if kind == "account":
            return bool(mine and version == 1 and digest == sha256(self.file.cards[0]).hex())
        number = self.counted[kind] - self.skipped(kind)
        if kind == "settings":
            return bool(version == number)
        told = self.file.successions[number - 1 : number]
        if not told or digest != sha256(told[0]).hex():
            return False
        generation = objects.parse("succession", told[0])["generation"]
        return bool(mine and version == generation == number + 1)

    def skipped(self, kind: str) -> int:
        """Entries that were counted and not asked where they stand: at the very beginning."""
        return self.first == kind

    first = ""

    def _grant(self, entry: Values) -> bool:
        known = self.grants.get(entry["subject"])
        if entry["kind"] == "grant":
            if known or entry["version"] != 1:
                return False
            self.grants[entry["subject"]] = {"digest": entry["digest"], "last": 1, "over": False}
            told = self.file.keys.get(entry["digest"])
            return told is None or told["grant_id"] == entry["subject"]
        if known is None or known["over"] or entry["digest"] != known["digest"]:
            return False
        if entry["version"] != known["last"] + 1:
            return False
        known["last"], known["over"] = entry["version"], entry["kind"] == "revoke"
        return True

    def _memory(self, entry: Values) -> bool:
        """A memory is its versions in turn; each says who wrote it, and what became of it."""
        subject, kind = entry["subject"], entry["kind"]
        versions = self.memories.setdefault(subject, [])
        if subject in self.over:
            return False
        if kind in ("accept", "reject"):
            return self._decided(entry, versions)
        if entry["version"] != len(versions) + 1:
            return False
        if kind == "delete" and entry["digest"] != (versions[-1]["digest"] if versions else ""):
            return False
        waits = entry["author"] is not None
        if kind == "delete" and not waits:
            self.over.add(subject)
        versions.append({"digest": entry["digest"], "kind": kind, "waits": waits})
        if not waits:
            versions[-1]["current"] = True
        return True

    def _decided(self, entry: Values, versions: list[Values]) -> bool:
        number = entry["version"]
        if number > len(versions) or not versions[number - 1]["waits"]:
            return False
        chosen = versions[number - 1]
        if chosen["digest"] != entry["digest"]:
            return False
        if entry["kind"] == "accept":
            if chosen["kind"] == "delete":
                self.over.add(entry["subject"])
            elif any(version.get("current") for version in versions[number:]):
                return False
            chosen["current"] = True
        chosen["waits"] = False
        return True


def _read(text: str) -> tuple[_File, _Log, Found]:
    file = _File(text)
    log, found = _Log(file), []
    for at, raw in enumerate(file.leaves):
        found += [[what, at] for what in log.look(at, raw)]
        if at == 0 and "account" not in log.counted:
            log.first = next(iter(log.counted), "")
    if len(file.leaves) != file.head["size"]:
        found.append(["count", None])
    elif not file.is_signed():
        found.append(["root", None])
    changes = log.counted.get("rotate", 0) - log.skipped("rotate")
    if not file.leaves or changes < len(file.successions):
        found.append(["out-of-turn", None])
    return file, log, found


def whole(given: Values) -> Values:
    """What a log says that is whole."""
    file, log, found = _read(given["file"])
    require(not found, UNTRUSTWORTHY)
    return {
        "account_id": file.account,
        "size": file.head["size"],
        "entries": log.counted,
        "times": [min(log.times), max(log.times)],
    }


def findings(given: Values) -> Values:
    """What is wrong with a log."""
    return {"findings": _read(given["file"])[2]}


def compare(given: Values) -> Values:
    """How a log stands to what was kept of it."""
    judged, kept = _File(given["file"]), _File(given["kept"])
    require(kept.is_signed(), UNTRUSTWORTHY)
    fewer, more = sorted((judged.cards, kept.cards), key=len)
    require(more[: len(fewer)] == fewer, UNTRUSTWORTHY)
    here, there, signed = judged.leaves, kept.leaves, judged.is_signed()
    if here[: len(there)] == there:
        relation = "continues"
        if len(here) == len(there):
            same = judged.head["text"] == kept.head["text"]
            relation = "same" if same else "two-heads" if signed else "altered"
        return {"relation": relation, "differences": []}
    relation = "forked" if signed else "altered"
    if signed and there[: len(here)] == here:
        relation = "rolled-back"
    return {"relation": relation, "differences": _differences(there, here)}


def _differences(there: list[bytes], here: list[bytes]) -> Found:
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for at, leaf in enumerate(here):
        free = [n for n, other in enumerate(there) if other == leaf and n not in taken]
        if free:
            taken.add(free[0])
            pairs.append((free[0], at))
    stays = _in_order(pairs)
    found: Found = [["moved", n, at] for n, at in pairs if (n, at) not in stays]
    paired = {at for _, at in pairs}
    edges = [(-1, -1), *stays, (len(there), len(here))]
    for edge, (n1, at1) in enumerate(edges[1:]):
        n0, at0 = edges[edge]
        gone = [n for n in range(n0 + 1, n1) if n not in taken]
        new = [at for at in range(at0 + 1, at1) if at not in paired]
        while gone and new:
            found.append(["altered", gone.pop(0), new.pop(0)])
        found += [["missing", n, None] for n in gone]
        if n1 < len(there):
            found += [["added", None, at] for at in new]
    return sorted(found, key=lambda item: (item[2] if item[1] is None else item[1], item[2] or 0))


def _in_order(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run, by every run that ends lowest for its length."""
    best: list[list[tuple[int, int]]] = [[]]
    for pair in pairs:
        longest = max(n for n, run in enumerate(best) if not run or run[-1][0] < pair[0])
        run = [*best[longest], pair]
        if longest + 1 == len(best):
            best.append(run)
        else:
            best[longest + 1] = run
    return best[-1]


def keyed(given: Values) -> Values:
    """The file, its one grant's line replaced by as many, each with the key SHA-256(u64 number)."""
    lines = list(_lines(given["file"]))
    at = next(at for at, line in enumerate(lines) if line.startswith("grant "))
    statement, manifest = _line(lines[at], "grant", 2)
    public = bytes.fromhex(objects.parse("app-manifest", manifest)["signing_public"])
    told = []
    for number in range(given["keys"]):
        app = manifest.replace(public, sha256(number.to_bytes(8, "big")))
        both = statement.replace(sha256(manifest), sha256(app)), app
        told.append(" ".join(["grant", *(base64.b64encode(part).decode() for part in both)]) + "\n")
    return whole({"file": "".join([*lines[:at], *told, *lines[at + 1 :]])})
