"""What the doctor makes of what a server says, and of what is on a device."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from coffret.cli.checking import BAD, GOOD, WORTH_KNOWING, _check_clock, _check_secret_key
from coffret.cli.desk import Desk
from coffret.cli.secret_key import keep_secret_key
from coffret.flows.http import Response

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("date", "state"),
    [
        ("Mon, 01 Jan 2024 00:00:00 -0000", "bad"),
        ("Mon, 01 Jan 2024 00:00:00 ", "bad"),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999", WORTH_KNOWING),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", WORTH_KNOWING),
        ("Fri, 31 Dec 9999 23:59:59 -2359", "bad"),
        ("Mon, 01 Jan 0001 00:00:00 +2359", "bad"),
        ("x" * 10_000, WORTH_KNOWING),
        ("", WORTH_KNOWING),
    ],
    ids=range(8),
)
def test_whatever_a_server_says_the_time_is_the_doctor_goes_on(date: str, state: str) -> None:
    """Dates without a zone are in UTC; those that there are not are no dates."""
    assert _check_clock(Response(200, {"date": date}, b"")).state == state


def test_a_time_without_a_zone_is_compared_in_utc() -> None:
    """The same moment, written with GMT and with the zone that says nothing of one."""
    now = format_datetime(datetime.now(UTC))
    for date in (now, now.replace("+0000", "-0000"), now.replace("+0000", "GMT")):
        assert _check_clock(Response(200, {"date": date}, b"")).state == GOOD


def test_the_doctor_sees_that_others_can_read_the_secret_key(tmp_path: Path) -> None:
    """A file that was copied back with other modes is named, with what to do."""
    desk = Desk(None, {"COFFRET_HOME": str(tmp_path)})
    keep_secret_key(desk.places, desk.name, "account", "CF1-X", "file")
    assert _check_secret_key(desk).state == GOOD
    path = desk.places.secret_key(desk.name)
    path.chmod(0o640)
    found = _check_secret_key(desk)
    assert (found.state, str(path) in found.advice) == (BAD, True)
