"""Whose token it is, and what it costs to ask.

Only guesses are limited by where they come from. A token that this server gave out shows that by
itself (`coffret_server.tokens`), before anything is looked up: so nobody behind an address can use
up, for the others behind it, the looks at tokens that are good.
"""

from typing import TYPE_CHECKING

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
    services: "Services", limits: "Limits", info: "Info", token: str, caller: "Owner | AppCaller"
) -> "Owner | AppCaller":
    """Count a call that is proved to be theirs, and wait for its turn; who calls, as it is then.

    Raises:
        ProblemError: `rate-limited`, or, if it had to wait, as `find`.
    """
    tally = limits.calls(caller)
    info.allowance = tally.take()
    waited = await limits.turns.enter(tally.caller, came_with(caller))
    info.caller, info.has_turn = tally.caller, True
    return await find(services, limits, info, token) if waited else caller
