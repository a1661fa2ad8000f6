"""One account has a part of a server at once, and never all of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from coffret_server import turns
from coffret_server.gate import OPEN_LIMIT
from coffret_server.problems import ProblemError
from coffret_server.turns import AT_ONCE, PAGES_AT_ONCE, WAITING, Pages, Room, Turns, is_page
from server.holding import in_line
from server.stand import Stand, code

pytestmark = pytest.mark.asyncio
SECONDS = 10.0
MANY = 24
"""More than there are connections to a database."""
HUNDRED_KB = 100_000


async def test_turns_come_in_order_and_end() -> None:
    """So many at once, the others behind them as they came, and one that gave up takes none."""
    line, began = Turns(), []

    async def call(number: int) -> None:
        began.append((number, await line.enter("ada")))

    calls = [asyncio.create_task(call(number)) for number in range(AT_ONCE + 3)]
    await asyncio.sleep(0)
    assert began == [(number, False) for number in range(AT_ONCE)]
    assert await line.enter("grace") is False
    calls[AT_ONCE].cancel()
    for _ in range(2):
        line.leave("ada")
    await asyncio.gather(*calls, return_exceptions=True)
    assert began[AT_ONCE:] == [(AT_ONCE + 1, True), (AT_ONCE + 2, True)]
    for _ in range(AT_ONCE):
        line.leave("ada")
    line.leave("grace")
    assert not line._lines


async def test_no_more_than_so_many_wait() -> None:
    """Who sends without waiting is told to, and keeps nothing here by hanging up."""
    line = Turns()
    calls = [asyncio.create_task(line.enter("ada")) for _ in range(AT_ONCE + WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ProblemError) as refused:
        await line.enter("ada")
    assert (refused.value.code, refused.value.retry_after) == ("rate-limited", 1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.attack(45)
async def test_each_device_has_its_turn() -> None:
    """However many calls wait that came by one session, another's are worked on in turn with them.

    Nor do those of one keep another's from waiting.
    """
    line, began = Turns(), []

    async def call(way: str) -> None:
        await line.enter("ada", way)
        began.append(way)

    sent = [asyncio.create_task(call("thief")) for _ in range(AT_ONCE + WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ProblemError):
        await line.enter("ada", "thief")
    sent += [asyncio.create_task(call("owner")) for _ in range(2)]
    await asyncio.sleep(0)
    assert began == ["thief"] * AT_ONCE
    for _ in range(5):
        line.leave("ada")
    await asyncio.sleep(0)
    assert began[AT_ONCE:] == ["thief", "owner", "thief", "owner", "thief"]
    for each in sent:
        each.cancel()
    await asyncio.gather(*sent, return_exceptions=True)
    for _ in range(AT_ONCE):
        line.leave("ada")
    assert not line._lines


async def test_who_is_refused_holds_up_nobody_of_the_line() -> None:
    """Where as many wait as may of all devices, one more by a new way leaves no trace."""
    line = Turns()
    for _ in range(AT_ONCE):
        await line.enter("ada")
    ways = range(turns.WAITING_OF_ALL // WAITING)
    waiting = [asyncio.create_task(line.enter("ada", n)) for n in ways for _ in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ProblemError):
        await line.enter("ada", "one more")
    for _ in (*waiting, *range(AT_ONCE)):
        line.leave("ada")
    assert all(await asyncio.gather(*waiting))
    assert not line._lines


async def test_a_turn_that_nobody_is_there_for_is_the_next_one_s() -> None:
    """Who hangs up in the moment in which the turn is theirs holds up nobody, and frees it once."""
    line = Turns()
    for _ in range(AT_ONCE):
        await line.enter("ada")
    first, second = (asyncio.create_task(line.enter("ada")) for _ in range(2))
    await asyncio.sleep(0)
    line.leave("ada")
    first.cancel()  # it was given its turn, and has not heard of it
    await asyncio.gather(first, return_exceptions=True)
    assert await second
    third = asyncio.create_task(line.enter("ada"))
    await asyncio.sleep(0)
    third.cancel()
    line.leave("ada")  # it is gone, and has not heard of that either
    await asyncio.gather(third, return_exceptions=True)
    for _ in range(AT_ONCE - 1):
        line.leave("ada")
    assert not line._lines


@pytest.mark.attack(61)
async def test_room_is_bounded_for_all_together() -> None:
    """Many who take all they get have as much each as whoever comes next, and no more is kept."""
    room, taken = Room(1_000), dict.fromkeys(range(9), 0)
    for _ in range(1_000):
        for name in taken:
            with contextlib.suppress(ProblemError):
                room.take(name, 1)
                taken[name] += 1
    assert set(taken.values()) == {100}
    room.take("ada", 100)
    with pytest.raises(ProblemError):
        room.take("ada", 1)
    for name in taken:
        room.give_back(name, 100)
    room.take("ada", 400)


async def test_room_is_each_callers_own() -> None:
    """What one took is given back, and was never another's."""
    room = Room(4 * turns.ROOM)
    room.take("ada", turns.ROOM)
    with pytest.raises(ProblemError):
        room.take("ada", 1)
    room.take("grace", turns.ROOM)
    room.give_back("ada", turns.ROOM)
    room.take("ada", 1)


async def test_pages_are_made_for_who_had_least() -> None:
    """Who reads now and then waits for one page of those who read all the time, not for all."""
    pages, made = Pages(), []

    async def read(caller: object) -> None:
        await pages.enter(caller)
        made.append(caller)

    many = [asyncio.create_task(read(n % 20)) for n in range(80)]
    await asyncio.sleep(0)
    assert made == list(range(PAGES_AT_ONCE))
    for _ in range(30):
        pages.leave(made[-1], 1.0)
        await asyncio.sleep(0)
    late = asyncio.create_task(read("ada"))
    await asyncio.sleep(0)
    pages.leave(made[-1], 1.0)
    await asyncio.gather(late)
    assert made[-1] == "ada"
    counts = [made.count(n) for n in range(20)]
    assert max(counts) - min(counts) <= 1
    many[-1].cancel()
    await asyncio.sleep(0)
    while len(made) < 80:
        pages.leave(made[-1], 1.0)
        await asyncio.sleep(0)
    for _ in range(PAGES_AT_ONCE):
        pages.leave("ada", 1.0)
    await asyncio.gather(*many, return_exceptions=True)
    assert (pages._under_way, pages._waiting, pages._used) == (0, {}, {})


async def test_where_pages_are_made_all_the_time_few_callers_are_known() -> None:
    """However many come while one is under way, those are kept for whom the most was done."""
    pages = Pages()
    assert await pages.enter("all the time") is False
    for caller in range(3 * turns._MOST):
        await pages.enter(caller)
        pages.leave(caller, float(caller))
    assert turns._MOST // 3 < len(pages._used) <= turns._MOST
    assert min(pages._used.values()) > pages._least > turns._MOST


async def test_what_is_a_page() -> None:
    """What reads as much as there is, and nothing that is one thing, or a change."""
    base = "/api/v1"
    for path in ("/sync", "/grants", "/grants/x/records", "/accounts/me/server-view", "/log"):
        assert is_page("GET", base + path)
    for path in ("/log/proof", "/grants/x", "/grants/x/head", "/memory-blobs/x", "/accounts/me"):
        assert not is_page("GET", base + path)
    assert not is_page("POST", f"{base}/log")


@pytest.mark.attack(61)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_the_apps_of_one_account_do_not_use_up_the_database(stand: Stand) -> None:
    """However many apps read what one owner gave them, others read and write meanwhile."""
    mallory, owner = await stand.sign_up("mallory"), await stand.sign_up()
    apps = [await stand.new_app() for _ in range(MANY // AT_ONCE)]
    grants = [await stand.grant(mallory, app) for app in apps]
    connection = await asyncpg.connect(stand.database)
    async with connection.transaction():
        await connection.execute("LOCK TABLE grant_wraps IN ACCESS EXCLUSIVE MODE")
        sent = [
            asyncio.create_task(stand.get(f"/grants/{grant}/records", app.token))
            for app, grant in zip(apps, grants, strict=True)
            for _ in range(AT_ONCE)
        ]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(SECONDS):
            assert (await stand.get("/accounts/me", owner.token)).status_code == 200
            await stand.remember(owner)
    await connection.close()
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}


@pytest.mark.attack(61)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_one_account_does_not_use_up_the_database(stand: Stand) -> None:
    """Whose appends wait for each other keeps no other account from reading or writing."""
    mallory, owner = await stand.sign_up("mallory"), await stand.sign_up()
    connection = await asyncpg.connect(stand.database)
    lock = "SELECT 1 FROM logs WHERE account_id = $1 FOR UPDATE"
    async with connection.transaction():
        await connection.execute(lock, mallory.account.bytes)
        append = mallory.put(mallory.memory())
        sent = [
            asyncio.create_task(stand.send("POST", "/log", append, mallory.token))
            for _ in range(MANY)
        ]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(SECONDS):
            assert (await stand.get("/sync", owner.token)).status_code == 200
            await stand.remember(owner)
            assert (await stand.get("/tags", owner.token)).status_code == 200
    await connection.close()
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}


@pytest.mark.attack(45)
async def test_what_ends_while_a_call_waits_has_ended_for_it(stand: Stand) -> None:
    """A call that had to wait is looked at again: its session may be over by then."""
    owner = await stand.sign_up()
    thief = owner.token
    await stand.log_in(owner)
    listed = (await stand.get("/auth/sessions", owner.token)).json()
    (first,) = [each for each in listed if not each["current"]]
    line = stand.app.state.limits.turns
    for _ in range(AT_ONCE - 1):
        await line.enter(("owner", owner.account.bytes), "elsewhere")
    ended = f"/auth/sessions/{first['session_id']}"
    assert (await stand.get("/tags", thief)).status_code == 200
    await line.enter(("owner", owner.account.bytes))
    append = owner.put(owner.memory())
    ending = asyncio.create_task(stand.delete(ended, owner.token))
    await in_line(stand, owner, 1)
    waiting = [
        ending,
        asyncio.create_task(stand.get("/tags", thief)),
        asyncio.create_task(stand.get("/sync", thief)),
        asyncio.create_task(stand.send("POST", "/log", append, thief)),
    ]
    await in_line(stand, owner, len(waiting))
    assert not any(call.done() for call in waiting)
    line.leave(("owner", owner.account.bytes))
    answers = await asyncio.gather(*waiting)
    assert answers[0].status_code == 204
    assert {code(answer) for answer in answers[1:]} == {(401, "session-ended")}


class Caller:
    """A request whose parts, and whose answer, move when a test says so."""

    def __init__(self, stand: Stand, method: str, path: str, token: str, body: bytes) -> None:
        shown = stand.bound(method, f"/{path}", body, token)
        self.app: Any = stand.app
        self.scope = {
            "type": "http",
            "method": method,
            "path": f"/api/v1/{path}",
            "raw_path": f"/api/v1/{path}".encode(),
            "query_string": b"",
            "client": ("10.0.0.1", 1),
            "headers": [(name.lower().encode(), text.encode()) for name, text in shown.items()],
        }
        self.body = body
        self.status = 0
        self.answer = b""
        self.may_end = asyncio.Event()
        self.began = asyncio.Event()
        self.stands = asyncio.Event()
        self.running: asyncio.Task[None] | None = None

    async def _wait(self) -> None:
        self.stands.set()
        await self.may_end.wait()

    async def _receive(self) -> dict[str, Any]:
        if self.began.is_set() and self.body:
            await self._wait()
            return {"type": "http.disconnect"}
        self.began.set()
        return {"type": "http.request", "body": self.body, "more_body": bool(self.body)}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.answer += message.get("body", b"")
        if not message.get("body"):  # uvicorn waits here until what was sent before is taken
            await self._wait()

    async def _run(self) -> None:
        await self.app(self.scope, self._receive, self._send)
        self.stands.set()

    async def begin(self) -> int:
        """Ask; the status, as soon as this is done or stands until it may end."""
        self.running = asyncio.create_task(self._run())
        await asyncio.wait_for(self.stands.wait(), SECONDS)
        return self.status

    async def end(self) -> None:
        """Let it move to its end."""
        self.may_end.set()
        if self.running is not None:
            await asyncio.wait_for(self.running, SECONDS)


async def _moving(callers: list[Caller]) -> AsyncIterator[int]:
    """The statuses that come while nothing else moves."""
    for caller in callers:
        yield await caller.begin()


@pytest.mark.attack(61)
async def test_bodies_on_their_way_have_a_bound(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large bodies that hardly move are kept for whoever has a token up to so many bytes.

    It may be stolen, and shows no key; what its holder does elsewhere has room of its own.
    """
    stand = sqlite_stand
    monkeypatch.setattr(turns, "ROOM", 3 * HUNDRED_KB)
    owner = await stand.sign_up()
    callers = [Caller(stand, "POST", "log", owner.token, bytes(HUNDRED_KB)) for _ in range(4)]
    callers[3].scope["client"] = ("10.0.0.1", 2)
    elsewhere = Caller(stand, "POST", "log", owner.token, bytes(HUNDRED_KB))
    elsewhere.scope["client"] = ("10.9.9.9", 1)
    assert [status async for status in _moving(callers)] == [0, 0, 0, 429]
    assert json.loads(callers[3].answer)["code"] == "rate-limited"
    assert [status async for status in _moving([elsewhere])] == [0]
    for caller in (*callers, elsewhere):
        await caller.end()
    assert not stand.app.state.limits.room._taken


@pytest.mark.attack(61)
async def test_answers_that_nobody_takes_have_a_bound(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large answers are kept for one account up to so many bytes, until they are taken."""
    owner, other = await stand.sign_up(), await stand.sign_up("grace")
    for each in (owner, other):
        answer = await stand.append(each, each.put(each.memory(size=HUNDRED_KB + 352)))
        assert answer.is_success, answer.text
    monkeypatch.setattr(turns, "ROOM", 3 * HUNDRED_KB)
    paths = ("sync", "accounts/me/server-view", "sync", "sync")
    callers = [Caller(stand, "GET", path, owner.token, b"") for path in paths]
    assert [status async for status in _moving(callers)] == [200, 200, 429, 429]
    assert len(callers[0].answer) > OPEN_LIMIT
    assert json.loads(callers[2].answer)["code"] == "rate-limited"
    assert [s async for s in _moving([Caller(stand, "GET", "tags", owner.token, b"")])] == [200]
    theirs = Caller(stand, "GET", "sync", other.token, b"")
    assert [status async for status in _moving([theirs])] == [200]
    for caller in (*callers, theirs):
        await caller.end()
    again = Caller(stand, "GET", "sync", owner.token, b"")
    assert [status async for status in _moving([again])] == [200]
    await again.end()
    assert not stand.app.state.limits.room._taken
