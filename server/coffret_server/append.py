"""The owner's append: checked as far as its bytes go, then applied in one transaction."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar
from uuid import UUID

import msgspec

from coffret_server.ledger import Ledger
from coffret_server.news import WRAPS_LIMIT
from coffret_server.problems import ProblemError, refuse
from coffret_server.quiet import Overtaken
from coffret_server.rows import (
    BESIDE_MEMORIES,
    REPEATABLE,
    Put,
    Rewrap,
    State,
    check_length,
    load_state,
)
from coffret_server.signatures import Verifier
from coffret_server.storage.base import SQLITE_VARIABLES, Tx, marks
from coffret_server.wire import pae, records
from coffret_server.wire.log import Entry, Head, key_id, parse_entry, parse_head, vault_name

RECORDS_LIMIT: Final = 1_000
LEAVES_LIMIT: Final = 5_000
MEMORY_KINDS: Final = frozenset({"put", "accept", "reject", "delete"})
_packed = msgspec.msgpack.Encoder().encode
T = TypeVar("T")

Record = tuple[bytes, bytes, bytes, bytes]
_AS_LEAVES: Final = msgspec.Meta(max_length=LEAVES_LIMIT)
_AS_WRAPS: Final = msgspec.Meta(max_length=WRAPS_LIMIT)
Leaves = Annotated[list[bytes], _AS_LEAVES]
Records = Annotated[list[Record], msgspec.Meta(max_length=RECORDS_LIMIT)]
Count = Annotated[int, msgspec.Meta(ge=1, le=pae.FARTHEST)]
Accepts = Annotated[list[tuple[UUID, Count, bytes, bytes]], _AS_LEAVES]
Wraps = Annotated[list[tuple[UUID, UUID, Count, bytes]], _AS_WRAPS]
Unwraps = Annotated[list[tuple[UUID, UUID]], _AS_WRAPS]


class Append(msgspec.Struct, forbid_unknown_fields=True):
    """An append as it comes: see docs/spec/7-http.md.

    A list that is too long is refused by its length (`problems.unshaped`): a body has room for two
    million items, and to make them all takes seconds.
    """

    base: int
    head: str
    leaves: Leaves | msgspec.UnsetType = msgspec.UNSET
    records: Records | msgspec.UnsetType = msgspec.UNSET
    accepts: Accepts | msgspec.UnsetType = msgspec.UNSET
    wraps: Wraps | msgspec.UnsetType = msgspec.UNSET
    unwraps: Unwraps | msgspec.UnsetType = msgspec.UNSET


class Vault(msgspec.Struct, frozen=True):
    """Whose log it is, and how its heads are signed."""

    account: bytes
    name: str
    key_id: bytes
    verifier: Verifier

    @classmethod
    def of(cls, account: UUID, verifier: Verifier) -> "Vault":
        """The vault of an account."""
        name = vault_name(account)
        return cls(account.bytes, name, key_id(name, verifier.public_key), verifier)


class Expected(msgspec.Struct, frozen=True):
    """An entry that a control-plane call must carry in its append."""

    kind: str
    subject: bytes
    version: int
    digest: bytes


class Wrap(msgspec.Struct, frozen=True, gc=False):
    """A memory's key wrapped for a grant."""

    grant: bytes
    memory: bytes
    key_number: int
    wrap: bytes


class Prepared(msgspec.Struct, frozen=True):
    """An append whose every byte was checked that can be checked without the database."""

    account: bytes
    signer: bytes
    base: int
    head: Head
    text: str
    leaves: list[bytes]
    entries: list[Entry]
    puts: dict[tuple[bytes, int], Put]
    accepts: dict[tuple[bytes, int], Rewrap]
    wraps: list[Wrap]
    unwraps: list[tuple[bytes, bytes]]

    def memories(self) -> list[bytes]:
        """The memories whose state has to be read: all but those that begin here."""
        begun, wanted = set(), []
        for entry in self.entries:
            if entry.kind == "put" and entry.version == 1:
                begun.add(entry.subject)
            elif entry.kind in MEMORY_KINDS and entry.subject not in begun:
                wanted.append(entry.subject)
        wanted += [wrap.memory for wrap in self.wraps if wrap.memory not in begun]
        return wanted


class Applied(msgspec.Struct, frozen=True):
    """What an append came to; `repeated` if it had been accepted before."""

    size: int
    repeated: bool = False


def _list(value: list[T] | msgspec.UnsetType) -> list[T]:
    return [] if value is msgspec.UNSET else value


def prepare(append: Append, vault: Vault) -> Prepared:
    """Check an append as far as its bytes go: forms, ids, digests and the head's signature.

    Raises:
        ProblemError: what the append breaks.
    """
    leaves = _list(append.leaves)
    head = parse_head(append.head)
    if append.base < 0 or head.vault != vault.name or head.size != append.base + len(leaves):
        refuse("invalid-input", "the head is not of this account, or not of base and leaves")
    owner = vault.account
    entries = [_owner_entry(leaf, owner) for leaf in leaves]
    puts = prepare_puts(_list(append.records), owner, None)
    check_pairs(entries, puts)
    if head.key_id != vault.key_id:
        refuse("bad-signature", "the head is signed by another key")
    vault.verifier.verify(head.signature, head.signed)
    return Prepared(
        account=owner,
        signer=vault.verifier.public_key,
        base=append.base,
        head=head,
        text=append.head,
        leaves=leaves,
        entries=entries,
        puts=puts,
        accepts=_accepts(append),
        wraps=[_wrap(*item) for item in _list(append.wraps)],
        unwraps=[(g.bytes, m.bytes) for g, m in _list(append.unwraps)],
    )


def _owner_entry(leaf: bytes, account: bytes) -> Entry:
    entry = parse_entry(leaf)
    if entry.account != account or entry.author is not None:
        refuse("invalid-input", "an entry is not of this account and its owner")
    return entry


def prepare_puts(
    parts: Sequence[Record], account: bytes, app: bytes | None
) -> dict[tuple[bytes, int], Put]:
    """Check records and pack them as they are stored.

    Args:
        parts: header, envelope, kek and wrap of each.
        account: whose they are.
        app: the author, or None for the owner.
    """
    puts: dict[tuple[bytes, int], Put] = {}
    for part in parts:
        raw, envelope, kek, wrap = part
        header = records.parse_header(raw)
        records.check_envelope(envelope)
        records.check_wrap(wrap)
        grant = records.parse_kek(kek)
        if header.account != account or header.author != app:
            refuse("invalid-input", "a record is not of this account and author")
        if (grant is None) != (app is None):
            refuse("invalid-input", "a record's kek is not its author's")
        key = header.memory, header.version
        if key in puts:
            refuse("invalid-input", "a record comes twice")
        digest = records.digest(raw, envelope)
        puts[key] = Put(header, digest, _packed(part), wrap, grant)
    return puts


def check_pairs(entries: Sequence[Entry], puts: dict[tuple[bytes, int], Put]) -> None:
    """Every put has its record, with the digest it says, and the reverse."""
    count = 0
    for entry in entries:
        if entry.kind == "put":
            put = puts.get((entry.subject, entry.version))
            if put is None or put.digest != entry.digest:
                refuse("invalid-input", "a put has no record, or one of another digest")
            count += 1
    if count != len(puts):
        refuse("invalid-input", "a record has no entry, or two")


def _accepts(append: Append) -> dict[tuple[bytes, int], Rewrap]:
    found: dict[tuple[bytes, int], Rewrap] = {}
    for memory, version, kek, wrap in _list(append.accepts):
        records.check_wrap(wrap)
        if records.parse_kek(kek) is not None:
            refuse("invalid-input", "an accepted record is wrapped for the owner")
        if (memory.bytes, version) in found:
            refuse("invalid-input", "an accepted record comes twice")
        found[memory.bytes, version] = Rewrap(kek, wrap)
    return found


def _wrap(grant: UUID, memory: UUID, key_number: int, wrap: bytes) -> Wrap:
    records.check_wrap(wrap)
    return Wrap(grant.bytes, memory.bytes, key_number, wrap)


async def apply(
    tx: Tx,
    prepared: Prepared,
    expected: Sequence[Expected] = (),
    *,
    now: int,
    session: bytes | None,
    beside: int = 0,
) -> Applied:
    """Apply an append in the caller's transaction.

    Args:
        tx: the transaction; the account's log row is locked in it.
        prepared: what `prepare` gave.
        expected: the entries beside those of memories that the append must have, no more, no fewer.
        now: µs, for grants that have ended.
        session: by which it came, and which must stand when its turn comes; None for a new account.
        beside: bytes that the caller stores with it, which count to the quota.

    Raises:
        ProblemError: `session-ended`; `log-moved` if the log is not at `base`, or brings no entries
            and another head covers all that are there; `conflict` if the head is in force already
            and entries are still expected of it; or what the append breaks.
    """
    state = await load_state(tx, prepared.account, session)
    if state.size != prepared.base:
        return _once(_moved(state, prepared), expected)
    if state.signing_key != prepared.signer:
        refuse("bad-signature", "the head is signed by a key that was replaced")
    if state.head == prepared.text:  # a head counts once, with whatever lies beside it
        return _once(Applied(state.size, repeated=True), expected)
    _check_expected(prepared, expected)
    if not prepared.leaves and parse_head(state.head).size == prepared.base:
        raise log_moved(state, prepared)  # another device covered these entries: one head of a size
    ledger = Ledger(tx, prepared.account, state)
    ledger.store(beside)
    wanted = prepared.memories()
    if wanted:
        await ledger.load(wanted)
    await _replay(ledger, prepared)
    if ledger.frontier.root() != prepared.head.root:
        refuse("invalid-input", "the head's root is not that of the log")
    _check_repeated(state, prepared)
    await _apply_wraps(ledger, prepared, now)
    await ledger.finish(prepared.text, prepared.base)
    return Applied(ledger.seq)


def _moved(state: State, prepared: Prepared) -> Applied:
    if state.base == prepared.base and state.head == prepared.text:
        return Applied(prepared.head.size, repeated=True)
    raise log_moved(state, prepared)


def log_moved(state: State, prepared: Prepared) -> ProblemError:
    """The refusal of an append that builds on less than there is.

    If it builds on all that the owner covered, only apps were quicker (spec 7, Grants).
    An append that was heard once, and is sent again, builds on less as soon as there is another.
    """
    code, current = "log-moved", {"size": state.size, "head": state.head}
    problem = ProblemError(code, "read what is new and try again", current=current)
    if parse_head(state.head).size <= prepared.base < state.size:
        problem.overtaken = Overtaken(prepared.account, prepared.base)
    return problem


def _once(repeated: Applied, expected: Sequence[Expected]) -> Applied:
    """A head that counted already brings no entry that a call is still about.

    Whoever calls has it from the log itself: it is not the owner's word for anything new.
    """
    if expected:
        refuse("conflict", "the head is in force already, and stands for nothing new")
    return repeated


def _check_expected(prepared: Prepared, expected: Sequence[Expected]) -> None:
    found = [
        Expected(entry.kind, entry.subject, entry.version, entry.digest)
        for entry in prepared.entries
        if entry.kind not in MEMORY_KINDS
    ]
    if len(found) != len(expected) or set(found) != set(expected):
        refuse("invalid-input", "the append has not the entries that this call is about")


def _check_repeated(state: State, prepared: Prepared) -> None:
    """Let nobody fill a log with what is said again and again; a key change is no such thing."""
    kinds = {entry.kind for entry in prepared.entries}
    if kinds & REPEATABLE and "rotate" not in kinds:
        check_length(state, prepared.head.size, BESIDE_MEMORIES)


async def _replay(ledger: Ledger, prepared: Prepared) -> None:
    used = 0
    for leaf, entry in zip(prepared.leaves, prepared.entries, strict=True):
        key = entry.subject, entry.version
        if entry.kind == "put":
            await ledger.put(leaf, entry, prepared.puts[key])
        elif entry.kind == "delete":
            await ledger.delete(leaf, entry)
        elif entry.kind == "accept":
            rewrap = prepared.accepts.get(key)
            used += rewrap is not None
            await ledger.accept(leaf, entry, rewrap)
        elif entry.kind == "reject":
            await ledger.reject(leaf, entry)
        else:
            ledger.add_plain(leaf, entry)
    if used != len(prepared.accepts):
        refuse("invalid-input", "a wrap for an accepted record has no entry")


async def _apply_wraps(ledger: Ledger, prepared: Prepared, now: int) -> None:
    if prepared.wraps:
        live = await _live(ledger, {wrap.grant for wrap in prepared.wraps}, now)
        for wrap in prepared.wraps:
            if wrap.grant in live:
                add_wrap(ledger, wrap)
    if prepared.unwraps:
        await ledger.held.drop(prepared.unwraps)


def add_wrap(ledger: Ledger, wrap: Wrap) -> None:
    """Give a grant the key of a memory that exists.

    One for a key of before is of no use to anybody, and not kept: of the memory no version is
    shown under it. So a grant has one wrap of a memory, and what that is costs no more with time.
    """
    memory = ledger.find(wrap.memory)
    if memory is None or wrap.key_number > memory.key_number:
        refuse("invalid-input", "a wrap is for a memory or a key that does not exist")
    if wrap.key_number == memory.key_number:
        ledger.add_wrap(wrap.grant, wrap.memory, wrap.key_number, wrap.wrap)


async def _live(ledger: Ledger, grants: set[bytes], now: int) -> set[bytes]:
    """Of grants that are given keys, those whose time is not over.

    A device whose clock is behind does not know that one's is: its memory is taken, and that wrap
    is not. One for a grant that is not this account's, or was revoked, is refused.
    """
    wanted, live = list(grants), set()
    for start in range(0, len(wanted), SQLITE_VARIABLES):
        part = wanted[start : start + SQLITE_VARIABLES]
        rows = await ledger.tx.all(
            "SELECT grant_id, expires FROM grants WHERE account_id = ? AND state <> 'revoked'"  # noqa: S608 - only question marks are put into the text
            f" AND grant_id IN ({marks(part)})",
            ledger.account,
            *part,
        )
        if len(rows) != len(part):
            refuse("invalid-input", "a wrap is for a grant that does not exist or was revoked")
        live |= {grant for grant, expires in rows if expires > now}
    return live
