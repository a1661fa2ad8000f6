"""On the command line: changes that waited and were given up."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from cli_harness import PASSPHRASE, code_in, new_name
from coffret import Vault, transport
from coffret.testing import cheap
from coffret_vault.errors import NetworkError
from harness.network import Losing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_harness import Cli
    from coffret import RecoveryKit
    from coffret.flows.http import Request
    from coffret.http1 import Outgoing

VAULT = "data/vaults/default"
pytestmark = pytest.mark.usefixtures("one_try")


def without_network(folder: Path, key: str) -> Vault:
    """The vault of a command line, unlocked, that no server hears any more."""
    network = Losing()
    vault = Vault.open(folder, ambient=cheap(), transport=network)
    vault.unlock(PASSPHRASE, key)
    vault.sync()
    network.left = 0
    return vault


@pytest.fixture
def owner(cli: Cli, url: str, tmp_path: Path) -> Cli:
    """A command line on which a change waits that can be kept no more: another device wrote."""
    name = new_name("losing")
    key = code_in(cli.init(url, name), "CF1")
    cli("remember", "before")
    with without_network(cli.home / VAULT, key) as vault, pytest.raises(NetworkError):
        vault.update(vault.list()[0].id, content="lost words", title="Lost")
    with Vault.login(url, name, PASSPHRASE, key, tmp_path / "other", ambient=cheap()) as other:
        other.remember("quicker")
    return cli


def test_what_waits_to_be_sent_is_told(cli: Cli, url: str) -> None:
    """What could not be sent stands in status and doctor until a sync has sent it."""
    key = code_in(cli.init(url, new_name("waiting")), "CF1")
    with without_network(cli.home / VAULT, key) as vault:
        assert not vault.status().unsent
        for words in ("on the train", "over the bridge"):
            with pytest.raises(NetworkError):
                vault.remember(words)
    assert "2 changes: coffret sync" in cli("status").out
    assert cli("status", "--json").data()["unsent"] == 2
    assert "not sent yet" in cli("unkept").out
    assert "2 changes not at the server yet" in cli("list").err
    assert "2 changes not at the server yet" in cli("search", "train", "--mode", "words").err
    checks = {item["name"]: item for item in cli("doctor", "--json").data()["checks"]}
    assert (checks["changes"]["state"], "sync" in checks["changes"]["advice"]) == ("note", True)
    assert "Sent what waited here: 2 changes." in cli("sync").out
    assert cli("sync", "--json").data()["sent"] == 0
    assert cli("status", "--json").data()["unsent"] == 0
    assert "Unsent" not in cli("status").out
    assert "on the train" in cli("list").out
    assert "not at the server" not in cli("list").err
    assert "over the bridge" in cli("list").out


def test_what_waits_is_listed_and_shown_as_that(cli: Cli, url: str) -> None:
    """Marked in rows and in JSON, counted, and had whole by its id, until a sync has sent it."""
    key = code_in(cli.init(url, new_name("listed")), "CF1")
    cli("remember", "at home", "--tag", "home")
    assert "waiting" not in cli("list", "--json").data()[0]
    with without_network(cli.home / VAULT, key) as vault:
        for words in ("on the train", "over the bridge"):
            with pytest.raises(NetworkError):
                vault.remember(words)
    rows = [line.split("\t") for line in cli("list").out.splitlines()]
    assert [row[3] for row in rows] == ["over the bridge", "on the train", "at home"]
    assert [row[5] for row in rows] == ["waiting", "waiting", ""]
    listed = cli("list", "--json").data()
    assert [item.get("waiting", False) for item in listed] == [True, True, False]
    assert cli("list", "--count", "--json").data() == {"count": 3}
    assert "These are 2 of 3" in cli("list", "--limit", "2").err
    assert [row.count("\t") for row in cli("list", "--tag", "home").out.splitlines()] == [4]
    found = cli("search", "train home", "--mode", "words", "--json").data()
    for name, words in (("hits", "at home"), ("waiting", "on the train")):
        assert [hit["memory"]["content"] for hit in found[name]] == [words]
    lines = cli("search", "train", "--mode", "words").out.splitlines()
    assert lines[0].startswith("Waiting on this device")
    assert lines[-1].strip() == "on the train"
    assert "waiting" not in cli("search", "home", "--mode", "words", "--json").data()
    waits = listed[0]["id"]
    shown = cli("show", waits[-8:]).out
    assert ("over the bridge" in shown, "Waits:" in shown, "Server sees" in shown) == (1, 1, 0)
    assert cli("show", waits, "--json").data()["waiting"] is True
    cli("forget", waits[-8:], "--yes")  # it is sent first, as whatever waits
    assert [item["content"] for item in cli("list", "--json").data()] == ["on the train", "at home"]
    assert not any("waiting" in item for item in cli("list", "--json").data())


def test_what_was_given_up_is_told_and_shown(owner: Cli) -> None:
    """The command that gives it up says so; status and doctor go on; its words can be had."""
    ran = owner("remember", "next")
    assert "not kept" in ran.err
    assert "lost words" not in ran.out + ran.err
    assert "not kept" not in owner("remember", "one more").err
    assert "1 change: coffret unkept" in owner("status").out
    assert owner("status", "--json").data()["unkept"] == 1
    checks = {item["name"]: item for item in owner("doctor", "--json", code=1).data()["checks"]}
    assert (checks["changes"]["state"], "unkept" in checks["changes"]["advice"]) == ("bad", True)
    out = owner("unkept").out
    assert "another device had written" in out
    assert "--- Lost\nlost words\n" in out
    (found,) = owner("unkept", "--json").data()
    assert [memory["content"] for memory in found["memories"]] == ["lost words"]
    assert owner("unkept", "no such").out.startswith("No change")
    assert owner("unkept", found["id"], "--forget", "--json").data() == {"forgotten": 1}
    assert owner("unkept").out.startswith("No change")
    owner("unkept", found["id"], "--forget", code=6)


def test_a_sync_says_how_many_were_given_up(owner: Cli) -> None:
    """In its JSON, and in a sentence."""
    ran = owner("sync", "--json")
    assert ran.data()["unkept"] == 1
    assert "coffret unkept" in ran.err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no agent")
def test_what_waited_is_taken_along_when_the_keys_are_changed(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    """Login goes by the keys that the agent has; without these it says so, and gives nothing up."""
    name, around = new_name("changed"), cheap()
    key = code_in(cli.init(url, name), "CF1")
    kits: list[RecoveryKit] = []
    with Vault.open(
        cli.home / "data/vaults/default", ambient=around, transport=(network := Losing())
    ) as vault:
        vault.unlock(PASSPHRASE, key)
        network.left = 0
        with pytest.raises(NetworkError):
            vault.remember("lost words")
    with Vault.login(url, name, PASSPHRASE, key, tmp_path / "other", ambient=around) as other:
        other.change_keys("the new one", kits.append)
    secrets: dict[str, Any] = {
        "stdin": f"the new one\n{kits[0].secret_key_code()}\n",
        "COFFRET_PASSPHRASE_FILE": "",
    }
    refused = cli("login", "--json", code=7, **secrets).error()
    assert "coffret unlock" in refused["hint"]
    cli.process("unlock", "--for", "5m")
    ran = cli("login", **secrets)
    assert "coffret unkept" in ran.err
    cli.passphrase.write_text("the new one\n")
    shown = cli("unkept").out
    assert "the keys were changed" in shown
    assert "lost words" in shown
    assert "cannot be read" not in shown


@contextmanager
def stopping(after: int = 0) -> Iterator[None]:
    """Within this, Ctrl-C is pressed when a memory is on its way, after so many that went out."""
    build, sent = transport._build, count()

    def stop(origin: str, request: Request) -> Outgoing:
        written = request.method != "GET" and request.path.startswith("/memory-blobs")
        if written and next(sent) >= after:
            raise KeyboardInterrupt
        return build(origin, request)

    with patch("coffret.transport._build", stop):
        yield


def test_who_stops_a_command_is_told_that_what_it_began_goes_on(cli: Cli, url: str) -> None:
    """What was begun to be sent is not undone by Ctrl-C, and is said to wait; nothing else is."""
    cli.init(url, new_name("stopping"))
    identifier = cli("remember", "before", "--json").data()["id"]
    with stopping():
        ran = cli("edit", identifier, "--content", "after", code=130)
        assert ran.err.startswith("Stopped.\n")
        assert "coffret unkept" in ran.err
        assert cli("edit", identifier, "--content", "more", code=130).err == "Stopped.\n"
    assert "Sent what waited here: 1 change." in cli("sync").out
    assert cli("show", identifier).out.endswith("\nafter\n")


def test_what_waits_is_sent_before_a_memory_is_edited(cli: Cli, url: str) -> None:
    """A person edits the memory as what waits leaves it; the edit is then what the command began.

    Where it was stopped in turn, its words are not said to be unsaved: they go out.
    """
    cli.init(url, new_name("editing"))
    identifier = cli("remember", "before", "--json").data()["id"]
    with stopping():
        cli("edit", identifier, "--content", "after", code=130)
    assert cli("edit", identifier, "--title", "T", "--json").data()["content"] == "after"
    with stopping():
        cli("edit", identifier, "--title", "U", code=130)
    seen = SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True))
    with stopping(after=1), patch("coffret.cli.editing.sys", seen):
        ran = cli("edit", identifier, "--content", "-", stdin="mine", code=130)
    assert ran.err.startswith("This may not have been saved:\n\nmine\nStopped.\n")
    assert "coffret unkept" in ran.err
    cli("sync")
    shown = cli("show", identifier, "--json").data()
    assert (shown["title"], shown["content"]) == ("U", "mine")
