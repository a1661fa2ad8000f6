"""Forks, rollbacks and alterations leave evidence that anybody can check without a vault."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret import Vault
from coffret.flows.evidence import FOLDER
from coffret_vault.envelope.signature import sign_head
from coffret_vault.errors import CoffretError, NotFoundError, TrustError
from coffret_vault.formats.checkpoint import Head, parse_head
from coffret_vault.log.judging import Finding, verify_evidence
from coffret_vault.log.tree import inclusion_proof, leaf_hash, root_of
from harness.flipping import flipped
from harness.network import Evil, updating

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.victim import Victim
    from harness.world import World


def _found(error: CoffretError) -> Finding:
    """What the file says that an error names; it is private to its user."""
    path = Path(error.evidence)
    assert str(path) in error.hint
    assert path.parent.name == FOLDER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return verify_evidence(path.read_bytes())


def _caught(call: Callable[[], Any]) -> CoffretError:
    with pytest.raises(TrustError) as raised:
        call()
    return raised.value


def _signed(vault: Vault, leaves: list[bytes], time: int = 5) -> str:
    """A head over these leaves, signed as the owner's devices sign."""
    known = vault._state.position().head
    assert known is not None
    hashes = [leaf_hash(leaf) for leaf in leaves]
    head = Head(vault._state.account_id, len(leaves), root_of(hashes), known.digest, time)
    return sign_head(vault._state.keys.identity.signing, head)


def _leaves(vault: Vault) -> list[bytes]:
    return [leaf for _, leaf in vault._state.store.leaves()]


def _other_history(victim: Victim) -> str:
    """The head that a device signs over a history that the owner's other device never sees."""
    victim.vault.sync()
    before = _leaves(victim.vault)
    victim.owner.vault.remember("on one branch")
    last = _leaves(victim.owner.vault)[-1]
    return _signed(victim.vault, [*before, flipped(last)])


@pytest.mark.attack(19)
def test_two_devices_that_exchange_heads_prove_a_fork(victim: Victim) -> None:
    """A head of the other history, compared on a device, gives a proof: of one size or not."""
    other = _other_history(victim)
    for _ in range(2):
        found = _found(_caught(lambda: victim.owner.vault.confirm(other)))
        assert (found.verdict.kind, found.verdict.proven) == ("fork", True)
        assert found.card.username == victim.owner.username
        victim.owner.vault.remember("one more on ours")
    assert len(victim.owner.vault.evidence()) == 2


@pytest.mark.control(19)
def test_the_same_history_is_no_fork(victim: Victim) -> None:
    """Heads of one history confirm each other whatever their sizes, and leave no evidence."""
    early = victim.vault.status().head
    victim.owner.vault.remember("later")
    victim.vault.sync()
    assert victim.vault.confirm(victim.owner.vault.status().head)
    assert victim.vault.confirm(early)
    assert victim.vault.evidence() == []


@pytest.mark.attack(19, 60)
def test_a_sync_onto_another_history_proves_the_fork_where_the_server_helps(
    victim: Victim,
) -> None:
    """A server that went on from other entries, and answers truly about them, convicts itself."""
    victim.vault.sync()
    ours = _leaves(victim.vault)
    other = [*ours[:-1], victim.owner.vault._state.store.leaf(0) or b"", b"more"]
    note = _signed(victim.vault, other)
    hashes = [leaf_hash(leaf) for leaf in other]
    size = len(ours)
    victim.owner.vault.remember("so that the real server has as many entries to answer about")
    victim.evil.rewrite["/sync"] = lambda _: [len(other), note, [[other[-1], None]]]
    victim.evil.rewrite["/log"] = updating({"leaves": [other[size]]})
    victim.evil.rewrite["/log/proof"] = updating({"proof": inclusion_proof(hashes, size)})
    with pytest.raises(CoffretError) as raised:
        victim.vault.sync()
    assert _found(raised.value).verdict.kind == "fork"


@pytest.mark.attack(60)
@pytest.mark.parametrize("at", [0, 1])
def test_altered_entries_leave_a_record(victim: Victim, at: int) -> None:
    """Entries that are not under their head are kept with it, and say that they prove no more."""
    victim.owner.vault.remember("one")
    victim.owner.vault.remember("two")

    def rewrite(page: list[Any]) -> None:
        leaf = page[2][at][0]
        page[2][at][0] = flipped(leaf)

    victim.evil.rewrite["/sync"] = rewrite
    errors = [_caught(victim.vault.sync) for _ in range(3)]
    found = _found(errors[0])
    assert (found.verdict.kind, found.verdict.proven) == ("altered", False)
    assert len({error.evidence for error in errors}) == 1
    assert [str(path) for path in victim.vault.evidence()] == [errors[0].evidence]


@pytest.mark.attack(17, 60)
def test_a_rollback_leaves_a_record_that_claims_no_more_than_it_shows(victim: Victim) -> None:
    """The newer signed head and the older one are kept; what the server said stays its word."""
    early = victim.vault.status()
    victim.owner.vault.remember("later")
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    found = _found(_caught(victim.vault.sync))
    assert (found.verdict.kind, found.verdict.proven) == ("rolled-back", False)
    assert found.held.size == found.shown.size + 1
    assert any("not signed" in text for text in found.verdict.unproven)


@pytest.mark.attack(17)
def test_a_fresh_device_that_was_shown_yesterday_has_a_record_of_it(victim: Victim) -> None:
    """The head of another device is newer than all that the fresh one is shown: an alarm."""
    early = victim.vault.status()
    victim.evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    victim.owner.vault.remember("today")
    newest = victim.owner.vault.status().head
    with pytest.raises(NotFoundError):
        victim.vault.confirm(newest)
    victim.vault.sync()
    for _ in range(2):
        error = _caught(lambda: victim.vault.confirm(newest))
        assert _found(error).verdict.kind == "rolled-back"
    assert not victim.vault.status().confirmed


def test_a_head_of_today_accuses_no_server_that_was_not_asked(victim: Victim) -> None:
    """A device that has not read so far yet is told to, however often, and then it is confirmed."""
    victim.owner.vault.remember("one")
    earlier = victim.owner.vault.status().head
    for _ in range(2):
        with pytest.raises(NotFoundError, match="has not read"):
            victim.vault.confirm(earlier)
    victim.vault.sync()
    victim.owner.vault.remember("two")
    with pytest.raises(NotFoundError, match="has not read"):
        victim.vault.confirm(victim.owner.vault.status().head)
    victim.vault.sync()
    assert victim.vault.confirm(victim.owner.vault.status().head) == victim.vault.status().entries
    assert victim.vault.evidence() == []


def test_a_head_that_is_compared_during_a_sync_is_of_after_it(victim: Victim) -> None:
    """What the server was asked before there was a head says nothing of whether it hides it."""
    early = victim.vault.status()

    def meanwhile(_page: list[Any]) -> list[Any]:
        victim.evil.rewrite.clear()
        victim.owner.vault.remember("today")
        with pytest.raises(NotFoundError):
            victim.vault.confirm(victim.owner.vault.status().head)
        return [early.entries, early.head, []]

    victim.evil.rewrite["/sync"] = meanwhile
    victim.vault.sync()
    with pytest.raises(NotFoundError):
        victim.vault.confirm(victim.owner.vault.status().head)
    assert victim.vault.evidence() == []


@pytest.mark.attack(17)
def test_a_kit_is_an_alarm_where_a_device_that_recovers_is_shown_less(world: World) -> None:
    """The kit was there before the server was asked: what it shows then is all that it would."""
    owner, evil = world.owner(), Evil()
    owner.vault.remember("one")
    early = owner.vault._state.position()
    assert early.head is not None
    note, size = early.head.note, early.size
    owner.vault.remember("two")
    kit = msgspec.structs.replace(owner.kit, head=owner.vault.status().head).text()

    def rewrite(page: list[Any]) -> None:
        page[:] = [size, note, page[2][:size] if len(page[2]) > size else []]

    evil.rewrite["/sync"] = rewrite
    code, place = owner.kit.recovery_code_text(), world.place()
    around = world.around(transport=evil)
    with pytest.raises(TrustError, match="another log"):
        Vault.recover(world.url, owner.username, code, "new", place, kit=kit, **around)


@pytest.mark.attack(17, 59)
def test_nothing_is_signed_in_a_log_that_a_kit_tells_is_turned_back(world: World) -> None:
    """What a grant of then would have accepted unseen, or given, is not before the kit says so."""
    owner, evil = world.owner(), Evil()
    grant_id, access = world.granted(owner, world.app(), auto_accept=True)
    early = owner.vault.status()
    size = early.entries + 1
    access.remember("poison")
    owner.vault.revoke(grant_id)
    kit = msgspec.structs.replace(owner.kit, head=owner.vault.status().head).text()

    def rewrite(page: list[Any]) -> None:
        page[:] = [size, early.head, page[2][:size] if len(page[2]) > size else []]

    evil.rewrite["/sync"] = rewrite
    code, place = owner.kit.recovery_code_text(), world.place()
    around = world.around(transport=evil)
    with pytest.raises(TrustError):
        Vault.recover(world.url, owner.username, code, "new", place, kit=kit, **around)
    changes = [path for path in evil.paths if path.startswith(("/log", "/memory-blobs"))]
    assert changes == []


@pytest.mark.attack(19)
def test_two_heads_over_one_log_are_shown_to_be_just_that(victim: Victim) -> None:
    """The same entries signed twice prove two signatures, and no other entry."""
    victim.vault.sync()
    note = _signed(victim.vault, _leaves(victim.vault))
    size = victim.vault.status().entries
    victim.evil.rewrite["/sync"] = lambda _: [size, note, []]
    assert _found(_caught(victim.vault.sync)).verdict.kind == "two-heads"


def test_nothing_that_anybody_could_make_up_is_evidence(victim: Victim) -> None:
    """A head by another key is an error, and no file: it says nothing about the owner's log."""
    victim.vault.sync()
    note = victim.vault.status().head
    flipped = parse_head(note).note[:-10] + "AAAAAAA=\n"
    size = victim.vault.status().entries
    victim.evil.rewrite["/sync"] = lambda _: [size - 1, flipped, []]
    with pytest.raises(CoffretError) as raised:
        victim.vault.sync()
    assert raised.value.evidence == ""
    assert victim.vault.evidence() == []


def test_a_device_without_a_past_keeps_no_evidence(world: World) -> None:
    """A fresh device has no head of its own that could be contradicted; it just refuses."""
    owner, evil = world.owner(), Evil()

    def rewrite(page: list[Any]) -> None:
        page[2][-1][0] = page[2][0][0]

    evil.rewrite["/sync"] = rewrite
    with pytest.raises(CoffretError) as raised:
        world.device(owner, transport=evil)
    assert raised.value.evidence == ""


def test_a_hostile_server_does_not_fill_the_disk(victim: Victim) -> None:
    """There is a most of files; after it, the error says so and none is added."""
    early = victim.vault.status()
    victim.owner.vault.remember("later")
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    with patch("coffret.flows.evidence._MOST_FILES", 0):
        error = _caught(victim.vault.sync)
    assert "already" in error.hint
    assert victim.vault.evidence() == []


def _junk(number: int) -> Callable[[list[Any]], None]:
    """Shows something else in the place of the first entry each time."""

    def rewrite(page: list[Any]) -> None:
        page[2][0][0] = bytes([number]) * 100

    return rewrite


@pytest.mark.attack(19, 60)
def test_records_without_end_keep_no_proof_out(victim: Victim) -> None:
    """A server that fills the folder with what proves nothing does not hide the fork behind it."""
    other = _other_history(victim)
    victim.owner.vault.remember("one more")
    (victim.vault.folder / FOLDER).mkdir()
    (victim.vault.folder / FOLDER / "a.json").write_text("of somebody else's")
    hints = []
    with patch("coffret.flows.evidence._MOST_FILES", 4):
        for number in range(5):
            victim.evil.rewrite["/sync"] = _junk(number)
            with pytest.raises(CoffretError) as raised:
                victim.vault.sync()
            hints.append(raised.value.hint)
        records = victim.vault.evidence()
        victim.evil.rewrite.clear()
        victim.vault.sync()
        error = _caught(lambda: victim.vault.confirm(other))
    assert ["already" in hint for hint in hints] == [False] * 3 + [True] * 2
    assert _found(error).verdict.kind == "fork"
    assert victim.vault.evidence()[:3] == records[:3]
    assert len(victim.vault.evidence()) == len(records) == 4


def test_a_disk_that_cannot_be_written_does_not_hide_the_error(victim: Victim) -> None:
    """Where evidence cannot be kept, the contradiction is reported all the same."""
    early = victim.vault.status()
    victim.owner.vault.remember("later")
    victim.vault.sync()
    victim.evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    (victim.vault.folder / FOLDER).write_text("in the way")
    assert "could not be written" in _caught(victim.vault.sync).hint
