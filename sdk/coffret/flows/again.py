"""Whether what an app is to write stands in the owner's vault already, by the id that it chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret_vault.formats.layout import id_text
from coffret_vault.records.marks import WRITTEN_BY, without_import_marks

if TYPE_CHECKING:
    from coffret_vault.records.memory import Fields, Memory


def written_before(found: Memory, wanted: Memory, fields: Fields, app_id: bytes) -> bool:
    """Whether a memory of the grant is what this app would write.

    Args:
        found: what stands there.
        wanted: what would be written.
        fields: what was asked for: where it leaves open whether the title shows, either counts,
            and so it does where an owner's device wrote it again, which may have sealed it.
        app_id: of the app. An owner's device that wrote its memory again has kept that mark.
    """
    own = id_text(app_id)
    noted = without_import_marks(found.provenance)
    if found.author != own and noted.pop(WRITTEN_BY, None) != own:
        return False
    there = msgspec.structs.replace(found.fields(), provenance=noted)
    open_to_both = fields.sealed is None or found.author != own
    shows = there.sealed if open_to_both else fields.sealed
    meant = wanted.fields()
    return there == msgspec.structs.replace(meant, sealed=shows, provenance=dict(meant.provenance))
