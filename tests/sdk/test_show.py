"""What people are shown of apps, selections and kits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coffret import Fields, Found, Memory, Selection
from coffret.arguments import approval_of, changed, fields_of, search_of
from coffret.cli.showing import days
from coffret.kit import RecoveryKit
from coffret.sharing import from_wire, shown
from coffret.shelf import ask_of
from coffret_vault.errors import FormatError, InputError
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code
from coffret_vault.primitives.secret import SecretBytes

MOMENT = datetime(2024, 5, 6, tzinfo=UTC)
ID = "00000000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("a\x1b[31mb\r\n\t", "a[31mb"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028para\u2029", "linepara"),
        ("private\ue000", "private"),
        ("名前 é 🙂", "名前 é 🙂"),
    ],
)
def test_text_is_shown_without_tricks(text: str, expected: str) -> None:
    """Characters that move, hide or colour others are left out; all that is read stays."""
    assert shown(text) == expected


def test_a_selection_reads_as_a_sentence_s_end() -> None:
    """Every dimension is named, in words, without tricks."""
    whole = Selection(
        tags=frozenset(["b\u202e", "a"]), types=frozenset(["goal"]), ids=frozenset([ID]),
        importance=0.5, since=MOMENT,
    )  # fmt: skip
    assert whole.describe() == (
        "memories tagged a or b, of type goal, from a list of 1, of importance 0.5 or more, "
        "updated since 2024-05-06"
    )
    assert Selection(everything=True).describe() == "every memory"
    assert from_wire(whole.to_wire()) == whole


@pytest.mark.attack(36)
@pytest.mark.parametrize("lie", ["zzz, from a list of 1", "or", "a b", 'a", of type "b', "\u3164"])
def test_a_tag_does_not_read_as_another_thing_that_is_asked_for(lie: str) -> None:
    """What is no plain word stands in quotes, and has none inside."""
    every = Selection(tags=frozenset(["health", lie]), types=frozenset([lie])).describe()
    name = '"' + lie.replace('"', "'") + '"'
    first, second = sorted(["health", name])
    assert every == f"memories tagged {first} or {second}, of type {name}"


@pytest.mark.parametrize("values", [{"importance": 2.0}, {"ids": frozenset(["x"])}])
def test_a_selection_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    """What has no place on the wire is refused when it is put there."""
    with pytest.raises((InputError, FormatError)):
        Selection(**values).to_wire()


@pytest.mark.parametrize("name", ["scopes", "tags", "types", "memories"])
def test_one_text_is_not_taken_for_many(name: str) -> None:
    """A bare text where several are wanted is a mistake, not its letters."""
    asking: dict[str, Any] = {"scopes": ["read"], "purpose": "p", "duration": timedelta(days=1)}
    with pytest.raises(InputError, match=name):
        ask_of("ana", {**asking, name: "travel"})  # type: ignore[typeddict-item]
    with pytest.raises(InputError, match="tags"):
        search_of({"tags": "travel"})
    with pytest.raises(InputError, match="tags"):
        fields_of("x", {"tags": "travel"})


def test_changes_touch_what_they_name() -> None:
    """A change replaces the named fields and leaves the others."""
    before = Fields(content="x", title="t", tags=("a",))
    after = changed({"tags": ["b"], "labels": {"u": "v"}})(before)
    assert (after.content, after.title, after.tags, after.labels) == ("x", "t", ("b",), {"u": "v"})


def test_a_kit_shows_its_secrets_on_its_page_only() -> None:
    """The page has both codes, which read back to the secrets; the object itself shows none."""
    kit = RecoveryKit(
        origin="https://x.example",
        username="ana",
        account_id=bytes(16),
        secret_key=SecretBytes(bytes(range(20))),
        recovery_code=SecretBytes(bytes(range(32))),
        fingerprint="eight words",
        head="note\n",
    )
    page = kit.text()
    assert read_code(SECRET_KEY, kit.secret_key_code()) == bytes(range(20))
    assert read_code(RECOVERY_CODE, kit.recovery_code_text()) == bytes(range(32))
    for part in (kit.secret_key_code(), kit.recovery_code_text(), "ana", "eight words", "    note"):
        assert part in page
    assert kit.secret_key_code() not in repr(kit)
    assert repr(kit) == "<RecoveryKit ana>"


def test_a_hit_does_not_show_the_question() -> None:
    """Neither a found memory nor the words it was found by are in its representation."""
    memory = Memory(
        id=ID, version=1, author="owner", created=MOMENT, updated=MOMENT, content="diary"
    )
    hit = Found(memory, 0.5, 0.4, 1.0, 1.0, ("diary",), ("words",))
    assert "diary" not in repr(hit)
    assert "diary" not in repr([hit])


def test_an_approval_takes_only_what_it_knows() -> None:
    """A misspelt argument is an error, not an approval without it."""
    narrowing, given = approval_of({"scopes": ["read"], "words": "w", "check_domain": False})
    assert (narrowing.scopes, given.words, given.check_domain) == (frozenset(["read"]), "w", False)
    with pytest.raises(TypeError, match="exlude"):
        approval_of({"exlude": []})  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3_600, "1 hour"),
        (5_400, "2 hours"),
        (86_399, "1 day"),
        (86_400, "1 day"),
        (86_401, "1 day and 1 hour"),
        (172_799, "2 days"),
        (30 * 86_400 + 7_200, "30 days and 2 hours"),
    ],
)
def test_no_time_is_shown_shorter_than_it_is(seconds: int, said: str) -> None:
    """What an app asks for to the second, an owner reads in hours that it does not go beyond."""
    assert days(timedelta(seconds=seconds)) == said
