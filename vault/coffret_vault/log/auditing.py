"""Verify a log that somebody wrote down, by itself. docs/spec/5-log.md, Audit file.

No vault, no network, public keys only. What is wrong is named by the entry's number where one entry
shows it, and looked for to the end: an auditor wants to know all of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from coffret_vault.envelope.signature import verify_head, verify_statement
from coffret_vault.errors import BadSignatureError, FormatError, TooLargeError, TrustError
from coffret_vault.formats import entry as kinds
from coffret_vault.formats.account import ACCOUNT_CARD, AccountCard
from coffret_vault.formats.entry import Entry, Leaf, parse_leaf, scope_of
from coffret_vault.formats.sharing import Grant
from coffret_vault.formats.succession import SUCCESSION
from coffret_vault.log.audit import Preamble, read_audit
from coffret_vault.log.lineage import verify_successions
from coffret_vault.log.replay import NEW, MemoryState, advance
from coffret_vault.log.tree import leaf_hash, root_of
from coffret_vault.log.verify import MEMORY_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

UNREADABLE = "unreadable"
FOREIGN = "foreign"
OUT_OF_TURN = "out-of-turn"
UNSIGNED = "unsigned"
COUNT = "count"
ROOT = "root"
MAX_FINDINGS = 1_000
MAX_KEYS = 100
"""Keys of one app: each of its entries is tried with all those that it may be signed by."""
_MOVES = frozenset((kinds.PAUSE, kinds.RESUME, kinds.REVOKE))


class Finding(msgspec.Struct, frozen=True):
    """What is wrong in a log.

    Attributes:
        what: ``unreadable``: no leaf; ``foreign``: of another account; ``out-of-turn``: it does not
            follow from what is before it, or (no entry) one that belongs there is not;
            ``unsigned``: no app with a grant for it signed it; ``count``: there are more or fewer
            leaves than the head says; ``root``: they are not those under the head.
        entry: which one, counted from 0; None where no single one shows it.
    """

    what: str
    entry: int | None = None


class Audit(msgspec.Struct, frozen=True):
    """A log that was read to its end.

    Attributes:
        preamble: the file's.
        cards: the owner's, in turn; the last one is that of now.
        hashes: of each leaf, in order.
        findings: what is wrong: of entries the first ``MAX_FINDINGS``, of the whole all; nothing in
            a log that is whole.
        found: how much there is.
        counted: the entries by kind.
        times: the earliest and the latest that an entry says, in microseconds; None without one.
    """

    preamble: Preamble
    cards: tuple[AccountCard, ...]
    hashes: tuple[bytes, ...]
    findings: tuple[Finding, ...]
    found: int
    counted: dict[str, int]
    times: tuple[int, int] | None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found

    @property
    def is_signed(self) -> bool:
        """Whether these are the leaves that the owner signed, whatever they say."""
        return not any(finding.what in {COUNT, ROOT} for finding in self.findings)


def audit(lines: Iterable[bytes]) -> Audit:
    """Read a file's log to its end, and verify all of it.

    Raises:
        TooLargeError: it is beyond what any such file is.
        FormatError: it is none, or not in its one form.
        BadSignatureError: the card, a succession or the head is not signed by the owner's keys.
        WeakKeyError: a key of the owner's, or of an app that wrote, would verify any message.
        TrustError: they are not of one account, or do not lead from one to the next; or a grant
            does not name the manifest that comes with it.
    """
    preamble, leaves = read_audit(lines)
    card = ACCOUNT_CARD.parse(preamble.card)
    told = [(*grant.parse(), grant) for grant in preamble.grants]
    verify_statement(card.signing_public, "account", preamble.card, preamble.card_signature)
    cards = verify_successions(preamble.steps, preamble.card)
    if verify_head(card.signing_public, preamble.head).account_id != card.account_id:
        message = "the head in this file is of another account"
        raise TrustError(message)
    grants: dict[bytes, _ToldGrant] = {}
    keys: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for grant, manifest, both in told:
        named = grant.account_id, grant.app_id, grant.manifest_digest
        if named != (card.account_id, manifest.app_id, _digest(both.manifest)):
            message = "a grant in this file does not name the app that comes with it"
            raise TrustError(message)
        keys[grant.app_id].add(manifest.signing_public)
        if len(keys[grant.app_id]) > MAX_KEYS:
            raise TooLargeError
        grants[_digest(both.statement)] = _ToldGrant(grant, manifest.signing_public)
    reading = _Reading(preamble, card.account_id, grants)
    hashes = tuple(reading.take(leaf) for leaf in leaves)
    reading.finish(hashes)
    return Audit(
        preamble=preamble,
        cards=tuple(cards),
        hashes=hashes,
        findings=tuple(reading.findings),
        found=reading.found,
        counted=dict(sorted(reading.counted.items())),
        times=reading.times,
    )


class _ToldGrant(msgspec.Struct, frozen=True):
    """A grant's statement, and the key of the app that it is to."""

    grant: Grant
    public: bytes


class _Granted(msgspec.Struct):
    """A grant as its entries have it."""

    digest: bytes
    version: int = 1
    revoked: bool = False


class _Reading:
    """Takes one leaf after the other."""

    def __init__(
        self, preamble: Preamble, account_id: bytes, told: dict[bytes, _ToldGrant]
    ) -> None:
        self._preamble, self._account_id, self._told = preamble, account_id, told
        cards = (*(step.card for step in preamble.steps), preamble.card)
        self._first = _digest(cards[0])
        self._size = 0
        self._changes = 0
        self._settled = 0
        self._memories: dict[bytes, MemoryState] = {}
        self._grants: dict[bytes, _Granted] = {}
        self._signers: defaultdict[tuple[bytes | None, str], Counter[bytes]] = defaultdict(Counter)
        """By app and scope its keys, and how many grants in force it has under each."""
        self._lost: set[tuple[bool, bytes] | None] = set()
        """Of what nothing more is asked: what follows from a wrong entry would be found again."""
        self.findings: list[Finding] = []
        self.found = 0
        self.counted: Counter[str] = Counter()
        self.times: tuple[int, int] | None = None

    def take(self, data: bytes) -> bytes:
        """Look at the next leaf, and give its hash."""
        index, self._size = self._size, self._size + 1
        try:
            leaf = parse_leaf(data)
        except FormatError:
            self._find(UNREADABLE, index)
            return leaf_hash(data)
        entry = leaf.entry
        if entry.account_id != self._account_id:
            self._find(FOREIGN, index)
            return leaf_hash(data)
        self.counted[entry.kind] += 1
        first, last = self.times or (entry.time, entry.time)
        self.times = min(first, entry.time), max(last, entry.time)
        if leaf.signature and not self._by_app(leaf):
            self._find(UNSIGNED, index)
        about = _about(entry)
        if about not in self._lost and not self._follows(entry, index):
            self._find(OUT_OF_TURN, index)
            if about is not None and entry.kind != kinds.GRANT:
                self._lost.add(about)
        return leaf_hash(data)

    def finish(self, hashes: tuple[bytes, ...]) -> None:
        """Compare with the head, and see that each key change was there."""
        head = self._preamble.head.head
        if self._size != head.size:
            self._find(COUNT)
        elif root_of(hashes) != head.root:
            self._find(ROOT)
        if not self._size or self._changes < len(self._preamble.steps):
            self._find(OUT_OF_TURN)

    def _find(self, what: str, index: int | None = None) -> None:
        self.found += 1
        if index is None or len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(what, index))

    def _by_app(self, leaf: Leaf) -> bool:
        entry = leaf.entry
        keys = self._signers.get((entry.author.app_id, scope_of(entry)), Counter())
        for public in [key for key, grants in keys.items() if grants]:
            with suppress(BadSignatureError):
                verify_statement(public, "app-entry", leaf.message, leaf.signature)
                return True
        return False

    def _follows(self, entry: Entry, index: int) -> bool:
        if (index == 0) != (entry.kind == kinds.ACCOUNT):
            return False
        if entry.kind in MEMORY_KINDS:
            try:
                state = advance(self._memories.get(entry.subject, NEW), entry, index)
            except TrustError:
                return False
            self._memories[entry.subject] = state
            return True
        ask = {
            kinds.ACCOUNT: self._begins,
            kinds.ROTATE: self._follows_keys,
            kinds.SETTINGS: self._follows_settings,
            kinds.GRANT: self._follows_grant,
            **dict.fromkeys(_MOVES, self._follows_grant),
        }.get(entry.kind)
        return ask is None or ask(entry)

    def _begins(self, entry: Entry) -> bool:
        named = entry.subject, entry.version, entry.digest
        return named == (self._account_id, 1, self._first)

    def _follows_settings(self, entry: Entry) -> bool:
        self._settled += 1
        return entry.version == self._settled

    def _follows_grant(self, entry: Entry) -> bool:
        known = self._grants.get(entry.subject)
        if entry.kind == kinds.GRANT:
            if known is not None or entry.version != 1:
                return False
            self._grants[entry.subject] = _Granted(entry.digest)
            told = self._may_sign(entry.digest, 1)
            return told is None or told.grant_id == entry.subject
        if known is None or known.revoked:
            return False
        if (entry.version, entry.digest) != (known.version + 1, known.digest):
            return False
        known.version, known.revoked = entry.version, entry.kind == kinds.REVOKE
        if known.revoked:
            self._may_sign(known.digest, -1)
        return True

    def _may_sign(self, digest: bytes, more: int) -> Grant | None:
        """Count a grant in, or out again; its statement, where the file tells it."""
        told = self._told.get(digest)
        if told is None:
            return None
        for scope in told.grant.scopes:
            self._signers[told.grant.app_id, scope][told.public] += more
        return told.grant

    def _follows_keys(self, entry: Entry) -> bool:
        self._changes += 1
        if self._changes > len(self._preamble.steps):
            return False
        succession = self._preamble.steps[self._changes - 1].succession
        generation = SUCCESSION.parse(succession).generation
        told = self._account_id, generation, _digest(succession)
        named = entry.subject, entry.version, entry.digest
        return named == told and generation == self._changes + 1


def _about(entry: Entry) -> tuple[bool, bytes] | None:
    """Which grant or memory it is about, if it is about one."""
    is_memory = entry.kind in MEMORY_KINDS
    if is_memory or entry.kind == kinds.GRANT or entry.kind in _MOVES:
        return is_memory, entry.subject
    return None


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
