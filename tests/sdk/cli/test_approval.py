"""For how long an owner approves, by what is shown of what an app asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from coffret.cli.approval import Choice, ask_choice, check_choice, show_request
from coffret.sharing import AccessRequestInfo, AppInfo, Selection
from coffret_vault.errors import InputError

DAY = 86_400


def request(seconds: int) -> AccessRequestInfo:
    """A request for so long."""
    return AccessRequestInfo(
        request_id="01a20000-0000-7000-8000-0000aaaa1111",
        app=AppInfo("id", "App", "https://a.example", "words"),
        state="pending",
        scopes=frozenset(("read",)),
        selection=Selection(everything=True),
        purpose="p",
        retention="",
        duration=timedelta(seconds=seconds),
        standing=False,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        matching=(),
    )


@pytest.mark.parametrize("seconds", [2 * DAY - 1, 5_400, DAY + 1, 100 * DAY + 4 * 3_600])
def test_enter_leaves_the_time_as_it_was_asked_for(seconds: int) -> None:
    """Whatever the days that are shown are rounded to, they are not more than was asked for."""
    desk: Any = SimpleNamespace(
        asker=SimpleNamespace(text=lambda _question, default: default, interactive=True)
    )
    asked = request(seconds)
    choice = check_choice(ask_choice(desk, asked, Choice()), asked)
    assert (choice.duration() or asked.duration) == asked.duration


def test_what_is_shown_may_be_chosen() -> None:
    """A request for a second less than two days is one for two; for more than that is too long."""
    asked = request(2 * DAY - 1)
    choice = check_choice(Choice(days=2), asked)
    assert (choice.duration() or asked.duration) == asked.duration
    assert check_choice(Choice(days=1.5), asked).days == 1.5
    with pytest.raises(InputError, match="2 days"):
        check_choice(Choice(days=2.01), asked)


@pytest.mark.parametrize("ask", [True, False])
def test_who_says_yes_beforehand_is_asked_nothing_between_the_pages(*, ask: bool) -> None:
    """All that match are shown, at a terminal too, where a person may stop between two pages."""
    memory = SimpleNamespace(id="01a20000-0000-7000-8000-0000aaaa2222", title="T", tags=())
    asked = msgspec.structs.replace(request(DAY), matching=(memory,) * 50)
    questions: list[str] = []
    shown: list[str] = []

    def stop(question: str) -> str:
        questions.append(question)
        return "q"

    desk: Any = SimpleNamespace(
        asker=SimpleNamespace(text=stop, interactive=True),
        out=SimpleNamespace(note=shown.append, notes=lambda _parts: None),
    )
    show_request(desk, asked, ask=ask)
    assert (len(questions), len(shown)) == ((1, 21) if ask else (0, 51))
