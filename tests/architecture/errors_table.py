"""The table of errors in docs/errors.md, which running this file writes anew."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import coffret_vault
from coffret_vault.errors import CoffretError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
_BEFORE = """# Errors

Every error that Coffret raises on purpose. `code` is stable and is what programs compare; `exit`
is what the command line returns; `HTTP` is the status with which a server reports the same thing,
where it has one. An indented class is caught with the one above it. What else is raised is a
mistake in the program. Programs take them from `coffret.errors`.

| class | code | exit | HTTP | what a person reads |
|---|---|---|---|---|
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
    return _BEFORE + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
