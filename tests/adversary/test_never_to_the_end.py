"""A server in league with an app has a device never come to the log's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret.flows import sync as sync_flow
from coffret_vault.errors import TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from harness.network import Evil
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from harness.victim import Victim


def _lacking(page: list[Any], memory_id: str) -> None:
    for item in page[2]:
        if item[1] is not None and parse_header(item[1][0]).memory_id == parse_id(memory_id):
            item[1] = None


@pytest.mark.attack(16)
def test_a_log_that_goes_on_hides_no_memory(victim: Victim) -> None:
    """A memory that is withheld is missed, also where its app writes on at every look."""
    _, access = victim.world.granted(victim.owner, victim.world.app())
    victim.vault.sync()
    hidden = victim.owner.vault.remember("withheld")
    numbers = iter(range(100))

    def going_on(page: list[Any]) -> None:
        _lacking(page, hidden.id)
        access.remember(f"one more {next(numbers)}")

    victim.evil.rewrite["/sync"] = going_on
    with pytest.raises(TrustError, match="withholds"):
        victim.vault.sync()
    assert next(numbers) < 8
    victim.evil.rewrite.clear()
    victim.vault.sync()
    assert "withheld" in {memory.content for memory in victim.vault.list()}


@pytest.mark.attack(16)
def test_a_process_that_writes_on_and_on_hides_no_memory(victim: Victim) -> None:
    """What no page shows is missed, also where another process moves the log on at every page."""
    world = victim.world
    other = world.closing(Vault.open(victim.vault.folder, **world.around()))
    other.unlock(PASSPHRASE, victim.owner.secret_key)
    hidden = victim.owner.vault.remember("withheld")
    victim.evil.rewrite["/sync"] = lambda page: _lacking(page, hidden.id)
    fetch, rounds = sync_flow._fetch_records, iter(range(100))

    def fetched(*arguments: Any) -> Any:
        done = yield from fetch(*arguments)
        with patch.object(sync_flow, "_fetch_records", fetch):
            other.remember(f"one more {next(rounds)}")
        return done

    again = patch.object(sync_flow, "_fetch_records", fetched)
    with again, pytest.raises(TrustError, match="withholds"):
        victim.vault.sync()
    assert next(rounds) < 4
    victim.evil.rewrite.clear()
    victim.vault.sync()
    assert "withheld" in {memory.content for memory in victim.vault.list()}


def test_what_another_process_took_meanwhile_accuses_nobody(victim: Victim) -> None:
    """Only what this sync asked for is missed: another one may be fetching the rest."""
    world, network = victim.world, Evil()
    both = victim.owner.vault.remember("for both").id
    first, other = (
        world.closing(Vault.open(victim.vault.folder, **world.around(transport=transport)))
        for transport in (network, victim.evil)
    )
    for vault in (first, other):
        vault.unlock(PASSPHRASE, victim.owner.secret_key)

    def once(page: list[Any]) -> None:
        network.rewrite.clear()
        _lacking(page, both)

    def meanwhile() -> None:
        later = victim.owner.vault.remember("later").id
        victim.evil.rewrite["/sync"] = lambda page: _lacking(page, later)
        with pytest.raises(TrustError, match="withholds"):
            other.sync()

    fetch, doings = sync_flow._fetch_records, [meanwhile]

    def fetched(*given: Any) -> Any:
        taken = yield from fetch(*given)
        if doings:
            doings.pop()()
        return taken

    network.rewrite["/sync"] = once
    with patch.object(sync_flow, "_fetch_records", fetched):
        first.sync()
    assert {"for both", "later"} <= {memory.content for memory in first.list()}
