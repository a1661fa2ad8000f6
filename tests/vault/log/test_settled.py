"""What the log's settings entries come to."""

import msgspec
import pytest

from coffret_vault.errors import FormatError, TrustError, UnknownSettingError
from coffret_vault.formats.entry import SETTINGS, Entry
from coffret_vault.formats.settings import Settings, serialize_settings
from coffret_vault.log.settled import Settled, pack_settled, settle, unpack_settled
from vectors.making.samples import ACCOUNT_ID, ENTRY_SAMPLE


def entry(version: int, *, sealed: bool = True) -> Entry:
    """An entry that settles this."""
    return msgspec.structs.replace(
        ENTRY_SAMPLE,
        kind=SETTINGS,
        subject=ACCOUNT_ID,
        version=version,
        digest=serialize_settings(Settings(sealed)),
    )


def test_the_last_entry_counts_and_others_are_passed_over() -> None:
    """Entries of other kinds change nothing; of those with settings the last one holds."""
    on, off = entry(1), entry(2, sealed=False)
    assert settle(Settled(), [ENTRY_SAMPLE]) == Settled()
    assert settle(Settled(), [ENTRY_SAMPLE, on]) == Settled(1, Settings(sealed=True))
    assert settle(Settled(), [on, ENTRY_SAMPLE, off]) == Settled(2, Settings(sealed=False))
    assert settle(settle(Settled(), [on]), [off]) == settle(Settled(), [on, off])


@pytest.mark.parametrize("versions", [(2,), (1, 1), (1, 3), (2, 1)])
def test_entries_out_of_turn_are_refused(versions: tuple[int, ...]) -> None:
    """No entry with settings is left out, repeated or in another order."""
    with pytest.raises(TrustError):
        settle(Settled(), map(entry, versions))


def test_what_has_to_be_known_is_not_passed_over() -> None:
    """An entry of a newer version stops this one, even if another one follows it."""
    newer = msgspec.structs.replace(entry(1), digest=b"\2" + bytes(31))
    with pytest.raises(UnknownSettingError):
        settle(Settled(), [newer, entry(2)])


def test_what_is_kept_comes_back() -> None:
    """A device reads what it has kept, and nothing else."""
    settled = Settled(7, Settings(sealed=True, others=bytes(range(16))))
    assert unpack_settled(pack_settled(settled)) == settled
    with pytest.raises(FormatError):
        unpack_settled(pack_settled(settled)[:-1])
