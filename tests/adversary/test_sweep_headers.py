"""Every answer with other headers, byte by byte: an error of ours, or the honest result.

What a client reads of the headers is how long the body is, how it is packed, where a list goes on,
how long to wait, and what to prove anew. Nothing of that is anybody's word but the server's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from harness.conversations import CONVERSATIONS
from harness.conversing import Variant
from harness.network import BASE
from harness.tape import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.conversing import Scenario
    from harness.tape import Exchange

ELSEWHERE = f"https://elsewhere.example{BASE}/sync"
BAITS = (
    ("location", ELSEWHERE),
    ("refresh", f"0; url={ELSEWHERE}"),
    ("content-location", ELSEWHERE),
    ("alt-svc", 'h2="elsewhere.example:443"'),
    ("set-cookie", "session=theirs; Path=/"),
    ("etag", '"another"'),
    ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("cache-control", "max-age=31536000"),
    ("retry-after", "1e999"),
    ("dpop-nonce", "theirs"),
    ("content-encoding", "identity"),
    ("connection", "close"),
)
"""What a browser would heed; nothing comes of it here."""
ONE_EACH = (
    ("link", f'<{ELSEWHERE}?cursor=x>; rel="next"'),
    ("link", '<?cursor=AAAA>; rel="next"'),
    ("content-encoding", "gzip"),
    ("content-encoding", "identity, br"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "gzip"),
    ("content-length", "-1"),
    ("content-length", "9" * 30),
    ("x-long", "x" * 70_000),
)
ALIKE = 3
"""Every so many of them are tried at each answer: they are read alike for all."""
WAITS = (
    "nan",
    "-1",
    "-1e999",
    "1e999",
    "",
    "soon",
    "Fri, 01 Jan 2100 00:00:00 GMT",
    "9" * 400,
    "9",
)
LONGEST = 10.0
MEDIA = ("", "text/html", "application/msgpack", "application/json")


def other_headers(turn: int, exchange: Exchange) -> Iterator[Variant]:
    """The same answer, said to be something else, in other pieces, or from somewhere else."""
    yield Variant("", "baits", exchange._replace(headers=BAITS))
    for media in MEDIA[turn % 2 :: 2]:
        yield Variant("", f"media {media}", exchange._replace(media=media))
    for header in ONE_EACH[turn % ALIKE :: ALIKE]:
        yield Variant("", ": ".join(header)[:40], exchange._replace(headers=(header,)))
    length = len(exchange.content)
    lengths = {0, length // 2} if turn % 2 else {length - 1, length + 1}
    for said in sorted(lengths - {length}):
        header = "content-length", str(said)
        yield Variant("", f"{said} of {length} bytes", exchange._replace(headers=(header,)))
    two = tuple(("content-length", str(said)) for said in (length, length // 2))
    if turn % ALIKE == 0:
        yield Variant("", "two lengths", exchange._replace(headers=two))


@pytest.fixture(scope="module")
def tally(show: Callable[[str], None]) -> Iterator[Counter[str]]:
    """What was counted, shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    show("headers: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


@pytest.mark.attack(3, 16, 61)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_other_headers_are_believed(
    recorded: dict[str, Scenario], tally: Counter[str], name: str
) -> None:
    """Whatever is written above one answer, the result is an error or the honest one.

    No other host is asked, no cookie is sent back, and what was on the device is there.
    """
    first = list(CONVERSATIONS).index(name)
    accepted = recorded[name].vary(
        tally,
        lambda place, exchange: other_headers(first + place, exchange),
        Wire,
        keeping=True,
    )
    tally["accepted"] += len(accepted)
    assert accepted == []
    tally["conversations"] += 1


@pytest.mark.attack(3, 16, 61)
def test_the_sweep_is_wide(tally: Counter[str]) -> None:
    """All conversations together are of many answers; none is the server's word."""
    if tally["conversations"] < len(CONVERSATIONS):
        pytest.skip("some conversations were not selected, or failed")
    assert tally["answers"] >= 1_000
    assert tally["the server's word"] == 0
    assert tally["refused"] > tally["answers"] / 3


@pytest.mark.attack(61)
@pytest.mark.parametrize("status", [408, 429, 503])
def test_no_server_has_a_device_wait_long(recorded: dict[str, Scenario], status: int) -> None:
    """However long an answer asks to wait, it is seconds, or an error that says how long."""
    scenario = recorded["a device syncs"]

    def later(_place: int, exchange: Exchange) -> Iterator[Variant]:
        for wait in WAITS:
            headers = (("retry-after", wait),)
            yield Variant("", wait, exchange._replace(status=status, headers=headers))

    with patch("coffret.transport._TRIES", 4):
        assert scenario.vary(Counter(), later, Wire, keeping=True) == []
    assert scenario.slept
    assert all(0 <= seconds <= LONGEST for seconds in scenario.slept)
