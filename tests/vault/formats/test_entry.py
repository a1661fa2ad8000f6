"""Entries of the log, on the writer's side."""

import msgspec
import pytest

from coffret_vault.errors import FormatError
from coffret_vault.formats.author import Author
from coffret_vault.formats.entry import APP_KINDS, ENTRY, KINDS, SETTINGS, parse_leaf
from vectors.making.samples import APP_ID, ENTRY_SAMPLE


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_app_writes_only_what_an_app_may(kind: str) -> None:
    """An app's entry is a put or a delete; the owner's is of any kind."""
    own = {"subject": ENTRY_SAMPLE.account_id} if kind == SETTINGS else {}
    entry = msgspec.structs.replace(ENTRY_SAMPLE, kind=kind, **own)
    assert parse_leaf(ENTRY.serialize(entry)).entry == entry
    by_app = msgspec.structs.replace(entry, author=Author(APP_ID))
    if kind in APP_KINDS:
        assert parse_leaf(ENTRY.serialize(by_app) + bytes(64)).signature == bytes(64)
    else:
        with pytest.raises(FormatError):
            ENTRY.serialize(by_app)


@pytest.mark.parametrize(
    "changes", [{"kind": "other"}, {"kind": SETTINGS}, {"version": 0}, {"digest": b""}]
)
def test_what_cannot_be_an_entry_is_not_written(changes: dict[str, object]) -> None:
    """Each rule of an entry holds for its writer too."""
    with pytest.raises(FormatError):
        ENTRY.serialize(msgspec.structs.replace(ENTRY_SAMPLE, **changes))
