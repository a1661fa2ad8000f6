"""What an earlier version says, to be written again."""

from __future__ import annotations

from datetime import UTC, datetime

from coffret.cli.commands.versions import fields_again
from coffret_vault.records.marks import IMPORT_KEY, WRITTEN_BY
from coffret_vault.records.memory import Memory

APP = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def version(number: int, author: str, **provenance: str) -> Memory:
    """A memory in one of its versions."""
    now = datetime(2026, 5, 31, tzinfo=UTC)
    return Memory(
        id="01a20000-0000-7000-8000-0000aaaa2222",
        content="text",
        version=number,
        author=author,
        created=now,
        updated=now,
        provenance=provenance,
    )


def test_what_an_app_wrote_stays_marked_as_an_apps() -> None:
    """Written again by the owner's device it is not the owner's; no import's marks return."""
    earlier = version(1, APP, tool="x", **{IMPORT_KEY: "a"})
    fields = fields_again(earlier, version(2, "owner", **{IMPORT_KEY: "b"}))
    assert fields["provenance"] == {"tool": "x", IMPORT_KEY: "b", WRITTEN_BY: APP}
    own = fields_again(version(1, "owner"), version(2, "owner", **{IMPORT_KEY: "b"}))
    assert own["provenance"] == {IMPORT_KEY: "b"}
