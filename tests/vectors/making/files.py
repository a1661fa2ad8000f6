"""All the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vectors.making import (
    audit,
    changing,
    encoding,
    entering,
    evidence,
    export,
    kept,
    keys,
    lineage,
    log,
    noted,
    opening,
    pages,
    proofs,
    reading,
    sealed,
    settled,
    sharing,
    website,
    wire,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectors.making.book import Book

FOLDER = Path(__file__).parents[1]


def books() -> Iterator[Book]:
    """Every file of vectors, made anew."""
    yield encoding.pae_book()
    yield from encoding.object_books()
    yield sealed.padding_book()
    yield sealed.payload_book()
    yield sealed.envelope_book()
    yield sealed.wrap_book()
    yield kept.kek_book()
    yield kept.index_book()
    yield kept.ids_book()
    yield kept.kit_book()
    yield export.export_book()
    yield noted.note_book()
    yield keys.derive_book()
    yield keys.codes_book()
    yield keys.kdf_book()
    yield keys.keyslot_book()
    yield keys.identity_book()
    yield keys.session_name_book()
    yield entering.sign_up_book()
    yield opening.opening_book()
    yield changing.changing_book()
    yield lineage.lineage_book()
    yield log.leaf_book()
    yield log.tree_book()
    yield log.head_book()
    yield settled.settings_book()
    yield evidence.evidence_book()
    yield audit.audit_book()
    yield sharing.signature_book()
    yield sharing.hpke_book()
    yield sharing.approval_book()
    yield wire.append_book()
    yield pages.page_book()
    yield writing.writing_book()
    yield reading.reading_book()
    yield proofs.proof_book()
    yield website.website_book()
    yield website.homepage_book()
    yield website.words_book()


def write_all(folder: Path = FOLDER) -> None:
    """Write every file of vectors into ``folder``."""
    for book in books():
        (folder / f"{book.name}.json").write_text(book.text(), encoding="ascii")
