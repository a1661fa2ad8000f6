"""The command line asks which app is meant, and never shows what is to be typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import pytest

from cli_harness import Cli, new_name
from coffret.cli.asking import Asker
from coffret.flows.state import Ambient
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS
from harness.website import HOST, Website, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli_harness import Ran


class Asking(NamedTuple):
    """An owner, an app with a website, and its request."""

    owner: Cli
    app: Cli
    site: Website
    request: str

    def words(self) -> str:
        """What the app shows."""
        return self.app("app", "words").out.strip()

    def at_terminal(self, *answers: str, code: int = 0) -> tuple[Ran, list[str]]:
        """Approve as a person who answers this, Enter to the rest; also what was asked."""
        left, asked = list(answers), []

        def text(_asker: Asker, question: str, default: str = "") -> str:
            asked.append(question)
            if "Approve?" in question:
                return "y"
            return left.pop(0) if left else default

        with patch.object(Asker, "interactive", new=True), patch.object(Asker, "text", text):
            return self.owner("approve", self.request, code=code), asked


@pytest.fixture
def asking(tmp_path: Path, url: str) -> Iterator[Asking]:
    """An app that asked, and whose website is up but says nothing yet."""
    name = new_name("asking")
    owner, app = Cli(tmp_path / "owner"), Cli(tmp_path / "app")
    key = tmp_path / "developer.key"
    dev = ("app", "register-developer", "--name", "Dev", "--contact", "dev@example.org")
    homepage = f"https://{HOST}/planner"
    with Website(tmp_path) as site:
        around = Ambient(limits=CHEAPEST_FOR_TESTS, web=site.web())
        with patch("cli_harness.cheap", return_value=around):
            owner.init(url, name)
            owner("remember", "a trip", "-t", "travel")
            app(*dev, "--server", url, "--key-file", str(key))
            named = ("--name", "Planner", "--homepage", homepage, "--server", url)
            app("app", "register", *named, "--key-file", str(key))
            words = ("--purpose", "plan", "--scope", "read", "--tag", "travel", "--json")
            found = app("app", "request", name, *words).data()["request_id"]
            yield Asking(owner, app, site, found)


def test_an_unknown_app_is_not_approved_without_words(asking: Asking) -> None:
    """A yes alone approves nothing; other words, or an unconfirmed website, do not either."""
    approve = ("approve", asking.request, "--yes")
    assert "eight words" in asking.owner(*approve, code=2).err
    wrong = " ".join(reversed(asking.words().split()))
    ran = asking.owner(*approve, "--words", wrong, "--json", code=2)
    assert json.loads(ran.err.splitlines()[-1])["error"]["code"] == "wrong-words"
    assert asking.words() not in ran.err
    asking.owner(*approve, "--website", HOST, code=2)
    asking.owner(*approve, "--words", asking.words())


def test_a_person_types_the_words(asking: Asking) -> None:
    """Where the website says nothing, the words are asked for, and are nowhere on the screen."""
    ran, asked = asking.at_terminal(asking.words().upper())
    assert "does not say whether" in ran.err
    assert "eight words that it shows" in asked[0]
    screen = ran.err + " ".join(asked)
    assert not [word for word in asking.words().split() if f" {word} " in screen]
    assert HOST not in screen


def test_a_person_types_the_website(asking: Asking) -> None:
    """Where the website names the app, its address does; it is nowhere on the screen either."""
    asking.site.answer = page(asking.app("app", "manifest").out.encode())
    ran, asked = asking.at_terminal("elsewhere.example.com", code=2)
    assert "another website" in ran.err
    ran, asked = asking.at_terminal(f"https://{HOST}")
    assert "says that the app is its own" in ran.err
    assert "website" in asked[0]
    assert HOST not in ran.err + " ".join(asked)


def test_a_person_who_mistypes_hears_it_before_anything_else(asking: Asking) -> None:
    """Wrong words end the command at once; nothing else is asked first."""
    _, asked = asking.at_terminal("abacus " * 8, code=2)
    assert len(asked) == 1


def test_a_website_that_names_others_blocks(asking: Asking) -> None:
    """An app that its website does not name is refused with its right words, at exit code 5."""
    asking.site.answer = page(b'{"apps": []}')
    asking.at_terminal(asking.words(), code=5)
    told = ("approve", asking.request, "--yes", "--words", asking.words())
    asking.owner(*told, code=5)
    before = asking.site.connections
    asking.owner(*told, "--no-domain-check")
    assert asking.site.connections == before


def test_an_app_that_is_known_is_shown_with_its_words(asking: Asking) -> None:
    """The second time nothing is asked of the app, or of its website."""
    asking.owner("approve", asking.request, "--yes", "--words", asking.words())
    name = asking.owner("status", "--json").data()["username"]
    more = ("--purpose", "again", "--scope", "read", "--tag", "travel", "--json")
    again = asking.app("app", "request", name, *more).data()["request_id"]
    before = asking.site.connections
    ran = asking.owner("approve", again, "--yes")
    assert asking.words() in ran.err
    assert HOST in ran.err
    assert asking.site.connections == before


def test_changed_keys_are_told_and_need_a_word_of_their_own(asking: Asking) -> None:
    """An app under other keys than before: listed with a warning, refused at exit code 5."""
    asking.owner("approve", asking.request, "--yes", "--words", asking.words())
    name = asking.owner("status", "--json").data()["username"]
    more = ("--purpose", "again", "--scope", "read", "--tag", "travel", "--json")
    again = asking.app("app", "request", name, *more).data()["request_id"]
    with (
        patch("coffret.flows.requests.keys_changed", return_value=True),
        patch("coffret.flows.pins.keys_changed", return_value=True),
    ):
        assert "keys are not the ones" in asking.owner("requests").err
        asking.owner("approve", again, "--yes", code=5)
    (grant,) = asking.owner("grants", "--json").data()
    assert grant["state"] == "revoked"


def test_the_file_for_the_website_keeps_other_apps(asking: Asking, tmp_path: Path) -> None:
    """Written beside another app, both are in it; a file that is none is not replaced."""
    path = tmp_path / "coffret-app.json"
    asking.app("app", "manifest", "-o", str(path))
    assert path.read_text() == asking.app("app", "manifest").out
    key = tmp_path / "developer.key"
    named = ("--name", "Second", "--homepage", f"https://{HOST}", "--app", "second")
    asking.app("app", "register", *named, "--key-file", str(key), COFFRET_SERVER=_server(asking))
    ran = asking.app("app", "manifest", "--app", "second", "-o", str(path))
    assert "/.well-known/coffret-app.json" in ran.out
    assert len(json.loads(path.read_text())["apps"]) == 2
    path.write_text("notes")
    asking.app("app", "manifest", "-o", str(path), code=3)
    assert path.read_text() == "notes"
    asking.app("app", "manifest", "-o", str(tmp_path), code=2)


def _server(asking: Asking) -> str:
    origin: str = asking.owner("status", "--json").data()["origin"]
    return origin


def test_an_app_asks_only_the_owner_it_was_told(asking: Asking) -> None:
    """With the owner's words, which ``status`` shows, an app asks; with others it does not."""
    status = asking.owner("status", "--json").data()
    more = ("--purpose", "again", "--scope", "read", "--tag", "travel")
    ask = ("app", "request", status["username"], *more, "--owner-words")
    asking.app(*ask, asking.words(), code=2)
    asking.app(*ask, status["fingerprint"])
