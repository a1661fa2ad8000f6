"""Sharing on the command line: an app asks, an owner narrows, reviews, and takes it back."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest

from cli_harness import Cli, Ran, new_name
from coffret_vault.errors import FormatError, StoreFullError

if TYPE_CHECKING:
    from pathlib import Path


class Two(NamedTuple):
    """An owner with three memories, and an app's developer."""

    owner: Cli
    app: Cli
    name: str

    def ask(self, *words: str) -> str:
        """Ask for what is tagged travel, and give the request's id."""
        more = words or ("--scope", "read", "--tag", "travel")
        asked = ("app", "request", self.name, "--purpose", "plan trips", *more, "--json")
        found: str = self.app(*asked).data()["request_id"]
        return found

    def grant(self, *words: str) -> str:
        """Ask for reading and writing, approve it, and give the grant's id."""
        request = self.ask(
            *("--scope", "read", "--scope", "create", "--scope", "update", "--scope", "delete"),
            *("--tag", "travel"),
        )
        found: str = self.approve(request, *words, "--json").data()["grant_id"]
        return found

    def approve(self, request: str, *words: str, code: int = 0) -> Ran:
        """Approve a request without being asked, with the words that the app shows."""
        shown = self.app("app", "words").out.strip()
        return self.owner("approve", request, "--yes", "--words", shown, *words, code=code)


@pytest.fixture
def two(tmp_path: Path, url: str) -> Two:
    """An owner and an app that have not met."""
    name = new_name("two")
    owner, app = Cli(tmp_path / "owner"), Cli(tmp_path / "app")
    owner.init(url, name)
    for place in ("Lisbon", "Porto"):
        owner("remember", f"a trip to {place}", "--title", place, "-t", "travel")
    owner("remember", "private diary", "--title", "Diary", "-t", "private")
    key = app.home / "developer.key"
    dev = ("app", "register-developer", "--name", "Dev", "--contact", "dev@example.org")
    app(*dev, "--server", url, "--key-file", str(key))
    words = ("--name", "Plan\u202ener [b]", "--homepage", "https://planner.example")
    app("app", "register", *words, "--server", url, "--key-file", str(key))
    return Two(owner, app, name)


def titles(memories: list[dict[str, Any]]) -> set[str]:
    """The titles of memories."""
    return {memory["title"] for memory in memories}


def test_registering_is_refused_without_a_key_and_over_an_app(two: Two, url: str) -> None:
    """The developer key comes from stdin or a file, never from a word; an app is not replaced."""
    words = ("app", "register", "--name", "X", "--homepage", "https://x.example", "--server", url)
    two.app(*words, code=7)
    two.app(*words, "--app", "other", stdin="not a key\n", code=4)
    two.app("app", "info", "--app", "other", code=6)
    key = (two.app.home / "developer.key").read_text()
    info = two.app(*words, "--app", "other", "--json", stdin=key).data()
    assert set(info) == {"app_id", "name", "homepage", "fingerprint", "file"}
    assert len(info["fingerprint"].split()) == 8
    dev = ("app", "register-developer", "--name", "D", "--contact", "c", "--server", url)
    printed = two.app(*dev, "--json").data()
    assert set(printed) == {"developer_key"}


def test_an_owner_sees_who_asks_for_what(two: Two) -> None:
    """Name without bidirectional tricks, purpose, and what matches; nothing that is to be typed."""
    request = two.ask()
    found = two.owner("requests", "--json")
    (shape,) = found.data()
    assert shape["request_id"] == request
    assert shape["duration_seconds"] == 30 * 86_400
    assert titles(shape["matching"]) == {"Lisbon", "Porto"}
    assert "\u202e" not in found.out
    assert "a trip to" not in found.out
    ran = two.owner("approve", request, code=2)
    assert "Planner [b]" in ran.err
    assert two.app("app", "words").out.strip() not in ran.err + found.out
    assert "planner.example" not in ran.err
    assert "Lisbon" in ran.err
    assert "Diary" not in ran.err
    assert "cannot be unread" not in ran.out


def test_an_approval_is_narrowed_by_options(two: Two) -> None:
    """Fewer scopes, memories and days than asked for; the app reads exactly those."""
    request = two.ask("--scope", "read", "--scope", "create", "--tag", "travel")
    (asked,) = two.owner("requests", "--json").data()
    lisbon = next(item["id"] for item in asked["matching"] if item["title"] == "Lisbon")
    words = ("--scopes", "read", "--exclude", lisbon[-8:], "--days", "5", "--json")
    ran = two.approve(request, *words)
    assert "cannot be unread" in ran.err
    grant = ran.data()
    assert (grant["scopes"], grant["memories"], grant["state"]) == (["read"], 1, "active")
    assert titles(two.app("app", "list", "--json").data()) == {"Porto"}
    two.app("app", "show", lisbon, code=6)
    two.app("app", "remember", "x", code=8)


def test_an_approval_never_widens(two: Two) -> None:
    """More scopes, days or later memories than asked for, and numbers unseen, are refused."""
    request = two.ask()
    for words in (
        ("--scopes", "read,delete"),
        ("--scopes", ""),
        ("--days", "31"),
        ("--days", "0"),
        ("--standing",),
        ("--exclude", "1"),
        ("--only", "zzzz"),
    ):
        assert two.approve(request, *words, code=6 if "zzzz" in words else 2)
    assert "more than 0 days" in two.approve(request, "--days", "0", code=2).err
    (asked,) = two.owner("requests", "--json").data()
    everything = ",".join(item["id"] for item in asked["matching"])
    two.approve(request, "--exclude", everything, code=2)
    two.owner("approve", "ffffffff", "--yes", code=6)
    assert two.app("app", "status", "--json").data()["state"] == "pending"


def test_a_request_is_denied_or_withdrawn_once(two: Two) -> None:
    """What was decided or withdrawn is final, for the owner and for the app."""
    first = two.ask()
    ran = two.app("app", "list", code=7)
    assert ran.err == "coffret: The owner has not decided about this request yet.\n"
    assert two.owner("deny", first[-8:], "--json").data()["state"] == "denied"
    assert two.app("app", "status", first).out.strip() == "denied"
    two.owner("approve", first, "--yes", code=7)
    second = two.ask()
    two.app("app", "cancel", second)
    two.owner("deny", second, code=7)
    two.app("app", "cancel", first, code=7)
    states = {item["state"] for item in two.app("app", "requests", "--json").data()}
    assert states == {"denied", "cancelled"}
    assert two.owner("requests", "--json").data() == []
    assert len(two.owner("requests", "--all", "--json").data()) == 2
    two.app("app", "status", "ffffffff", code=6)


def test_a_registration_that_was_ended_goes_on(two: Two, url: str) -> None:
    """Until then it is no app; the same command again makes one of what was begun."""
    key = str(two.app.home / "developer.key")
    words = ("app", "register", "--app", "late", "--key-file", key, "--server", url, "--json")
    named = ("--name", "Late", "--homepage", "https://late.example")
    with patch("coffret.flows.registering.save_app", side_effect=StoreFullError):
        two.app(*words, *named, code=9)
    ran = two.app("app", "info", "--app", "late", code=7)
    assert "The registration of this app was not finished. Register it again" in ran.err
    two.app(*words, "--name", "Other", "--homepage", "https://late.example", code=7)
    assert two.app(*words, *named).data()["name"] == "Late"
    assert two.app("app", "info", "--app", "late", "--json").data()["name"] == "Late"
    two.app(*words, *named, code=7)


def test_what_was_granted_is_narrowed_by_options(two: Two) -> None:
    """A list and a search of an app take the filters of an owner's."""
    two.owner("remember", "a goal", "--title", "Goal", "-t", "travel", "--type", "goal")
    words = ("--title", "Plan", "-t", "travel", "-t", "x", "--label", "user=ana")
    two.owner("remember", "a plan", *words, "--importance", "0.9")
    two.grant()
    narrowed: tuple[tuple[tuple[str, ...], set[str]], ...] = (
        (("--tag", "x"), {"Plan"}),
        (("--any-tag", "x", "--any-tag", "y"), {"Plan"}),
        (("--type", "goal"), {"Goal"}),
        (("--label", "user=ana"), {"Plan"}),
        (("--importance", "0.5"), {"Plan"}),
        (("--author", "nobody"), set()),
        (("--until", "2020-01-01"), set()),
        (("--since", "2020-01-01", "--limit", "2"), {"Plan", "Goal"}),
    )
    for options, expected in narrowed:
        assert titles(two.app("app", "list", *options, "--json").data()) == expected
        if "--limit" not in options:
            ran = two.app("app", "search", "a", "--mode", "words", *options, "--json")
            assert {hit["memory"]["title"] for hit in ran.data()["hits"]} <= expected
    two.app("app", "list", "--importance", "7", code=2)
    two.app("app", "list", "--label", "user", code=2)


def test_an_app_writes_a_conversation(two: Two, tmp_path: Path) -> None:
    """From a file, each exchange once; what is no conversation is refused, and nothing written."""
    two.grant()
    path = tmp_path / "talk.json"
    talk = [{"role": "user", "content": "No nuts"}, {"role": "assistant", "content": "Noted."}]
    path.write_text(json.dumps(talk))
    words = ("app", "remember-messages", str(path), "--session", "s", "-t", "food")
    assert "1 created, 0 updated, 0 unchanged" in two.app(*words).out
    assert two.app(*words, "--json").data()["unchanged"] == 1
    (waiting,) = two.owner("pending", "--json").data()
    assert waiting["proposed"]["content"] == "Me: No nuts\n\nAssistant: Noted."
    path.write_text("[7]")
    two.app(*words, code=2)


def test_an_app_waits_for_its_owner(two: Two) -> None:
    """Until it is approved, denied, or for as long as was said; the request's id comes first."""
    first = two.ask()
    began: list[str] = []

    def decide(_seconds: float) -> None:
        began.append(two.approve(two.owner("requests", "--json").data()[0]["request_id"]).out)

    with patch("coffret.app.sleep", decide):
        ran = two.app("app", "wait")
    assert (ran.out, len(began)) == ("approved; the grant is active\n", 1)
    assert "Ctrl-C ends the wait" in ran.err
    assert two.app("app", "wait", first[-8:], "--json").data() == {
        "request_id": first,
        "state": "approved",
        "grant": "active",
    }
    asking = ("app", "request", two.name, "--purpose", "p", "--scope", "read", "--everything")
    with patch("coffret.app.sleep", decide):
        ran = two.app(*asking, "--wait", "--json")
    assert ran.data()["grant"] == "active"
    assert f"request {ran.data()['request_id']}" in ran.err
    with patch("coffret.app.sleep"), patch("coffret.flows.awaiting.monotonic", count().__next__):
        ran = two.app(*asking, "--wait", "--for", "3s", "--json", code=7)
    assert ran.error()["code"] == "request-pending"
    assert ran.out == ""
    two.owner("deny", two.owner("requests", "--json").data()[0]["request_id"])
    assert two.app("app", "wait", "--json", code=7).error()["code"] == "request-ended"
    with patch("coffret.app.sleep", side_effect=KeyboardInterrupt):
        two.app(*asking, "--wait", code=130)
    assert two.app("app", "status").out == "pending\n"
    for wrong in (("--wait", "--for", "soon"), ("--for", "3s"), ("--wait", "--for", "99d")):
        two.app(*asking, *wrong, code=2)
    assert len(two.app("app", "requests", "--json").data()) == 4


def test_what_an_app_writes_waits_for_the_owner(two: Two) -> None:
    """Created, changed and deleted: each is pending, then accepted or rejected, by id's end."""
    two.grant()
    listed = {item["title"]: item["id"] for item in two.app("app", "list", "--json").data()}
    chosen = str(uuid.uuid4())
    words = ("remember", "a hotel", "--title", "Hotel", "-t", "travel", "--id", chosen, "--json")
    made = two.app("app", *words)
    assert two.app("app", *words).data()["id"] == made.data()["id"] == chosen
    two.app("app", "update", listed["Lisbon"][-8:], "--content", "Lisbon, twice")
    two.app("app", "forget", listed["Porto"][-8:])
    two.app("app", "update", listed["Lisbon"], code=2)
    assert "Lisbon, twice" in two.app("app", "search", "twice").out
    waiting = two.owner("pending", "--json").data()
    assert [item["deletion"] for item in waiting] == [False, False, True]
    assert "Planner [b]" in two.owner("pending").out
    shown = two.owner("pending", listed["Lisbon"][-8:]).out
    assert "  | Lisbon, twice\nIt is now:\n  | a trip to Lisbon\n" in shown
    two.owner("accept", made.data()["id"][-8:])
    assert "the memory is as it was" in two.owner("reject", listed["Lisbon"]).out
    assert two.owner("accept", listed["Porto"], "--json").data()["memory"] is None
    assert titles(two.owner("list", "--json").data()) == {"Hotel", "Lisbon", "Diary"}
    assert two.owner("pending", "--offline", "--json").data() == []
    two.owner("accept", made.data()["id"], code=6)
    two.owner("reject", made.data()["id"], code=6)


def test_an_export_says_what_is_not_in_it(two: Two, tmp_path: Path) -> None:
    """What apps wrote and nobody decided is not exported: who leaves with the file is told."""
    two.grant()
    two.app("app", "remember", "a hostel", "-t", "travel")
    two.owner("sync")
    ran = two.owner("export", str(tmp_path / "all.jsonl"))
    assert "1 written by apps wait for you, and are not in it: coffret pending." in ran.err
    assert "hostel" not in (tmp_path / "all.jsonl").read_text("utf-8")


def test_an_export_says_what_is_not_here_to_be_in_it(two: Two, tmp_path: Path) -> None:
    """Who keeps the file as a copy of all is told, and how many memories are in it is true."""
    two.grant()
    (lisbon,) = two.owner("list", "-t", "travel", "--limit", "1", "--json").data()
    two.app("app", "update", lisbon["id"], "--title", "Another")
    two.owner("sync")
    with closing(sqlite3.connect(two.owner.home / "data/vaults/default/store.db")) as store, store:
        own = uuid.UUID(lisbon["id"]).bytes
        store.execute("DELETE FROM records WHERE memory_id = ? AND version = 1", (own,))
    ran = two.owner("export", str(tmp_path / "all.jsonl"))
    assert "Exported 2 memories" in ran.out
    assert "not in it: 1 memory. coffret sync" in ran.err
    assert "1 written by apps" in ran.err
    assert "plaintext" in ran.err
    two.owner("sync")
    again = two.owner("export", str(tmp_path / "again.jsonl"))
    assert ("Exported 3 memories" in again.out, "this device" in again.err) == (True, False)


def test_a_rejected_memory_was_not_taken_in(two: Two) -> None:
    """One that an app created and the owner rejects is said to be none; the app sealed it."""
    two.grant()
    made = two.app("app", "remember", "a hostel", "-t", "travel", "--json").data()
    assert made["sealed"]
    assert two.owner("reject", made["id"]).out == "Rejected: it was not taken in.\n"
    two.app("app", "remember", " ", code=2)


def test_auto_accept_is_chosen_and_works(two: Two) -> None:
    """What an app writes under such a grant is current after the owner's next sync."""
    two.grant("--auto-accept")
    two.app("app", "remember", "trusted words", "-t", "travel")
    two.owner("sync")
    assert two.owner("pending", "--offline", "--json").data() == []


def test_pause_narrow_revoke_and_rotate(two: Two) -> None:
    """The app is shut out, let in, loses a memory, and is shut out for good."""
    grant = two.grant()
    listed = {item["title"]: item["id"] for item in two.app("app", "list", "--json").data()}
    two.owner("pause", grant[-8:])
    two.app("app", "list", code=8)
    two.owner("pause", grant, code=7)
    assert two.owner("resume", grant, "--json").data()["state"] == "active"
    narrowed = two.owner("narrow", grant, listed["Porto"], "--json").data()
    assert (narrowed["removed"], narrowed["memories"]) == (1, 1)
    assert titles(two.app("app", "list", "--json").data()) == {"Lisbon"}
    two.owner("revoke", grant, code=2)
    ran = two.owner("revoke", grant, "--yes", "--rotate-now", "--json")
    assert "cannot be unread" in ran.err
    # Porto too, which was taken out: no device relies on a server for what a grant holds.
    assert ran.data() == {"grant_id": grant, "state": "revoked", "rotated": 2}
    two.app("app", "list", code=8)
    two.app("app", "remember", "x", code=8)
    two.owner("resume", grant, code=8)
    two.owner("revoke", grant, "--yes", code=8)
    two.owner("rotate")
    assert two.owner("rotate", "--json").data() == {"rotated": 0}
    two.owner("rotate", "ffffffff", code=6)
    (shown,) = two.owner("grants", "--offline", "--json").data()
    assert shown["state"] == "revoked"


def test_where_a_grant_stands_is_shown_beside_its_request(two: Two) -> None:
    """An approved request says whether its grant is active, paused or revoked; no other does."""
    two.ask()
    assert two.app("app", "status", "--json").data()["grant"] is None
    grant = two.grant()
    assert two.app("app", "status").out == "approved; the grant is active\n"
    two.owner("pause", grant)
    assert two.app("app", "status", "--json").data()["grant"] == "paused"
    two.owner("revoke", grant, "--yes")
    assert two.app("app", "status").out == "approved; the grant is revoked\n"
    found = two.app("app", "requests", "--json").data()
    assert {(item["state"], item["grant"]) for item in found} == {
        ("superseded", None),
        ("approved", "revoked"),
    }
    assert two.app("app", "requests").out.count("revoked") == 1


def test_a_grant_over_many_is_listed_with_numbers(two: Two) -> None:
    """Grants are a line each elsewhere than on a terminal, with the app's name cleaned."""
    two.grant("--days", "3")
    line = two.owner("grants").out
    assert "Planner [b]" in line
    assert line.count("\t") == 6


def test_a_request_named_by_its_whole_id_needs_no_list(two: Two) -> None:
    """Nothing that other apps ask can keep an owner from deciding one request."""
    with patch("coffret.flows.requests._answers", side_effect=FormatError):
        request = two.ask()
        two.owner("requests", code=FormatError.exit_code)
        assert two.owner("deny", request, "--json").data()["state"] == "denied"
        assert "denied" in two.approve(request, code=7).err
        assert two.approve(two.ask(), "--json").data()["state"] == "active"


def test_an_app_s_search_leaves_out_what_does_not_fit(two: Two) -> None:
    """As the owner's: less similar and without a word of the question, and it is not shown."""
    two.grant()
    said = ("--min-similarity", "0.35", "--json")
    assert two.app("app", "search", "quantum chromodynamics", *said).data() == {"hits": []}
    (hit,) = two.app(
        "app", "search", "trips to Lisbon", "--min-similarity", "0.9", "--json"
    ).data()["hits"]
    assert (hit["coverage"], hit["memory"]["title"]) == (1, "Lisbon")
    two.app("app", "search", "x", "--min-similarity", "1.5", code=2)
