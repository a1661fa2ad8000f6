"""The page docs/attacks.md; running this with ``tests`` as its path writes the page anew.

With ``--files`` it names the files whose tests are of the campaign, for ``make attacks``.

Tests bear ``@pytest.mark.attack(N)`` or ``@pytest.mark.control(N)``, N being rows of the table in
``harness.attacks``. The marks are read from the source, so that the page needs no test run.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.attacks import first, fourth, second, third
from harness.attacks.row import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "attacks.md"
MARKS = ("attack", "control")
Function = ast.FunctionDef | ast.AsyncFunctionDef
ROWS = (*first.ROWS, *second.ROWS, *third.ROWS, *fourth.ROWS)
_LONGEST = (
    "adversary/test_sweep.py",
    "adversary/test_machine.py",
    "adversary/test_damaged_files.py",
)
"""Begun first: begun last, one of them would be waited for with nothing beside it."""


class Marked(NamedTuple):
    """A test that bears a mark."""

    kind: str
    number: int
    file: str
    test: str


@cache
def marked() -> tuple[Marked, ...]:
    """Every mark of the campaign on every test, in the order of files and lines."""
    return tuple(
        mark
        for path in sorted(TESTS.rglob("test_*.py"))
        for function in _functions(path.read_text(encoding="utf-8"))
        for mark in _marks(function, path.relative_to(TESTS).as_posix())
    )


def _functions(text: str) -> Iterator[Function]:
    """The functions of a file that might bear marks."""
    if any(f"mark.{kind}(" in text for kind in MARKS):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def _marks(function: Function, file: str) -> Iterator[Marked]:
    """The marks of one function, those of its single parameters included."""
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            kind = _kind(node)
            for argument in getattr(node, "args", ()) if kind else ():
                yield Marked(kind, ast.literal_eval(argument), file, function.name)


def _kind(node: ast.AST) -> str:
    """Which mark a call makes, if any."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    name = ast.unparse(node.func).removeprefix("pytest.mark.")
    return name if name in MARKS else ""


_BEFORE = """# Attacks

What was tried against Coffret, and what comes of it. `make attacks` carries all of it out against
the running system and writes this page anew. A *control* is the same attack against a client
without the one defence: it has to succeed, or the test would prove nothing.

{counts}

* **refused**: it does nothing, and whoever it was tried on is told with an error.
* **noticed**: it can be done, and is shown for what it is.
* **harmless**: it can be done, and gives whoever does it nothing.
* **cannot be stopped**: no design stops it; the note says what is seen instead.
* **does not apply**: there is nothing it could be done to; the note says why.

| # | attack | who | verdict | note |
|---|---|---|---|---|
"""
_BETWEEN = """
## The tests

| # | attacks in `tests/` | controls in `tests/` |
|---|---|---|
"""


def files() -> list[str]:
    """The files of the campaign, in the order in which the cores take them."""
    others = {mark.file for mark in marked()} - set(_LONGEST)
    return [*_LONGEST, *sorted(others)]


def page() -> str:
    """The page as it should be."""
    found: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    every = marked()
    for mark in every:
        names = found[mark.kind, mark.number][mark.file]
        if mark.test not in names:
            names.append(mark.test)
    rows = [
        f"| {row.number} | {row.attack} | {row.who} | {row.verdict} | {row.note} |\n"
        for row in ROWS
    ]
    tests = [
        f"| {row.number} | {_cell(found['attack', row.number])} "
        f"| {_cell(found['control', row.number]) or row.no_control} |\n"
        for row in ROWS
        if row.verdict is not Verdict.ELSEWHERE
    ]
    return _BEFORE.format(counts=_counts(every)) + "".join(rows) + _BETWEEN + "".join(tests)


def _counts(every: tuple[Marked, ...]) -> str:
    attacks, controls = (
        len({(mark.file, mark.test) for mark in every if mark.kind == kind}) for kind in MARKS
    )
    verdicts = ", ".join(
        f"{sum(row.verdict is verdict for row in ROWS)} {verdict}" for verdict in Verdict
    )
    return f"{len(ROWS)} classes of attacks: {verdicts}. {attacks} attacks and {controls} controls."


def _cell(files: dict[str, list[str]]) -> str:
    return "<br>".join(
        f"`{file}`: {', '.join(name.removeprefix('test_') for name in names)}"
        for file, names in files.items()
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--files"]:
        print(*(f"tests/{file}" for file in files()))  # noqa: T201 - for make
    else:
        PAGE.write_text(page(), encoding="utf-8")
