"""Both implementations give every vector's outcome, and the files are what the generator makes."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vectors import ours
from vectors.making.files import FOLDER, books
from vectors.verifier import run as verifier
from vectors.verifier.refusal import OUTCOMES

FILES = sorted(FOLDER.glob("*.json"))
Runner = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


def _cases(path: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="ascii"))["cases"]
    return cases


def _wrong(path: Path, run: Runner, skip: frozenset[str] = frozenset()) -> list[str]:
    """The cases of a file for which an implementation says something else."""
    wrong = []
    for case in _cases(path):
        if case["operation"] in skip:
            continue
        got = run(case["operation"], case["given"])
        if got != (case["outcome"], case.get("gives", {})):
            wrong.append(f"{case['name']}: {got} instead of {case['outcome']}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_trusted_core_gives_every_outcome(path: Path) -> None:
    """``coffret_vault`` accepts with the same values, or refuses in the same class."""
    assert _wrong(path, ours.run, ours.NOT_HERE) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_independent_verifier_gives_every_outcome(path: Path) -> None:
    """The second implementation agrees, case by case."""
    assert _wrong(path, verifier.run) == []


def test_the_files_are_what_the_generator_makes() -> None:
    """Nothing was edited by hand, and nothing that is generated depends on chance."""
    made = {f"{book.name}.json": book.text() for book in books()}
    assert {path.name: path.read_text(encoding="ascii") for path in FILES} == made


def test_every_outcome_class_occurs_and_no_other() -> None:
    """The vectors show each class of the specification at least once."""
    assert {case["outcome"] for path in FILES for case in _cases(path)} == OUTCOMES


def test_every_case_has_a_name_of_its_own() -> None:
    """A failure names exactly one case."""
    for path in FILES:
        names = [(case["operation"], case["name"]) for case in _cases(path)]
        assert len(names) == len(set(names)), path.name


def test_a_changed_outcome_is_noticed(tmp_path: Path) -> None:
    """The comparison can fail: a case with another outcome or another value is reported."""
    cases = _cases(FOLDER / "padding.json")
    accepted = next(case for case in cases if case["outcome"] == "accept")
    refused = next(case for case in cases if case["outcome"] != "accept")
    altered = tmp_path / "altered.json"
    for change in (accepted | {"gives": {"size": 1}}, refused | {"outcome": "accept"}):
        altered.write_text(json.dumps({"cases": [change]}), encoding="ascii")
        assert len(_wrong(altered, ours.run)) == 1
        assert len(_wrong(altered, verifier.run)) == 1


def test_the_verifier_shares_no_code_with_the_trusted_core() -> None:
    """The second implementation imports the standard library, Argon2 and itself, nothing else."""
    allowed = {
        *("__future__", "base64", "collections", "hashlib", "hmac", "re", "struct", "typing"),
        *("unicodedata", "uuid", "functools", "importlib", "json", "math", "argon2", "vectors"),
    }
    for path in (FOLDER / "verifier").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.split(".")[0] in allowed, path.name
                assert not node.module.startswith("vectors.making"), path.name
                assert node.module != "vectors.ours", path.name
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= allowed, path.name
