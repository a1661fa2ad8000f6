"""Every node of every answer, altered in every way: an error, or the honest result.

Whole conversations are recorded once with the real server, and replayed with one answer altered.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from harness.conversations import CONVERSATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.cast import People
    from harness.conversing import Scenario


@pytest.fixture(scope="module")
def tally(show: Callable[[str], None]) -> Iterator[Counter[str]]:
    """What was counted, shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    show("sweep: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


@pytest.mark.attack(5, 6, 16, 18, 34)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_altered_answer_is_believed(
    people: People, recorded: dict[str, Scenario], tally: Counter[str], name: str
) -> None:
    """Whatever one node of one answer is changed to, the result is an error or the honest one."""
    accepted = recorded[name].sweep(tally, (people.earlier,))
    tally["accepted"] += len(accepted)
    assert accepted == []
    tally["conversations"] += 1


@pytest.mark.attack(5, 6, 16, 18, 34)
def test_the_sweep_is_wide(tally: Counter[str]) -> None:
    """All conversations together are of many altered answers; most are refused, few its word."""
    if tally["conversations"] < len(CONVERSATIONS):
        pytest.skip("some conversations were not selected, or failed")
    assert tally["answers"] >= 10_000
    assert tally["the server's word"] < tally["answers"] / 500
    assert tally["refused"] > tally["answers"] / 2


@pytest.mark.control(5, 6, 18)
def test_a_client_that_does_not_ask_the_log_believes_much(recorded: dict[str, Scenario]) -> None:
    """Control: the same sweep over an app that takes any leaf for a record's finds believers."""
    with (
        patch("coffret.flows.access.check_named"),
        patch("coffret.flows.access.check_own"),
        patch("coffret.flows.access.check_leaves"),
    ):
        assert recorded["an app takes up its grant"].sweep(Counter()) != []
