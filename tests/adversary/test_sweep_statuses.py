"""Every answer under another status, or as another error: an error of ours, or the honest result.

The status of an answer is nobody's word but the server's, and it decides what a client does next:
log in again, ask again, take a change for made. Whatever it is, nothing false is believed, nothing
on the device is lost, and no other host is asked.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest

from coffret.flows import http
from coffret.http1 import Outgoing, address_of
from coffret.transport import SyncDriver
from coffret_vault import errors
from harness.conversations import CONVERSATIONS
from harness.conversing import Variant
from harness.network import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from coffret.flows.state import VaultState
    from harness.conversing import Scenario
    from harness.tape import Exchange

STATUSES = (200, 201, 204, 304, 401, 404, 409)
IN_TURN = ((400, 403, 410, 412), (413, 429), (500, 503), (301, 302, 303, 307, 308))
"""Of each of these one: a client of ours makes no difference between them."""
WHERE = f"{BASE}/sync"
ELSEWHERE = (("location", f"https://elsewhere.example{WHERE}"),)
NONCE = (("dpop-nonce", "a nonce"),)
UNTOLD = {errors.TimedOutError: 408, errors.KeysChangedError: 422}
"""Statuses of errors that come without a server as well."""
ALIKE = 4
"""Of errors that no flow does anything about, every so many are tried at each answer."""


class Problem(NamedTuple):
    """An error that a server can name."""

    code: str
    status: int
    body: Mapping[str, object]


def problems() -> tuple[list[Problem], list[Problem]]:
    """One error of each kind: those by which a client does something, and the others."""
    kinds = {kind: code for code, kind in reversed(http._BY_CODE.items())}
    found = [
        Problem(code, kind.http_status or UNTOLD[kind], {"code": code})
        for kind, code in kinds.items()
    ]
    found += [Problem(code, 409, {"code": code}) for code in (*sorted(http._MOVED), "unheard-of")]
    heard = {errors.CredentialsError, errors.SessionError, errors.SessionEndedError,
             errors.NotFoundError, errors.KeysChangedError, errors.OwnerGoneError}  # fmt: skip
    names = {kinds[kind] for kind in heard} | http._MOVED
    newer = {"code": "conflict", "current": {"version": 2**63 - 1, "digest": "AAAA"}}
    deciding = [problem for problem in found if problem.code in names]
    deciding += [Problem("conflict", 409, {"code": "conflict"}), Problem("newer", 409, newer)]
    return deciding, [problem for problem in found if problem.code not in names]


DECIDING, OTHERS = problems()


def other_statuses(turn: int, exchange: Exchange) -> Iterator[Variant]:
    """The same body under another status, and other bodies under the status that they go with."""
    for status in (*STATUSES, *(some[turn % len(some)] for some in IN_TURN)):
        headers = ELSEWHERE if status in IN_TURN[-1] else ()
        instead = exchange._replace(status=status, headers=headers)
        yield Variant("", f"status {status}", instead)
    yield Variant("", "no body", exchange._replace(content=b""))
    said = exchange._replace(media="application/problem+json")
    for problem in (*DECIDING, *OTHERS[turn % ALIKE :: ALIKE]):
        content = json.dumps({"type": "about:blank", "title": "So it is", **problem.body}).encode()
        instead = said._replace(status=problem.status, content=content)
        yield Variant("", f"problem {problem.code}", instead)
        if problem.code == errors.SessionError.code:
            yield Variant("", f"problem {problem.code} once", instead._replace(headers=NONCE))


@pytest.fixture(scope="module")
def tally(show: Callable[[str], None]) -> Iterator[Counter[str]]:
    """What was counted, shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    show("statuses: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


@pytest.mark.attack(3, 4, 56, 59)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_other_status_is_believed(
    recorded: dict[str, Scenario], tally: Counter[str], name: str
) -> None:
    """Whatever one answer says became of a request, the result is an error or the honest one.

    What was on the device is there after each error, whole, and opens with the secrets of before or
    with those that were to come. No other host is asked.
    """
    first = list(CONVERSATIONS).index(name)
    accepted = recorded[name].vary(
        tally, lambda place, exchange: other_statuses(first + place, exchange), keeping=True
    )
    tally["accepted"] += len(accepted)
    assert accepted == []
    tally["conversations"] += 1


@pytest.mark.attack(3, 4, 56, 59)
def test_the_sweep_is_wide(tally: Counter[str]) -> None:
    """All conversations together are of many answers; most are refused, few the server's word."""
    if tally["conversations"] < len(CONVERSATIONS):
        pytest.skip("some conversations were not selected, or failed")
    assert tally["answers"] >= 3_000
    assert tally["the server's word"] < tally["answers"] / 100
    assert tally["refused"] > tally["answers"] / 2


@pytest.mark.control(3)
def test_a_client_that_follows_redirects_asks_another_host(recorded: dict[str, Scenario]) -> None:
    """Control: the same sweep over a client that goes where an answer sends it finds that."""
    send = SyncDriver._send

    def following(driver: SyncDriver, request: http.Request, sent: Event | None = None) -> Any:
        response = send(driver, request, sent)
        if "location" in response.headers:
            place = address_of(response.headers["location"].removesuffix(WHERE), WHERE, ())
            driver._connection.send(Outgoing(request.method, place, {}, b""))
        return response

    with patch.object(SyncDriver, "_send", following), pytest.raises(AssertionError, match="hosts"):
        recorded["a device syncs"].vary(Counter(), other_statuses)


@pytest.mark.control(59)
def test_a_client_that_is_told_to_forget_forgets(recorded: dict[str, Scenario]) -> None:
    """Control: the same sweep over a client that can be wiped from afar finds memories missing."""

    def wiped(state: VaultState) -> http.Flow[None]:
        state.store._database.execute("DELETE FROM records")
        raise errors.SessionEndedError

    with (
        patch("coffret.flows.session._locked", wiped),
        pytest.raises(AssertionError, match="damaged"),
    ):
        recorded["a device syncs"].vary(Counter(), other_statuses, keeping=True)
