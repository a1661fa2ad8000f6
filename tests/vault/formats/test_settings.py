"""The switches of a vault."""

import pytest

from coffret_vault.errors import FormatError, UnknownSettingError
from coffret_vault.formats.settings import Settings, parse_settings, serialize_settings

_ALL = range(256)


def _only(switch: int) -> bytes:
    value = bytearray(32)
    value[switch // 8] = 1 << switch % 8
    return bytes(value)


@pytest.mark.parametrize("sealed", [False, True])
def test_settings_come_back_and_what_may_be_unknown_stays(sealed: bool) -> None:  # noqa: FBT001 - a case
    """What is written is what is read, with every switch that a newer version may have set."""
    settings = Settings(sealed, bytes(range(16)))
    assert parse_settings(serialize_settings(settings)) == settings


def test_every_switch_is_known_or_refused_or_kept() -> None:
    """Switch 0 is ``sealed``; the rest of the first 128 is refused, the rest of all is kept."""
    assert parse_settings(_only(0)) == Settings(sealed=True)
    for switch in _ALL[1:128]:
        with pytest.raises(UnknownSettingError):
            parse_settings(_only(switch))
    for switch in _ALL[128:]:
        assert serialize_settings(parse_settings(_only(switch))) == _only(switch)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_settings_are_of_one_size(size: int) -> None:
    """Another length is not settings, read or written."""
    with pytest.raises(FormatError):
        parse_settings(bytes(size))
    with pytest.raises(FormatError):
        serialize_settings(Settings(others=bytes(size)))
