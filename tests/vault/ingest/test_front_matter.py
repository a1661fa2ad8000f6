"""Front matter is read as its writer saw it, and cannot be used as a weapon."""

from __future__ import annotations

import re

import pytest

from coffret_vault.ingest.front_matter import _pair, split_front_matter


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ("a: 2024-05-02", {"a": "2024-05-02"}),
        ("a: no\nb: 12:30\nc: 007", {"a": "no", "b": "12:30", "c": "007"}),
        ("a: 1e3\nb: .nan\nc: 0x1f", {"a": "1e3", "b": ".nan", "c": "0x1f"}),
        ("a: true\nb: 5\nc: -0.5", {"a": True, "b": 5, "c": -0.5}),
        ("a: null\nb:", {"a": None, "b": None}),
        ("a: [x, 1]\nb:\n  - y\nc: {k: v}", {"a": ["x", 1], "b": ["y"], "c": {"k": "v"}}),
        ("title: Re: the boat\n# remark\nx:", {"title": "Re: the boat", "x": ""}),
        (
            "a: !!float .inf\nb: !!int 9999999999999999999",
            {"a": "!!float .inf", "b": "!!int 9999999999999999999"},
        ),
        ("a: -.inf\nb: 9999999999999999999", {"a": "-.inf", "b": "9999999999999999999"}),
        ("a: !!str 5\nb: !!seq [x]\nc: !!map {k: v}", {"a": "5", "b": ["x"], "c": {"k": "v"}}),
        ("", {}),
    ],
)
def test_values_stay_as_written(block: str, fields: dict[str, object]) -> None:
    """Only what JSON would call a number, a boolean or null is more than text."""
    assert split_front_matter(f"---\n{block}\n---\nBody") == (fields, "Body")


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ('title = "Figs"\ntags = ["a", "b"]', {"title": "Figs", "tags": ["a", "b"]}),
        ("date = 2024-05-02\nn = 5\nx = 0.5", {"date": "2024-05-02", "n": 5, "x": 0.5}),
        (
            "[a]\nb.c = true\nn = 9999999999999999999",
            {"a": {"b": {"c": True}, "n": "9" * 19}},
        ),
        ("x = inf", {"x": "inf"}),
        ("", {}),
    ],
)
def test_toml_is_read_between_its_own_lines(block: str, fields: dict[str, object]) -> None:
    """What a program such as Hugo writes is read as YAML is, days and odd numbers as text."""
    assert split_front_matter(f"+++\n{block}\n+++\nBody") == (fields, "Body")


@pytest.mark.parametrize(
    "block",
    [
        "not toml", "a = 1\na = 2", "a = " + "[" * 4_000, "a = " + "[" * 20 + "]" * 20,
        "a." * 1_900 + "a = 1", "x = " + "1" * 5_000, "---\na: 1\n---",
    ],
)  # fmt: skip
def test_what_is_no_toml_stays_in_the_text(block: str) -> None:
    """A block that cannot be read, or is too deep or long, is neither lost nor an error."""
    text = f"+++\n{block}\n+++\nBody"
    assert split_front_matter(text) == ({}, text)


@pytest.mark.parametrize(
    "text",
    [
        "No block at all",
        "---\nnever closed",
        "---\n- a list\n- of things\n---\nBody",
        "---\njust words\n---\nBody",
        "---\n[" + "[" * 30_000 + "\n---\nBody",
        "---\na: !!python/object/apply:os.getcwd []\n  b\n---\nBody",
        "---\nx: " + "y" * 70_000 + "\n---\nBody",
        "Text\n---\ntitle: x\n---\n",
    ],
)
def test_what_is_no_front_matter_stays_in_the_text(text: str) -> None:
    """A block that cannot be read is neither lost nor an error."""
    assert split_front_matter(text) == ({}, text)


TAGGED = (
    "!!bool words",
    "!!bool ''",
    "!!int ''",
    "!!int '_'",
    "!!int words",
    "!!int 1:2:x",
    "!!int 0x" + "f" * 5_000,
    "!!int " + "9" * 5_000,
    "!!int " + "1:" * 5_000 + "1",
    "!!float ''",
    "!!float words",
    "!!timestamp soon",
    "!!timestamp '2020-99-99'",
    "!!timestamp '2020-01-01T00:00:00+99:99'",
    "!!binary é",
    "!!null words",
    "!!omap [a]",
    "!!pairs [[a]]",
    "!!set [a]",
    "!!seq words",
    "!!map words",
    "!!str [a]",
    "!<tag:yaml.org,2002:bool> words",
    "!!python/object:os.system words",
    "!own words",
)


@pytest.mark.parametrize("value", TAGGED)
def test_tags_are_words_like_others(value: str) -> None:
    """A value that YAML is told how to read stays as it was written, and is never an error."""
    found = split_front_matter(f"---\nname: {value}\n---\nBody")
    assert found == ({"name": value}, "Body")


@pytest.mark.parametrize("value", TAGGED)
def test_a_tag_within_yaml_is_no_error(value: str) -> None:
    """In a block that is YAML alone, what cannot be read stays in the text."""
    text = f"---\nname:\n  - {value}\n---\nBody"
    assert split_front_matter(text) == ({}, text)


def test_aliases_do_not_unfold() -> None:
    """A few lines of aliases stay a few lines."""
    block = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    fields, body = split_front_matter(f"---\n{block}---\nBody")
    assert body == "Body"
    assert all(isinstance(value, str) and len(value) < 20 for value in fields.values())


def test_any_line_ends_close_the_block() -> None:
    """A block may end with dots, with spaces after them, or at the end of the file."""
    assert split_front_matter("---\na: 1\n...  \nBody") == ({"a": 1}, "Body")
    assert split_front_matter("---\na: 1\n---") == ({"a": 1}, "")


@pytest.mark.parametrize(
    "line",
    [
        "name:", "name: ", "name: words", "name \t:\twords", "a b.c-d_1: x: y", "na\tme: x",
        "name:x", "1name: x", " name: x", ": x", "name", "", "é: x", "aé: x", "name: 'x'",
        "na/me: x", "name:\xa0x",
    ],
)  # fmt: skip
def test_pairs_are_names_and_words(line: str) -> None:
    """What is a pair is as it was when a pattern said so, which took the square of its blanks."""
    pattern = re.compile(r"^([A-Za-z][\w .-]*?)[ \t]*:(?:[ \t]+(.*))?$")
    match = pattern.match(line)
    expected = match and (match[1], (match[2] or "").strip().strip("'"))
    assert _pair(line) == expected
