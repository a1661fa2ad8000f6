"""Whose token it is, and what it costs to ask.

Only guesses are limited by where they come from. A token that this server gave out shows that by
itself (`coffret_server.tokens`), before anything is looked up: so nobody behind an address can use
up, for the others behind it, the looks at tokens that are good.
"""

from typing import TYPE_CHECKING

from coffret_server import turns
from coffret_server.principals import came_with
from coffret_server.problems import ProblemError

if TYPE_CHECKING:
    from coffret_server.gate import Info
    from coffret_server.principals import AppCaller, Owner
    from coffret_server.services import Limits, Services


async def find(
    services: "Services", limits: "Limits", info: "Info", token: str
) -> "Owner | AppCaller":
    """Who calls with a token, as it is now.

    Raises:
        ProblemError: `unauthenticated`, `session-ended` or `rate-limited`.
    """
    principals = services.principals
    caller = await principals.standing(token)
    if caller is None:
        failures = limits.failures(token, info.address, ours=principals.is_ours(token))
        failures.check()
        try:
            caller = await principals.caller(token)
        except ProblemError:
            info.allowance = failures.take()
            raise
    info.is_known = True
    return caller


async def begin(
    services: "Services",
    limits: "Limits",
    info: "Info",
    token: str,
    caller: "Owner | AppCaller",
    *,
    is_page: bool = False,
) -> "Owner | AppCaller":
    """Count a call that is proved to be theirs, and wait for its turn; who calls, as it is then.

    Args:
        services: the server's.
        limits: of this process.
        info: of the request.
        token: that it came with.
        caller: whose that is.
        is_page: it reads as much as there is, so it waits for a turn among those of all.

    Raises:
        ProblemError: `rate-limited`, or, if it had to wait, as `find`.
    """
    tally = limits.calls(caller)
    info.allowance = tally.take()
    waited = await limits.turns.enter(tally.caller, came_with(caller))
    info.caller, info.has_turn = tally.caller, True
    if is_page:
        waited = await limits.pages.enter(tally.caller) or waited
        info.page_since = turns.now()
    return await find(services, limits, info, token) if waited else caller


def end(limits: "Limits", info: "Info") -> None:
    """Let the next call of this caller be worked on."""
    if info.page_since is not None:
        limits.pages.leave(info.caller, turns.now() - info.page_since)
        info.page_since = None
    if info.has_turn:
        info.has_turn = False
        limits.turns.leave(info.caller)
