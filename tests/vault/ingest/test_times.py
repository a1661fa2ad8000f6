"""Times as other programs write them."""

from __future__ import annotations

import pytest

from coffret_vault.ingest.times import day_of, not_before, parse_time


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("2024-05-02", 1_714_651_200_000_000),
        ("2024-05-02T12:00:00Z", 1_714_651_200_000_000),
        ("2024-05-02 14:00:00+02:00", 1_714_651_200_000_000),
        ("2024-05-02T12:00:00", 1_714_651_200_000_000),
        (1_714_651_200, 1_714_651_200_000_000),
        (1_714_651_200.25, 1_714_651_200_250_000),
        (1_714_651_200_000, 1_714_651_200_000_000),
        ("yesterday", None),
        ("2024-02-30", None),
        ("1969-12-31", None),
        (-5, None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        (["2024-05-02"], None),
    ],
)
def test_times_are_read_or_refused(value: object, micros: int | None) -> None:
    """A time is microseconds since 1970 in UTC, and what is none is None."""
    assert parse_time(value) == micros


def test_days_without_a_time_stay_that_day() -> None:
    """A date survives the way to a time and back."""
    assert day_of(parse_time("2024-05-02")) == "2024-05-02"
    assert day_of(None) is None


def test_nothing_is_changed_before_it_was_made() -> None:
    """A vault refuses such times, so the later one counts."""
    assert not_before(5, 3) == 5
    assert not_before(3, 5) == 5
    assert not_before(None, 5) == 5
    assert not_before(5, None) is None
