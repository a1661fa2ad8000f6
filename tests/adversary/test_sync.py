"""A hostile server drops, alters, swaps, reorders, repeats, rolls back, forks and forges."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import Vault
from coffret.flows.http import b64, unb64
from coffret.flows.session import get
from coffret_vault.envelope.signature import sign_head, sign_statement
from coffret_vault.errors import (
    BadSignatureError,
    CoffretError,
    FormatError,
    NotFoundError,
    StoreAlteredError,
    TrustError,
)
from coffret_vault.formats.account import KEYSLOT, PASSPHRASE
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.entry import ENTRY, parse_leaf
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER
from coffret_vault.formats.sharing import GRANT, grant_approval
from coffret_vault.log.tree import Frontier
from coffret_vault.primitives.identity import SigningKey
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import StoredRecord
from harness.flipping import flipped
from harness.folders import comparing_nothing
from harness.network import updating

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.victim import Victim

Page = list[Any]


def _each_record(change: Callable[[list[bytes]], None]) -> Callable[[Page], None]:
    def rewrite(page: Page) -> None:
        for item in page[2]:
            if item[1] is not None:
                change(item[1])

    return rewrite


def _alter(part: int, at: int = -1) -> Callable[[Page], None]:
    def change(record: list[bytes]) -> None:
        record[part] = flipped(record[part], at)

    return _each_record(change)


# -- records ------------------------------------------------------------------------------------


@pytest.mark.attack(5, 11)
@pytest.mark.parametrize("part", [0, 1, 2, 3], ids=["header", "envelope", "kek", "wrap"])
def test_an_altered_record_is_refused(victim: Victim, part: int) -> None:
    """A bit changed in a header, an envelope, a wrap or its name is noticed before it is kept."""
    victim.owner.vault.remember("new", title="Title", importance=0.5)
    victim.evil.rewrite["/sync"] = _alter(part)
    before = victim.dump()
    with pytest.raises(CoffretError) as raised:
        victim.vault.sync()
    assert isinstance(raised.value, TrustError | FormatError)
    assert victim.dump() == before


@pytest.mark.control(5)
def test_altered_records_are_taken_by_a_client_that_does_not_compare(victim: Victim) -> None:
    """Control: a client that neither compares nor opens what it gets keeps the altered record."""
    memory = victim.owner.vault.remember("new")
    victim.evil.rewrite["/sync"] = _alter(1)

    def trusting(_state: object, _wanted: object, items: Page, _rows: object) -> Any:
        for _, record in items:
            header = HEADER.parse(record.header)
            yield StoredRecord(header.memory_id, header.version, record)

    with patch("coffret.flows.sync.check_records", trusting):
        victim.vault.sync()
    with comparing_nothing():
        assert victim.vault._state.store.record(parse_id(memory.id), 1) is not None
        with pytest.raises(StoreAlteredError, match="left out"):
            victim.vault.get(memory.id)


@pytest.mark.attack(6)
def test_records_of_two_memories_cannot_be_exchanged(victim: Victim) -> None:
    """The header, envelope or wrap of one memory beside the rest of another is refused."""
    for part in (0, 1, 3):
        victim.owner.vault.remember("one")
        victim.owner.vault.remember("two")

        def swap(page: Page, part: int = part) -> None:
            first, second = (item[1] for item in page[2] if item[1] is not None)
            first[part], second[part] = second[part], first[part]

        victim.evil.rewrite["/sync"] = swap
        victim.refuses(TrustError)


@pytest.mark.attack(16)
def test_a_withheld_record_is_noticed(victim: Victim) -> None:
    """A memory whose record never comes is missed; the log says that there is one."""
    victim.owner.vault.remember("withheld")

    def drop(page: Page) -> None:
        for item in page[2]:
            item[1] = None

    victim.evil.rewrite["/sync"] = drop
    for _ in range(2):
        with pytest.raises(TrustError, match="withholds"):
            victim.vault.sync()
    victim.evil.rewrite.clear()
    victim.vault.sync()
    assert {memory.content for memory in victim.vault.list()} == {"seen by both", "withheld"}


@pytest.mark.attack(18)
def test_an_older_version_is_not_taken_for_the_newest(victim: Victim) -> None:
    """The record of a version that was replaced does not pass for the current one."""
    old: list[Any] = []
    victim.evil.rewrite["/sync"] = lambda page: old.extend(item[1] for item in page[2] if item[1])
    memory = victim.owner.vault.remember("first version")
    victim.vault.sync()
    victim.owner.vault.update(memory.id, content="second version")

    def replay(page: Page) -> None:
        for item in page[2]:
            item[1] = old[-1]

    victim.evil.rewrite["/sync"] = replay
    with pytest.raises(TrustError, match="withholds"):
        victim.vault.sync()
    with pytest.raises(NotFoundError, match="sync first"):
        victim.vault.get(memory.id)


# -- leaves and heads ---------------------------------------------------------------------------


def _items(change: Callable[[list[Any]], None]) -> Callable[[Page], None]:
    def rewrite(page: Page) -> None:
        if len(page[2]) > 1:
            change(page[2])

    return rewrite


def _drop(items: list[Any]) -> None:
    del items[0]


def _repeat(items: list[Any]) -> None:
    items.insert(1, items[0])


def _reorder(items: list[Any]) -> None:
    items[0], items[1] = items[1], items[0]


def _change_time(items: list[Any]) -> None:
    entry = parse_leaf(items[0][0]).entry
    items[0][0] = ENTRY.serialize(msgspec.structs.replace(entry, time=entry.time + 1))


@pytest.mark.attack(16)
@pytest.mark.parametrize("attack", [_drop, _repeat, _reorder, _change_time])
def test_leaves_are_the_ones_that_were_signed(
    victim: Victim, attack: Callable[[list[Any]], None]
) -> None:
    """An entry left out, repeated, moved or altered is refused: the signed root is another."""
    victim.owner.vault.remember("one")
    victim.owner.vault.remember("two")
    victim.evil.rewrite["/sync"] = _items(attack)
    victim.evil.rewrite["/log"] = lambda answer: answer.update(leaves=[])
    victim.refuses(TrustError)


@pytest.mark.control(16)
def test_altered_leaves_are_taken_by_a_client_that_does_not_compare_roots(victim: Victim) -> None:
    """Control: without the comparison of roots an entry with another time is believed."""
    victim.owner.vault.remember("one")
    victim.owner.vault.remember("two")
    victim.evil.rewrite["/sync"] = _items(_change_time)
    signed: list[bytes] = []

    def remember_root(page: Page) -> None:
        _items(_change_time)(page)
        signed.append(parse_head(page[1]).head.root)

    victim.evil.rewrite["/sync"] = remember_root
    before = victim.vault.status().entries
    with patch.object(Frontier, "root", lambda _: signed[-1]):
        victim.vault.sync()
    assert victim.vault.status().entries == before + 2


@pytest.mark.attack(17)
def test_a_rollback_to_an_older_head_is_noticed(victim: Victim) -> None:
    """A server that goes back to an earlier state is refused, whether it says so or hides it."""
    older: list[Page] = []
    victim.evil.rewrite["/sync"] = lambda page: older.append([page[0], page[1], []])
    victim.vault.sync()
    victim.owner.vault.remember("later")
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = lambda _: older[0]
    victim.refuses(TrustError, "shorter")
    victim.evil.rewrite["/sync"] = lambda page: [page[0], older[0][1], page[2]]
    victim.refuses(TrustError, "shorter")


@pytest.mark.attack(17)
def test_a_rollback_behind_another_process_is_noticed(victim: Victim) -> None:
    """What another process of the device took meanwhile is asked for again, and then held to it."""
    other = victim.world.closing(Vault.open(victim.vault.folder, **victim.world.around()))
    other.unlock(victim.owner.passphrase, victim.owner.secret_key)
    older: list[Page] = []

    def shows(page: Page) -> Page:
        if not older:
            victim.owner.vault.remember("later")
            other.sync()
        older.append([page[0], page[1], []])
        return older[0]

    victim.evil.rewrite["/sync"] = shows
    with pytest.raises(TrustError, match="shorter") as raised:
        victim.vault.sync()
    assert [str(path) for path in victim.vault.evidence()] == [raised.value.evidence]
    assert len(older) == 2


@pytest.mark.attack(16, 17)
def test_a_hidden_tail_is_noticed(victim: Victim) -> None:
    """An app's entry that this device has seen cannot be taken back by the server."""
    app = victim.world.app()
    _, access = victim.world.granted(victim.owner, app)
    victim.vault.sync()
    access.remember("in the tail")
    victim.vault.sync()
    assert len(victim.vault.pending()) == 1

    def shorten(page: Page) -> None:
        page[0] -= 1

    victim.evil.rewrite["/sync"] = shorten
    before = victim.dump()
    with pytest.raises(TrustError, match="shorter"):
        victim.vault.sync()
    assert victim.dump() == before


def _under(note: str, page: Page) -> Page:
    return [page[0], note, page[2]]


@pytest.mark.attack(19)
def test_a_fork_is_noticed(victim: Victim) -> None:
    """A head that the owner signed over other entries of the same length is refused."""
    head = victim.vault._state.position().head
    assert head is not None
    signing = victim.owner.vault._state.keys.identity.signing
    forks = (
        msgspec.structs.replace(head.head, root=hashlib.sha256(b"another log").digest()),
        msgspec.structs.replace(head.head, time=head.head.time + 1),
    )
    for fork in forks:
        note = sign_head(signing, fork)
        victim.evil.rewrite["/sync"] = partial(_under, note)
        victim.refuses(TrustError)


@pytest.mark.attack(20)
def test_a_head_by_another_key_is_refused(victim: Victim) -> None:
    """A head over the server's own entries under the server's own key is nobody's."""
    victim.owner.vault.remember("new")
    own = SigningKey(SecretBytes(bytes(32)))

    def sign(page: Page) -> None:
        page[1] = sign_head(own, parse_head(page[1]).head)

    victim.evil.rewrite["/sync"] = sign
    victim.refuses(BadSignatureError)

    def damage(page: Page) -> None:
        lines = page[1].rstrip("\n").rsplit(" ", 1)
        swapped = lines[1][:-3] + ("AA=" if lines[1][-3:] != "AA=" else "BA=")
        page[1] = f"{lines[0]} {swapped}\n"

    victim.evil.rewrite["/sync"] = damage
    before = victim.dump()
    with pytest.raises((BadSignatureError, FormatError)):
        victim.vault.sync()
    assert victim.dump() == before


# -- what hangs on the log ----------------------------------------------------------------------


@pytest.mark.attack(33, 34)
@pytest.mark.attack(20, 22)
def test_a_grant_is_the_one_that_the_log_names(victim: Victim) -> None:
    """A grant shown with another app, other keys or another owner's signature is refused."""
    app, other = victim.world.app(), victim.world.app("Other")
    grant_id, _ = victim.world.granted(victim.owner, app)
    other_id, _ = victim.world.granted(victim.owner, other)
    shown: dict[str, Any] = {}
    peek = victim.world.device(victim.owner, transport=(spy := type(victim.evil)()))
    assert len(peek.grants()) == 2
    spy.rewrite[f"/grants/{other_id}"] = shown.update
    peek._driver.run(get(peek._state, f"/grants/{other_id}"))
    elsewhere = "a grant in the log names another app or request"  # than the server has for it
    for names, why in (
        (("manifest", "manifest_signature"), elsewhere),
        (("grant", "sealed_key", "signature"), "another grant than the one in the log"),
        (("sealed_key",), "(?i)signature"),
        (("signature",), "(?i)signature"),
        (("request",), elsewhere),
    ):
        swapped = {name: shown[name] for name in names}
        victim.evil.rewrite[f"/grants/{grant_id}"] = updating(swapped)
        before = victim.dump()
        with pytest.raises(TrustError, match=why):
            victim.vault.sync()
        assert victim.dump() == before
    victim.evil.rewrite.clear()
    victim.vault.sync()
    assert len(victim.vault.grants()) == 2


@pytest.mark.attack(34)
def test_a_grant_that_the_owner_signed_and_the_log_does_not_name_is_refused(victim: Victim) -> None:
    """Terms that a device signed and that came into no log are none, though all else fits."""
    grant_id, access = victim.world.granted(victim.owner, victim.world.app(), scopes={"read"})
    wider = msgspec.structs.replace(access._held.grant, scopes=frozenset(("read", "update")))
    statement, key = GRANT.serialize(wider), victim.owner.vault._state.keys.identity.signing

    def other_terms(answer: dict[str, Any]) -> None:
        approval = grant_approval(statement, unb64(answer["sealed_key"]))
        signature = sign_statement(key, "grant", approval)
        answer |= {"grant": b64(statement), "signature": b64(signature)}

    victim.evil.rewrite[f"/grants/{grant_id}"] = other_terms
    victim.refuses(TrustError, "another grant than the one in the log")


@pytest.mark.attack(20, 24)
def test_keyslots_are_those_that_the_log_names(victim: Victim) -> None:
    """A keyslot that the server adds, keeps or exchanges is not taken over."""
    old = list(victim.vault._state.account.keyslots)
    vault, _ = Vault.recover(
        victim.world.url,
        victim.owner.username,
        victim.owner.kit.recovery_code_text(),
        "new",
        victim.world.place(),
        **victim.world.around(),
    )
    victim.world.closing(vault)
    gone = next(raw for raw in old if KEYSLOT.parse(raw).kind == PASSPHRASE)
    for slots in (
        lambda now: [*now, b64(gone)],
        lambda _: list(map(b64, old)),
        lambda now: now[:1],
    ):

        def exchange(answer: dict[str, Any], slots: Any = slots) -> None:
            answer["keyslots"] = slots(answer["keyslots"])

        victim.evil.rewrite["/accounts/me"] = exchange
        before = victim.dump()
        with pytest.raises(TrustError, match="keyslots"):
            victim.vault.sync()
        assert victim.dump() == before
