"""What a server took while its clock was ahead does no harm when the clock is right again."""

import pytest

from server.stand import Clock, code, serving
from server.test_asking import ask
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


@pytest.mark.asyncio
async def test_requests_of_a_clock_that_was_ahead_count_no_longer(
    database: str, clock: Clock
) -> None:
    """An app that asked while the server's clock was a day ahead may ask as often as ever."""
    async with serving(database, clock, request_rate=2) as stand:
        owner, app = await stand.sign_up(), await stand.new_app()
        clock.now += 86_400_000_000
        await stand.authorize(app)
        await stand.log_in(owner)
        for _ in range(2):
            assert (await ask(stand, app, owner))[1].status_code == 201
        clock.now -= 86_400_000_000
        await stand.authorize(app)
        for _ in range(2):
            assert (await ask(stand, app, owner))[1].status_code == 201
        assert code((await ask(stand, app, owner))[1]) == (429, "rate-limited")
