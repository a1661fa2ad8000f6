"""Wait until an owner has decided: ask now and then, and let others have their turn meanwhile.

A flow is run to its end before another begins, so a wait is none: each look is a flow of its own,
and whoever drives them rests in between. Nobody is called back when an owner decides.
"""

from __future__ import annotations

import math
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from coffret.flows.apps import status, take_up, undecided
from coffret.flows.backoff import share_of
from coffret.flows.owners import check_asked
from coffret_vault.errors import (
    CoffretError,
    GrantActivatingError,
    InputError,
    NetworkError,
    RateLimitedError,
    RequestPendingError,
    ServerError,
)

if TYPE_CHECKING:
    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow

_FIRST = 1.0
_LONGEST = 30.0
"""Seconds between two looks, at most: an owner takes minutes or days, and a look is a request."""
_GROWTH = 1.5
_GROWN = 9
"""After so many looks the time between them is the longest."""
_NEVER = 1e9
"""Seconds after which nobody waits any more: a number may be too large for a float."""
_FAILING = 300.0
"""Seconds for which a server that answered before is waited for when it fails."""


class Awaiting:
    """A request whose owner is waited for: look, and pause, until there is a grant or an error."""

    def __init__(
        self,
        state: AppState,
        request_id: str,
        owner_words: str | None,
        timeout: timedelta | float | None,
    ) -> None:
        """Begin; nothing is sent.

        Raises:
            NotFoundError: this app made no such request.
            InputError: that is no length of time.
            WordsError: another owner was asked than the one whose words these are.
            OwnerKeyChangedError: another owner was asked than the one that this app knows.
        """
        self._state = state
        self._request_id = request_id
        self._words = owner_words
        seconds = _seconds(timeout)
        check_asked(state, state.asked(request_id), owner_words)
        self._deadline = monotonic() + seconds
        self._approved = False
        self._looks = 0
        self._answered: float | None = None
        self._why: CoffretError = RequestPendingError()
        self._asked_to_wait = 0.0

    def look(self) -> Flow[Held | None]:
        """What the owner granted; None if it is to be looked for again, after a pause.

        Raises:
            RequestEndedError: the request was denied, withdrawn, superseded, or has lapsed.
            GrantError: the grant is paused, revoked or over.
            TrustError: what the server shows is not the owner's answer.
            NetworkError: the server does not answer, and never did or has not for five minutes.
            ServerError: it answers with errors, and never with another answer, or for as long.
        """
        self._looks += 1
        self._asked_to_wait = 0.0
        try:
            held = yield from self._look()
        except RateLimitedError as busy:
            self._asked_to_wait = busy.retry_after
            self._why = busy
        except (NetworkError, ServerError) as failure:
            if not self._may_pass(failure):
                raise
            self._asked_to_wait = failure.retry_after if isinstance(failure, ServerError) else 0.0
            self._why = failure
        else:
            self._answered = monotonic()
            return held
        return None

    def _look(self) -> Flow[Held | None]:
        if not self._approved:
            standing = yield from status(self._state, self._request_id)
            if standing == "pending":
                self._why = RequestPendingError()
                return None
            if standing != "approved":
                raise undecided(standing)
            self._approved, self._looks = True, 1  # it is a matter of seconds from here on
        try:
            return (yield from take_up(self._state, self._request_id, self._words))
        except GrantActivatingError as activating:
            self._why = activating
            return None

    def _may_pass(self, failure: CoffretError) -> bool:
        """Whether it may be gone at the next look: a server that is away, or that is restarted.

        What a server says about this app (its key, its limits) stays as it is.
        """
        if not (isinstance(failure, NetworkError) or type(failure) is ServerError):
            return False
        return self._answered is not None and monotonic() - self._answered < _FAILING

    def pause(self) -> float:
        """Seconds to rest before the next look.

        Half of it is random, so that apps which a server's restart has brought into step fall out
        of it. No look comes earlier than the server asked for.

        Raises:
            RequestPendingError: the time is over, and the owner has not decided.
            GrantActivatingError: it is, and the owner's device still hands the keys over.
            CoffretError: it is, and the last look failed: with that failure.
        """
        left = self._deadline - monotonic()
        if left <= max(0.0, self._asked_to_wait):
            raise self._why
        bound = min(_LONGEST, _FIRST * _GROWTH ** min(self._looks - 1, _GROWN))
        seconds = bound / 2 + share_of(self._state.ambient, bound / 2)
        return min(left, max(seconds, self._asked_to_wait))


def _seconds(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return math.inf
    given: object = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(given, int | float) and not isinstance(given, bool) and given >= 0:
        return float(given) if given < _NEVER else math.inf
    message = "timeout is a datetime.timedelta or a number of seconds, not below 0"
    raise InputError(message)
