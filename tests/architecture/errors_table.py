"""The table of errors in docs/errors.md, which running this file writes anew."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import coffret_vault
from coffret.flows.http import Response, problem
from coffret_server.problems import CODES
from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
_BEFORE = """# Errors

Every error that Coffret raises on purpose. `code` is stable and is what programs compare; `exit`
is what the command line returns; `HTTP` is the status with which a server answers with that code,
where it does. An indented class is caught with the one above it. What else is raised is a
mistake in the program. Programs take them from `coffret.errors`.

| class | code | exit | HTTP | what a person reads |
|---|---|---|---|---|
"""
_BETWEEN = """
What a server answers with other codes than those of the classes that they become:

| the server's code | HTTP | class |
|---|---|---|
"""


def every_error() -> Iterator[tuple[int, type[CoffretError]]]:
    """Every error class of the trusted core with its depth, parents first, by code."""
    for module in pkgutil.walk_packages(coffret_vault.__path__, "coffret_vault."):
        importlib.import_module(module.name)
    yield from _below(CoffretError, 0)


def _below(kind: type[CoffretError], depth: int) -> Iterator[tuple[int, type[CoffretError]]]:
    yield depth, kind
    for child in sorted(kind.__subclasses__(), key=lambda child: child.code):
        if child.__module__.startswith("coffret_vault."):
            yield from _below(child, depth + 1)


def page() -> str:
    """The page as it should be."""
    rows = [
        f"| {'&nbsp;&nbsp;' * depth}`{kind.__name__}` | `{kind.code}` | {kind.exit_code} "
        f"| {kind.http_status or ''} | {kind.sentence()} |\n"
        for depth, kind in every_error()
    ]
    others = [
        f"| `{code}` | {status} | `{kind.__name__}` |\n"
        for code, (status, _) in CODES.items()
        if (kind := becomes(code)).code != code
    ]
    return _BEFORE + "".join(rows) + _BETWEEN + "".join(others)


def becomes(code: str) -> type[CoffretError]:
    """The class of the table that an answer with a code is raised as, or a subclass of."""
    body = json.dumps({"code": code}).encode()
    found = type(problem(Response(status=CODES[code][0], headers={}, body=body)))
    return next(kind for kind in found.__mro__ if kind.__module__.startswith("coffret_vault."))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
