"""What a device notes in a memory's provenance for itself. docs/spec/4-records.md, Marks.

The marks of an import say which piece of a source a memory is of: an import writes what has changed
there into that memory, for all who hold it. So they are the owner's word alone: what an app writes
under these names is nobody's, and is left out wherever it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret_vault.formats.layout import id_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coffret_vault.formats.author import Author

IMPORT_KEY = "import_key"
"""Under this name ``provenance`` keeps which piece of a source was imported."""
IMPORT_DIGEST = "import_digest"
"""Under this name it keeps the digest of that piece as it was imported."""
IMPORT_RUN = "import_run"
"""Under this name it keeps the id of the import that created the memory, if one did."""
IMPORT_WRITTEN = "import_written"
"""Under this name it keeps the digest of what an import last wrote, to tell changes by hand."""
WRITTEN_BY = "written_by"
"""Under this name it keeps the app that wrote what the owner's device wrote again."""

_OF_IMPORTS = frozenset((IMPORT_KEY, IMPORT_DIGEST, IMPORT_RUN, IMPORT_WRITTEN))


def import_marks(provenance: Mapping[str, str]) -> dict[str, str]:
    """The marks of an import, alone."""
    return {name: text for name, text in provenance.items() if name in _OF_IMPORTS}


def without_import_marks(provenance: Mapping[str, str]) -> dict[str, str]:
    """All but the marks of an import."""
    return {name: text for name, text in provenance.items() if name not in _OF_IMPORTS}


def said_by(author: Author, provenance: dict[str, str]) -> dict[str, str]:
    """What the author of a version may say of how it came about."""
    if author.is_owner or _OF_IMPORTS.isdisjoint(provenance):
        return provenance
    return without_import_marks(provenance)


def written_again(author: Author, provenance: Mapping[str, str]) -> dict[str, str]:
    """The provenance of what this author wrote, in a version by the owner: an app's mark stays."""
    if author.app_id is None:
        return dict(provenance)
    return {**provenance, WRITTEN_BY: id_text(author.app_id)}
