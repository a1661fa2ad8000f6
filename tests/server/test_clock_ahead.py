"""What a server took while its clock was ahead does no harm when the clock is right again."""

import pytest

from server.stand import Clock, serving
from server.test_failures import fail, succeed


@pytest.mark.asyncio
async def test_a_clock_that_was_ahead_keeps_nobody_out(database: str, clock: Clock) -> None:
    """Who logged in, or failed, while the server's clock was a day ahead may try again after it.

    As often as ever, and not more: what is counted from then on is counted.
    """
    async with serving(database, clock, login_failures=3, trust_forwarded=True) as stand:
        owner = await stand.sign_up()
        clock.now += 86_400_000_000
        assert (await succeed(stand, owner, "1.1.1.1")).status_code == 200
        assert (await fail(stand, "ada")).status_code == 401
        clock.now -= 86_400_000_000
        assert (await succeed(stand, owner, "1.1.1.1")).status_code == 200
        seen = [(await fail(stand, "ada")).status_code for _ in range(4)]
        assert seen == [401, 401, 401, 429]
