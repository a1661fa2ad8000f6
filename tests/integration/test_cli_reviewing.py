"""Deciding on the command line, while another device of the owner's writes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

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


def test_what_came_only_now_is_not_accepted_for_what_waited(two: Two, tmp_path: Path) -> None:
    """Where no version is named, it is the one that this device had: of another it is told."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.owner("list", "--json").data()}
    two.app("app", "update", listed["Lisbon"], "--content", "as agreed")
    two.owner("pending", listed["Lisbon"])
    shutil.copytree(two.owner.home, tmp_path / "other")
    Cli(tmp_path / "other")("reject", listed["Lisbon"])
    two.app("app", "update", listed["Lisbon"], "--content", "something else")
    assert "look at it again" in two.owner("accept", listed["Lisbon"], code=7).err
    two.owner("accept", listed["Lisbon"], "--version", "3")
    assert "something else" in two.owner("show", listed["Lisbon"]).out
