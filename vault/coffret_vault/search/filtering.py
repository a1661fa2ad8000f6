"""Filters without an index: for memories that are at hand, by the code that narrows a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.search.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coffret_vault.search.document import Document, Filters


def passing(documents: Iterable[Document], filters: Filters) -> list[bool]:
    """Which of these documents, in their order, pass the filters; nothing is embedded."""
    columns = Columns()
    for document in documents:
        columns.add(document)
    passed: list[bool] = columns.allowed(filters).tolist()
    return passed
