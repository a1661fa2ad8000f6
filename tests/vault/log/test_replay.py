"""What entries make of a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coffret_vault.errors import TrustError
from coffret_vault.log.replay import NEW, MemoryState, advance
from harness.logs import APP, digest, entry

if TYPE_CHECKING:
    from coffret_vault.formats.entry import Entry


def run(*entries: Entry) -> MemoryState:
    """The state after entries, from the log's beginning."""
    state = NEW
    for index, made in enumerate(entries):
        state = advance(state, made, index)
    return state


def test_an_owner_s_version_counts_at_once() -> None:
    """A put by the owner is current, and replaces what was."""
    state = run(entry("put", 1, 1), entry("put", 2, 2))
    assert (state.newest, state.current, state.digest, state.leaf) == (2, 2, digest(2), 1)
    assert state.proposals == ()


def test_an_app_s_version_waits() -> None:
    """A put by an app changes nothing that counts until it is accepted."""
    state = run(entry("put", 1, 1), entry("put", 2, 2, app=APP))
    assert (state.newest, state.current, state.digest) == (2, 1, digest(1))
    (proposal,) = state.pending
    assert (proposal.version, proposal.app_id, proposal.digest, proposal.leaf) == (
        2,
        APP,
        digest(2),
        1,
    )
    accepted = advance(state, entry("accept", 2, 2, time=7), 2)
    assert (accepted.current, accepted.digest, accepted.leaf, accepted.reviewed) == (
        2,
        digest(2),
        2,
        7,
    )
    assert accepted.proposals == ()


def test_a_rejected_version_is_kept_as_rejected() -> None:
    """A rejection leaves what counts, and the proposal can be decided no more."""
    state = run(entry("put", 1, 1), entry("put", 2, 2, app=APP), entry("reject", 2, 2))
    assert (state.current, state.pending) == (1, ())
    assert state.proposals[0].rejected
    with pytest.raises(TrustError):
        advance(state, entry("accept", 2, 2), 3)


def test_a_deletion_is_the_end() -> None:
    """After an owner's deletion, or an accepted one, nothing may follow."""
    by_owner = run(entry("put", 1, 1), entry("delete", 2, 1))
    by_app = run(entry("put", 1, 1), entry("delete", 2, 1, app=APP), entry("accept", 2, 1))
    for state in (by_owner, by_app):
        assert (state.deleted, state.current, state.pending) == (True, 0, ())
        for made in (entry("put", 3, 3), entry("delete", 3, 1), entry("accept", 2, 1)):
            with pytest.raises(TrustError):
                advance(state, made, 9)


def test_what_an_app_began_counts_from_its_acceptance() -> None:
    """A memory that an app created has no current version before the owner accepts it."""
    state = run(entry("put", 1, 1, app=APP))
    assert (state.current, state.newest, state.begun) == (0, 1, 0)
    assert advance(state, entry("accept", 1, 1), 1).current == 1


def test_an_app_may_take_back_what_it_began() -> None:
    """A deletion of what was never accepted waits like any other, and is final when accepted."""
    state = run(entry("put", 1, 1, app=APP), entry("delete", 2, 1, app=APP))
    assert [item.deletion for item in state.pending] == [False, True]
    assert advance(state, entry("accept", 2, 1), 2).deleted


def test_begun_is_the_owner_s_newest_put() -> None:
    """When the key was last known to be fresh is told by the owner's puts, not by an app's."""
    first, proposed, second = entry("put", 1, 1), entry("put", 2, 2, app=APP), entry("put", 3, 3)
    assert run(first, proposed).begun == 0
    assert run(first, proposed, entry("accept", 2, 2)).begun == 0
    assert run(first, proposed, second).begun == 2


CASES = {
    "a first version other than one": [entry("put", 2, 1)],
    "a version twice": [entry("put", 1, 1), entry("put", 1, 1)],
    "a version left out": [entry("put", 1, 1), entry("put", 3, 3)],
    "an app's version that was taken": [entry("put", 1, 1), entry("put", 1, 1, app=APP)],
    "a deletion of nothing": [entry("delete", 1, 1)],
    "a deletion of another version": [entry("put", 1, 1), entry("delete", 2, 9)],
    "an acceptance of nothing": [entry("put", 1, 1), entry("accept", 1, 1)],
    "an acceptance of another digest": [entry("put", 1, 1, app=APP), entry("accept", 1, 2)],
    "a rejection of nothing": [entry("reject", 1, 1)],
    "a decision made twice": [
        entry("put", 1, 1, app=APP),
        entry("accept", 1, 1),
        entry("accept", 1, 1),
    ],
    "an acceptance of what was overtaken": [
        entry("put", 1, 1),
        entry("put", 2, 2, app=APP),
        entry("put", 3, 3),
        entry("accept", 2, 2),
    ],
}


@pytest.mark.parametrize("entries", CASES.values(), ids=CASES.keys())
def test_what_no_honest_log_holds_is_refused(entries: list[Entry]) -> None:
    """The last of these entries cannot follow from those before it."""
    state = run(*entries[:-1])
    with pytest.raises(TrustError):
        advance(state, entries[-1], len(entries) - 1)
