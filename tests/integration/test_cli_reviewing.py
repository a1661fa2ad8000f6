"""Deciding on the command line, while another device of the owner's writes."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cli_harness import Cli
from integration.test_cli_sharing import Two, two

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["two"]


def test_what_was_read_only_now_is_not_replaced_by_a_proposal_of_before(
    two: Two,
    tmp_path: Path,
) -> None:
    """Accepting brings what another device wrote: it is to be looked at beside that first."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    two.app("app", "update", listed["Lisbon"], "--content", "by the app")
    two.owner("pending", listed["Lisbon"])
    shutil.copytree(two.owner.home, tmp_path / "other")
    other = Cli(tmp_path / "other")
    other("edit", listed["Lisbon"], "--content", "of a minute ago")
    refused = two.owner("accept", listed["Lisbon"], code=7)
    assert "look at it again" in refused.err
    assert "of a minute ago" in two.owner("show", listed["Lisbon"]).out
    two.owner("accept", listed["Lisbon"])
    assert "by the app" in two.owner("show", listed["Lisbon"]).out


def test_a_proposal_is_turned_down_beside_whatever_is_there(two: Two, tmp_path: Path) -> None:
    """Rejecting what was looked at leaves what another device wrote meanwhile."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    two.app("app", "update", listed["Lisbon"], "--content", "by the app")
    two.owner("pending", listed["Lisbon"])
    shutil.copytree(two.owner.home, tmp_path / "other")
    Cli(tmp_path / "other")("edit", listed["Lisbon"], "--content", "of a minute ago")
    assert "as it was" in two.owner("reject", listed["Lisbon"]).out
    assert "of a minute ago" in two.owner("show", listed["Lisbon"]).out


@pytest.mark.parametrize(("decision", "said"), [("accept", "Accepted"), ("reject", "Rejected")])
def test_what_came_only_now_is_not_decided_for_what_waited(
    two: Two, tmp_path: Path, decision: str, said: str
) -> None:
    """Where no version is named, it is the one that this device had: of another it is told."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    two.app("app", "update", listed["Lisbon"], "--content", "as agreed")
    two.owner("pending", listed["Lisbon"])
    shutil.copytree(two.owner.home, tmp_path / "other")
    Cli(tmp_path / "other")("reject", listed["Lisbon"])
    two.app("app", "update", listed["Lisbon"], "--content", "something else")
    assert "look at it again" in two.owner(decision, listed["Lisbon"], code=7).err
    (waiting,) = two.owner("pending", listed["Lisbon"], "--json").data()
    assert (waiting["version"], waiting["proposed"]["content"]) == (3, "something else")
    assert said in two.owner(decision, listed["Lisbon"], "--version", "3").out


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_what_cannot_be_listed_was_not_looked_at(two: Two, tmp_path: Path, decision: str) -> None:
    """A record that has not come, of whatever memory, lets nothing be decided unseen."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    for title in ("Lisbon", "Porto"):
        two.app("app", "update", listed[title], "--content", "by the app")
    two.owner("pending")
    shutil.copytree(two.owner.home, tmp_path / "other")
    Cli(tmp_path / "other")("edit", listed["Lisbon"], "--content", "of a minute ago")
    with closing(sqlite3.connect(two.owner.home / "data/vaults/default/store.db")) as store, store:
        porto = uuid.UUID(listed["Porto"]).bytes
        store.execute("DELETE FROM records WHERE memory_id = ? AND version = 1", (porto,))
    assert "look at it again" in two.owner(decision, listed["Lisbon"], code=7).err
    assert "of a minute ago" in two.owner("show", listed["Lisbon"]).out
    two.owner(decision, listed["Lisbon"])
    stands = "by the app" if decision == "accept" else "of a minute ago"
    assert stands in two.owner("show", listed["Lisbon"]).out


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_the_end_of_an_id_is_of_what_waited_by_that(
    two: Two, tmp_path: Path, decision: str
) -> None:
    """An app chooses its ids: what ends as the one that was decided is not meant by that."""
    two.grant()
    first, second = (f"{at}0c44a0a-9f4d-4f6e-8a3c-5b1f9b1deb4d" for at in (1, 2))
    two.app("app", "remember", "as agreed", "--title", "A", "--id", first)
    two.owner("pending")
    shutil.copytree(two.owner.home, tmp_path / "other")
    Cli(tmp_path / "other")("reject", first)
    two.app("app", "remember", "something else", "--title", "B", "--id", second)
    assert "look at it again" in two.owner(decision, "9b1deb4d", code=7).err
    assert two.owner(decision, "9b1deb4d", "--json").data()["memory_id"] == second


def test_what_came_with_that_which_overtook_it_is_looked_at_first(two: Two, tmp_path: Path) -> None:
    """A proposal that is first here together with a later version does not replace that unseen."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    shutil.copytree(two.owner.home, tmp_path / "other")
    other = Cli(tmp_path / "other")
    two.app("app", "update", listed["Lisbon"], "--content", "by the app")
    other("sync")
    other("edit", listed["Lisbon"], "--content", "of a minute ago")
    assert "look at it again" in two.owner("accept", listed["Lisbon"], code=7).err
    assert "of a minute ago" in two.owner("show", listed["Lisbon"]).out
    two.owner("accept", listed["Lisbon"])
    assert "by the app" in two.owner("show", listed["Lisbon"]).out
