"""An app that waits for an owner: until the owner has decided, and no longer than it wants to."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret import App, AsyncApp
from coffret_vault.errors import (
    CredentialsError,
    GrantActivatingError,
    GrantPausedError,
    GrantRevokedError,
    InputError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RequestEndedError,
    RequestPendingError,
    ServerError,
    WordsError,
)
from harness.network import BASE, Gate
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.world import Clock, Owner, World


class Rests:
    """The rests of whoever waits: none is waited, its seconds pass, and something is done."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self.seconds: list[float] = []
        self.now = 1_000.0
        self.during: dict[int, Callable[[], object]] = {}
        """What is done in which rest, by its number from 0; what stands at -1 in every one."""

    def rest(self, seconds: float) -> None:
        """Have the time pass."""
        assert seconds > 0
        number = len(self.seconds)
        self.seconds.append(seconds)
        self.now += seconds
        for at in (number, -1):
            self.during.get(at, lambda: None)()

    async def rest_async(self, seconds: float) -> None:
        """As an asynchronous face rests."""
        self.rest(seconds)


@pytest.fixture
def rests() -> Iterator[Rests]:
    """Both faces rest here."""
    found = Rests()
    with (
        patch("coffret.app.sleep", found.rest),
        patch("coffret.async_app.sleep", found.rest_async),
        patch("coffret.flows.awaiting.monotonic", lambda: found.now),
    ):
        yield found


class Trouble(Gate):
    """A network on which the looks of an app fail, as they are told to."""

    answers: Callable[[], httpx.Response | None] = staticmethod(lambda: None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Fail, answer instead of the server, or send it on."""
        found = None
        if request.url.path.startswith(f"{BASE}/access-requests/"):
            found = self.answers()
        return found or super().handle_request(request)


def _gone() -> httpx.Response:
    message = "gone"
    raise httpx.ConnectError(message)


def _problem(status: int, code: str, **headers: str) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, json={"code": code}, headers=headers)


def _approve(owner: Owner, app: App, request_id: str) -> None:
    owner.vault.requests(None)
    owner.vault.approve(request_id, words=app.words)


def test_an_app_goes_on_when_its_owner_has_approved(
    world: World, either: World, rests: Rests
) -> None:
    """It looks less and less often, but never less than twice a minute, and gets the access."""
    owner, app = world.owner(), either.app()
    owner.vault.remember("a", tags=["t"])
    request_id = ask(app, owner, tags=["t"])
    rests.during[20] = lambda: _approve(owner, app, request_id)
    access = app.wait(request_id)
    assert [memory.content for memory in access.memories()] == ["a"]
    bounds = [min(30.0, 1.5**look) for look in range(21)]
    assert len(rests.seconds) == 21
    for seconds, bound in zip(rests.seconds, bounds, strict=True):
        assert bound / 2 < seconds <= bound
    assert [memory.content for memory in app.wait(request_id, timeout=0).memories()] == ["a"]
    assert len(rests.seconds) == 21


@pytest.mark.parametrize("state", ["denied", "cancelled", "superseded"])
def test_a_request_that_is_over_ends_the_wait(
    world: World, either: World, rests: Rests, state: str
) -> None:
    """Denied, withdrawn or superseded: the error says which, and ``access`` says the same."""
    owner, app = world.owner(), either.app()
    request_id = ask(app, owner)
    ends: dict[str, Callable[[], object]] = {
        "denied": lambda: owner.vault.deny(request_id),
        "cancelled": lambda: _elsewhere(app, lambda other: other.cancel(request_id)),
        "superseded": lambda: _elsewhere(app, lambda other: ask(other, owner)),
    }
    rests.during[2] = ends[state]
    for use in (app.wait, app.access):
        with pytest.raises(RequestEndedError) as caught:
            use(request_id)
        assert caught.value.state == state
    assert len(rests.seconds) == 3


def _elsewhere(app: App, does: Callable[[App], object]) -> None:
    """Another process of the app does something."""
    with App.load(app._state.path) as other:
        does(other)


def test_a_request_that_lapses_ends_the_wait(
    world: World, either: World, rests: Rests, server_clock: Clock
) -> None:
    """Nobody waits for more than the week that an owner has."""
    owner, app = world.owner(), either.app()
    request_id = ask(app, owner)
    rests.during[3] = lambda: server_clock.forward(days=7, seconds=1)
    try:
        with pytest.raises(RequestEndedError, match="in time") as caught:
            app.wait(request_id)
    finally:
        server_clock.offset = timedelta()
    assert caught.value.state == "lapsed"


@pytest.mark.parametrize("timeout", [100, 47.5, timedelta(minutes=2), 0])
def test_a_wait_has_an_end(
    world: World, either: World, rests: Rests, timeout: timedelta | float
) -> None:
    """It looks once more as the time is over, and not after; the request is still there."""
    owner, app = world.owner(), either.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    with pytest.raises(RequestPendingError):
        app.wait(request_id, timeout=timeout)
    assert sum(rests.seconds) == pytest.approx(seconds)
    assert app.status(request_id) == "pending"
    _approve(owner, app, request_id)
    assert len(app.wait(request_id, timeout=timeout).memories()) == 1


def test_a_grant_that_is_being_handed_over_is_waited_for(
    world: World, either: World, rests: Rests
) -> None:
    """Until the owner's device has given all keys, or the time is over; that is said as such."""
    owner, app = world.owner(), either.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    owner.vault.requests(None)
    lost = patch("coffret.flows.approval.hand_over", side_effect=NetworkError)
    with lost, pytest.raises(NetworkError):
        owner.vault.approve(request_id, words=app.words)
    with pytest.raises(GrantActivatingError):
        app.wait(request_id, timeout=20)
    with pytest.raises(GrantActivatingError):
        app.access(request_id)
    assert sum(rests.seconds) == pytest.approx(20)
    rests.during[len(rests.seconds) + 1] = lambda: owner.vault.approve(request_id)
    assert len(app.wait(request_id).memories()) == 1


def test_a_grant_that_is_not_in_force_is_not_waited_for(
    world: World, either: World, rests: Rests
) -> None:
    """Paused or revoked in between: only its owner knows for how long."""
    owner, app = world.owner(), either.app()
    request_id = ask(app, owner)
    _approve(owner, app, request_id)
    grant = owner.vault.grants()[0].grant_id
    owner.vault.pause(grant)
    with pytest.raises(GrantPausedError):
        app.wait(request_id)
    owner.vault.revoke(grant)
    with pytest.raises(GrantRevokedError):
        app.wait(request_id)
    assert rests.seconds == []


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("failure", [_gone, _problem(503, "unavailable")])
def test_a_server_that_is_away_for_a_while_is_waited_for(
    world: World, rests: Rests, failure: Callable[[], httpx.Response]
) -> None:
    """Once it has answered, for five minutes on end; at the first look it is said at once."""
    owner, network = world.owner(), Trouble()
    app = world.app(transport=network)
    request_id = ask(app, owner)
    expected = NetworkError if failure is _gone else ServerError
    network.answers = failure
    with pytest.raises(expected):
        app.wait(request_id)
    assert rests.seconds == []
    network.answers = lambda: None
    rests.during[3] = lambda: setattr(network, "answers", failure)
    with pytest.raises(expected):
        app.wait(request_id)
    assert 300 <= sum(rests.seconds[3:]) <= 330
    rests.seconds.clear()
    network.answers = lambda: None
    rests.during[9] = lambda: setattr(network, "answers", lambda: None)
    rests.during[10] = lambda: _approve(owner, app, request_id)
    assert app.wait(request_id).scopes
    rests.seconds.clear()


@pytest.mark.usefixtures("one_try")
def test_a_wait_that_ends_while_the_server_is_away_says_so(world: World, rests: Rests) -> None:
    """Nobody is told that an owner has not decided by an app that could not ask."""
    owner, network = world.owner(), Trouble()
    app = world.app(transport=network)
    request_id = ask(app, owner)
    rests.during[1] = lambda: setattr(network, "answers", _gone)
    with pytest.raises(NetworkError):
        app.wait(request_id, timeout=30)
    assert sum(rests.seconds) == pytest.approx(30)


def test_no_look_comes_earlier_than_the_server_asks(world: World, rests: Rests) -> None:
    """A rate limit is heeded, from the first look on; a wait that it outlasts ends at once."""
    owner, network = world.owner(), Trouble()
    app = world.app(transport=network)
    request_id = ask(app, owner)
    network.answers = _problem(429, "rate-limited", **{"Retry-After": "45"})
    rests.during[1] = lambda: setattr(network, "answers", lambda: None)
    rests.during[2] = lambda: _approve(owner, app, request_id)
    app.wait(request_id, timeout=200)
    assert rests.seconds[:2] == [45.0, 45.0]
    assert rests.seconds[2] < 30
    network.answers = _problem(429, "rate-limited", **{"Retry-After": "45"})
    before = len(rests.seconds)
    with pytest.raises(RateLimitedError) as caught:
        app.wait(request_id, timeout=40)
    assert caught.value.retry_after == 45.0
    assert len(rests.seconds) == before


@pytest.mark.usefixtures("one_try")
def test_a_server_that_is_restarted_is_asked_when_it_says(world: World, rests: Rests) -> None:
    """What it says with a refusal that passes counts as a rate limit does."""
    owner, network = world.owner(), Trouble()
    app = world.app(transport=network)
    request_id = ask(app, owner)
    away = _problem(503, "unavailable", **{"Retry-After": "50"})
    rests.during[0] = lambda: setattr(network, "answers", away)
    rests.during[2] = lambda: setattr(network, "answers", lambda: None)
    rests.during[3] = lambda: _approve(owner, app, request_id)
    app.wait(request_id)
    assert rests.seconds[1:3] == [50.0, 50.0]


def test_what_will_not_pass_is_raised_at_once(world: World, rests: Rests) -> None:
    """An API key that was taken back is not waited for."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    rests.during[0] = lambda: app.use_api_key("cfa_gone")
    with pytest.raises(CredentialsError, match="API key"):
        app.wait(request_id)
    assert len(rests.seconds) == 1


@pytest.mark.parametrize("bad", [-1, -0.1, float("nan"), "5", True, timedelta(seconds=-1)])
def test_what_is_no_length_of_time_is_refused(either: World, rests: Rests, bad: Any) -> None:
    """Before anything is asked, and so are requests that were never made."""
    owner, app = either.owner(), either.app()
    request_id = ask(app, owner)
    with pytest.raises(InputError, match="timeout"):
        app.wait(request_id, timeout=bad)
    with pytest.raises(NotFoundError):
        app.wait("nonsense")
    assert rests.seconds == []


def test_the_owners_words_are_compared_before_the_wait(
    world: World, either: World, rests: Rests
) -> None:
    """Nobody waits a week for an owner who is another one."""
    owner, other, app = world.owner(), world.owner(), either.app()
    request_id = ask(app, owner)
    with pytest.raises(WordsError):
        app.wait(request_id, owner_words=other.vault.words)
    assert rests.seconds == []
    rests.during[1] = lambda: _approve(owner, app, request_id)
    assert app.wait(request_id, owner_words=owner.vault.words, timeout=10**400).scopes


def test_an_interrupted_wait_leaves_the_app_as_it_was(world: World, rests: Rests) -> None:
    """Ctrl-C ends a wait; the request stays, and so does the connection."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    rests.during[1] = interrupt
    with pytest.raises(KeyboardInterrupt):
        app.wait(request_id)
    assert app.status(request_id) == "pending"


def test_other_threads_have_their_turn_while_one_waits(world: World) -> None:
    """A thread that waits holds nobody up, and hears what another one does."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    heard: list[BaseException] = []
    resting, rested, held = threading.Event(), threading.Event(), []

    def sleep(_seconds: float) -> None:
        resting.set()
        held.append(not rested.wait(10))

    def wait() -> None:
        try:
            app.wait(request_id, timeout=30)
        except RequestEndedError as error:
            heard.append(error)

    with patch("coffret.app.sleep", sleep):
        thread = threading.Thread(target=wait)
        thread.start()
        assert resting.wait(10)
        assert app.status(request_id) == "pending"
        app.cancel(request_id)
        rested.set()
        thread.join(10)
    assert held == [False]
    assert [getattr(error, "state", "") for error in heard] == ["cancelled"]


def test_a_task_that_waits_can_be_cancelled(world: World) -> None:
    """The loop goes on meanwhile, other tasks use the app, and it works when the wait is over."""
    owner, made = world.owner(), world.app()
    request_id = ask(made, owner)

    async def run() -> None:
        resting = asyncio.Event()

        async def sleep(_seconds: float) -> None:
            resting.set()
            await asyncio.Event().wait()

        async with (
            asyncio.timeout(30),
            AsyncApp.load(made._state.path, **world.around()) as app,
        ):
            with patch("coffret.async_app.sleep", sleep):
                waiting = asyncio.create_task(app.wait(request_id))
                await resting.wait()
                assert await app.status(request_id) == "pending"
                assert not waiting.done()
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await app.wait(request_id)
            assert await app.status(request_id) == "pending"

    asyncio.run(run())
