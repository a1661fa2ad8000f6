"""What an import has to do, given what the vault holds already."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from coffret_vault.ingest.draft import Draft


class Action(StrEnum):
    """What to do with a draft."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"


def plan_import(
    drafts: Iterable[Draft], known: Mapping[str, str]
) -> Iterator[tuple[Action, Draft]]:
    """Say for each draft whether its memory is new, changed or as it was.

    An import that was interrupted is resumed by running it again: what it had stored is kept. A
    key that comes twice in one run counts once; the second is kept if it says the same, and
    otherwise updates the first.

    Args:
        drafts: what an importer yields, without the skipped items.
        known: the digest of each memory imported before, by its key.
    """
    seen = dict(known)
    for draft in drafts:
        digest = draft.digest
        before = seen.get(draft.key)
        seen[draft.key] = digest
        if before is None:
            yield Action.CREATE, draft
        else:
            yield (Action.KEEP if before == digest else Action.UPDATE), draft
