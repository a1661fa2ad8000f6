"""Which purposes the code puts into PAEs: read off its source, so that none can hide."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROOMS = ("vault", "sdk", "server")

# Functions that take a purpose: at which place, and what stands before it in the PAE.
_TAKES = {
    "pae": (0, ""),
    "read_pae": (0, ""),
    "Layout": (0, ""),
    "Template": (0, ""),
    "derive": (1, ""),
    "kek": (0, "kek/"),
    "seal": (0, "envelope/"),
    "open_envelope": (0, "envelope/"),
    "wrap_key": (0, "envelope/"),
    "unwrap_key": (0, "envelope/"),
    "sign_statement": (1, "sign/"),
    "verify_statement": (1, "sign/"),
    "verify_kind": (0, "sign/"),
}


def _name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What stands before it, and the argument, of each call that takes a purpose."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        at, before = _TAKES.get(_name(node), (99, ""))
        if len(node.args) > at:
            yield before, node.args[at]


def purposes_of(source: str) -> tuple[set[str], int]:
    """The purposes that stand in a source text, and how many calls of it compute theirs."""
    found, computed = set(), 0
    for before, argument in _calls(ast.parse(source)):
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            found.add(before + argument.value)
        else:
            computed += 1
    return found, computed


def sources() -> Iterator[tuple[str, str]]:
    """The path and the text of each file of the product."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def purposes() -> tuple[set[str], set[str]]:
    """All purposes in the product, and the files of which some call computes its own."""
    found: set[str] = set()
    computing: set[str] = set()
    for path, source in sources():
        here, computed = purposes_of(source)
        found |= here
        computing |= {path} if computed else set()
    return found, computing


def calling(names: frozenset[str]) -> set[str]:
    """The files in which some function or method of these names is called."""
    found = set()
    for path, source in sources():
        calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        if any(_name(call) in names for call in calls):
            found.add(path)
    return found
