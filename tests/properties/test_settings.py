"""Settings of a vault against a plain model that goes through all entries each time."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from coffret_vault.errors import TrustError, UnknownSettingError
from coffret_vault.formats.entry import SETTINGS, Entry
from coffret_vault.formats.settings import parse_settings, serialize_settings
from coffret_vault.log.settled import Settled, pack_settled, settle, unpack_settled
from harness.logs import ACCOUNT, entry

SWITCHES = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda known, others: bytes((known,)) + bytes(15) + others,
        st.integers(0, 1),
        st.binary(min_size=16, max_size=16),
    ),
)


def _entry(kind: str, version: int, switches: bytes) -> Entry:
    made = entry(kind, version, subject=ACCOUNT)
    return msgspec.structs.replace(made, digest=switches)


ENTRIES = st.lists(
    st.builds(_entry, st.sampled_from((SETTINGS, "pause")), st.integers(1, 3), SWITCHES), max_size=6
)


@given(SWITCHES)
def test_switches_are_read_as_they_are_or_refused(switches: bytes) -> None:
    """Whatever the 32 bytes: every switch that is on is known, or kept, or stops the reader."""
    on = {at for at in range(256) if switches[at // 8] >> at % 8 & 1}
    try:
        settings = parse_settings(switches)
    except UnknownSettingError:
        assert on & set(range(1, 128))
        return
    assert not on & set(range(1, 128))
    assert settings.sealed == (0 in on)
    assert serialize_settings(settings) == switches


@given(ENTRIES, st.integers(0, 6))
def test_entries_come_to_the_same_in_one_go_and_in_two(entries: list[Entry], at: int) -> None:
    """In whatever parts a log is read: the last entry with settings holds, or it is refused."""
    mine = [item for item in entries if item.kind == SETTINGS]
    in_turn = [item.version for item in mine] == list(range(1, len(mine) + 1))
    known = all(item.digest[0] < 2 and not any(item.digest[1:16]) for item in mine)
    try:
        whole = settle(Settled(), entries)
        kept = pack_settled(settle(Settled(), entries[:at]))
        assert settle(unpack_settled(kept), entries[at:]) == whole
    except (TrustError, UnknownSettingError):
        assert not (in_turn and known)
        return
    assert in_turn
    assert known
    assert whole.version == len(mine)
    if mine:
        assert serialize_settings(whole.settings) == mine[-1].digest
