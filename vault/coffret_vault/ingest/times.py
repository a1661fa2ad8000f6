"""Dates and times as other programs write them, in microseconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from coffret_vault.ingest.draft import MAX_TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOON = time(12, tzinfo=UTC)
_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MILLISECONDS_FROM = 100_000_000_000
"""A larger number of seconds would be after the year 5138, so it counts milliseconds."""


def parse_time(value: object) -> int | None:
    """A time as microseconds, or None where it cannot be read or lies outside 1970 to 9999.

    Args:
        value: seconds or milliseconds since 1970 as a number, or ISO 8601 text. A day without a
            time is taken at noon UTC, which is that day nearly everywhere on earth; a time
            without a zone is taken as UTC, since the source does not say better.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _in_range(_from_number(value))
    if isinstance(value, str):
        return _in_range(_from_text(value.strip()))
    return None


def _from_number(value: float) -> int | None:
    factor = 1_000 if abs(value) >= _MILLISECONDS_FROM else 1_000_000
    try:
        return round(value * factor)
    except (OverflowError, ValueError):
        return None


def _from_text(text: str) -> int | None:
    try:
        if _DATE_ONLY.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), _NOON)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return micros(moment)


def micros(moment: datetime) -> int:
    """``moment`` in microseconds since 1970; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _in_range(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= MAX_TIME else None


def not_before(created: int | None, updated: int | None) -> int | None:
    """``updated``, or ``created`` where a source says that it was changed before it was made."""
    return updated if created is None or updated is None else max(created, updated)


def day_of(value: int | None) -> str | None:
    """The UTC day of a time as ``YYYY-MM-DD``."""
    return None if value is None else (_EPOCH + timedelta(microseconds=value)).date().isoformat()
