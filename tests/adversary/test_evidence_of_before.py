"""A log that contradicts itself across a change of the owner's keys leaves evidence too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import CoffretError, TrustError
from coffret_vault.log.evidence import read_file
from coffret_vault.log.judging import Finding, verify_evidence
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from coffret import RecoveryKit, Vault
    from harness.database import Row
    from harness.stage import Stage
    from harness.world import Owner

NEW = "another passphrase"


@pytest.fixture
def before(stage: Stage) -> Iterator[dict[str, Sequence[Row]]]:
    """The whole database as it was when the test began, which is put back in the end."""
    found = stage.database.copy()
    yield found
    stage.database.write(found)


def _changed(vault: Vault) -> RecoveryKit:
    kits: list[RecoveryKit] = []
    vault.change_keys(NEW, kits.append)
    return kits[0]


def _branched(stage: Stage, evil: Evil) -> tuple[Owner, Vault, RecoveryKit]:
    """A server that forgot what one device wrote, and on which another changed the keys then."""
    owner = stage.world.owner()
    owner.vault.remember("common")
    device = stage.world.device(owner, transport=evil)
    common = stage.database.copy()
    device.remember("on a branch that is gone")
    stage.database.write(common)
    return owner, device, _changed(owner.vault)


def _error(call: Callable[[], object]) -> CoffretError:
    with pytest.raises(TrustError) as raised:
        call()
    return raised.value


def _found(error: CoffretError, steps: int) -> Finding:
    """What the file says that an error names, which has so many key changes in it."""
    data = Path(error.evidence).read_bytes()
    assert len(read_file(data).successions or ()) == steps
    found = verify_evidence(data)
    assert any("keys of before" in text for text in found.verdict.unproven) is bool(steps)
    return found


@pytest.mark.attack(19, 60)
@pytest.mark.usefixtures("before")
def test_a_device_that_enters_with_changed_keys_proves_the_fork(stage: Stage) -> None:
    """Its own head is by the old key, the log's by the new one: the file says how both belong."""
    owner, device, kit = _branched(stage, Evil())
    error = _error(lambda: device.log_in_again(NEW, kit.secret_key_code()))
    found = _found(error, 1)
    assert (found.verdict.kind, found.verdict.proven) == ("fork", True)
    assert found.card == owner.vault._state.card
    assert {memory.content for memory in device.list()} == {"common", "on a branch that is gone"}
    device.lock()
    device.unlock(PASSPHRASE, owner.secret_key)
    assert device.evidence() == [Path(error.evidence)]


@pytest.mark.attack(19)
@pytest.mark.usefixtures("before")
def test_without_the_step_between_the_keys_there_is_nothing_to_show(stage: Stage) -> None:
    """Where the server withholds it the device refuses all the same, and keeps no file."""
    evil = Evil()
    _, device, kit = _branched(stage, evil)
    evil.rewrite["/accounts/me/successions"] = lambda _: []
    error = _error(lambda: device.log_in_again(NEW, kit.secret_key_code()))
    assert (error.evidence, device.evidence()) == ("", [])
    assert {memory.content for memory in device.list()} == {"common", "on a branch that is gone"}


@pytest.mark.attack(17)
@pytest.mark.usefixtures("before")
def test_the_device_that_changed_the_keys_records_a_log_of_before(stage: Stage) -> None:
    """It has the step itself: a head by the old key is the owner's, and older than its own."""
    evil = Evil()
    owner = stage.world.owner(transport=evil)
    owner.vault.remember("before")
    early = owner.vault.status()
    _changed(owner.vault)
    owner.vault.sync()
    evil.rewrite["/sync"] = lambda _: [early.entries, early.head, []]
    evil.rewrite["/accounts/me/successions"] = lambda _: []
    found = _found(_error(owner.vault.sync), 1)
    assert (found.verdict.kind, found.shown.size) == ("rolled-back", early.entries)


@pytest.mark.attack(17, 57)
@pytest.mark.usefixtures("before")
def test_the_device_that_changed_the_keys_is_not_entered_with_those_of_before(
    stage: Stage,
) -> None:
    """A server that is turned back to before the change has nothing taken over by this device."""
    owner = stage.world.owner()
    owner.vault.remember("before")
    earlier = stage.database.copy()
    _changed(owner.vault)
    stage.database.write(earlier)
    card = owner.vault._state.account.card
    with pytest.raises(TrustError, match="keys of before a key change"):
        owner.vault.log_in_again(PASSPHRASE, owner.secret_key)
    assert (owner.vault._state.account.generation, owner.vault._state.account.card) == (2, card)


@pytest.mark.attack(19)
@pytest.mark.usefixtures("before")
def test_a_head_of_before_from_another_branch_is_shown_to_be_one(stage: Stage) -> None:
    """Compared by its owner, it is refused, and what it and the log's head prove is kept."""
    owner, device, _ = _branched(stage, Evil())
    owner.vault.sync()
    found = _found(_error(lambda: owner.vault.confirm(device.status().head)), 1)
    assert (found.verdict.kind, found.verdict.proven) == ("fork", True)


@pytest.mark.control(19)
@pytest.mark.usefixtures("before")
def test_a_log_that_goes_on_after_a_key_change_leaves_no_evidence(stage: Stage) -> None:
    """Control: devices that enter with changed keys, and heads of before, go together with it."""
    owner = stage.world.owner()
    device = stage.world.device(owner)
    early = device.status().head
    code = _changed(owner.vault).secret_key_code()
    device.log_in_again(NEW, code)
    owner.vault.remember("after")
    device.sync()
    for vault in (owner.vault, device):
        assert vault.confirm(early)
        assert vault.evidence() == []
