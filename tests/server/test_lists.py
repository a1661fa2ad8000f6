"""Lists of requests and grants that come in pages, however large what apps ask for is."""

import re
from typing import Any

import httpx
import pytest

from server import forge
from server.stand import Stand, code, request_id, signed_request

pytestmark = [pytest.mark.asyncio, pytest.mark.attack(61)]
NEXT = re.compile(r'<\?([^<>]*)>; rel="next"')
LARGEST = 64 * 1024
_ID = 24
"""What a memory's id takes in a selector, with its length."""


async def pages(stand: Stand, path: str, token: str) -> list[list[dict[str, Any]]]:
    """Every page of a list, as its links lead from one to the next."""
    found, target = [], path
    while target:
        answer = await stand.get(target, token)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        following = NEXT.fullmatch(answer.headers.get("link", ""))
        assert following or "link" not in answer.headers
        target = f"{path.partition('?')[0]}?{following[1]}" if following else ""
    return found


async def asked(stand: Stand, owner: forge.Owner, name: str, memories: int = 0) -> bytes:
    """A request by an app of its own."""
    app = await stand.new_app(name)
    named = tuple(forge.new_id() for _ in range(memories))
    stand.clock.advance(1)
    return await stand.ask(app, owner, memories=named)


def ids(found: list[dict[str, Any]]) -> list[str]:
    """The ids of requests in a list."""
    return [item["request_id"] for item in found]


async def test_requests_come_in_pages(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are listed once, those that are open first, in pages that are no larger than may be."""
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 30_000)
    owner = await stand.sign_up()
    requests = [await asked(stand, owner, f"App {n}", memories=100 * n) for n in range(6)]
    for request in (requests[0], requests[5]):
        path = f"/access-requests/{request_id(request)}/decision"
        assert (await stand.post(path, {"decision": "deny"}, owner.token)).status_code == 200
    expected = [str(request_id(requests[number])) for number in (4, 3, 2, 1, 5, 0)]
    found = await pages(stand, "/access-requests", owner.token)
    assert [item for page in found for item in ids(page)] == expected
    assert len(found) > 1
    denied = await pages(stand, "/access-requests?state=denied", owner.token)
    assert [item for page in denied for item in ids(page)] == expected[4:]
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1 << 20)
    few = await pages(stand, "/access-requests?limit=2", owner.token)
    assert [ids(page) for page in few] == [expected[:2], expected[2:4], expected[4:]]
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1)
    single = await pages(stand, "/access-requests", owner.token)
    assert [ids(page) for page in single] == [[item] for item in expected]


async def test_requests_of_one_moment_are_all_listed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many came at one time, their ids tell where a page begins."""
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1)
    owner = await stand.sign_up()
    requests = [await stand.ask(await stand.new_app(f"App {n}"), owner) for n in range(4)]
    found = await pages(stand, "/access-requests", owner.token)
    assert sorted(item for page in found for item in ids(page)) == sorted(
        str(request_id(request)) for request in requests
    )


async def test_grants_come_in_pages(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's grants are listed once, newest first, and so are an app's."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grants = []
    for _ in range(4):
        stand.clock.advance(1)
        grants.append(str(await stand.grant(owner, app)))
    monkeypatch.setattr("coffret_server.control.paging.PAGE_BYTES", 1)
    for token in (owner.token, app.token):
        found = await pages(stand, "/grants", token)
        assert [item["grant_id"] for page in found for item in page] == grants[::-1]
        assert len(found) == len(grants)
    monkeypatch.undo()
    assert len(await pages(stand, "/grants", owner.token)) == 1


async def test_a_request_of_more_is_not_taken(stand: Stand) -> None:
    """A request of 64 KiB is taken, and a byte more is not."""
    owner, app = await stand.sign_up(), await stand.new_app()
    spare = LARGEST - len(app.request(owner))
    named = tuple(forge.new_id() for _ in range(spare // _ID + 1))

    async def ask(memories: int) -> tuple[int, httpx.Response]:
        request = app.request(owner, created=stand.clock.now, memories=named[:memories])
        sent = signed_request(app, request)
        return len(request), await stand.post("/access-requests", sent, app.token)

    size, answer = await ask(len(named) - 1)
    assert LARGEST - _ID < size <= LARGEST
    assert answer.status_code == 201
    size, answer = await ask(len(named))
    assert size > LARGEST
    assert code(answer) == (413, "too-large")


@pytest.mark.parametrize("path", ["/access-requests", "/grants"])
@pytest.mark.parametrize(
    "cursor",
    ["", "1", "2.1." + "0" * 32, "1.9223372036854775808." + "0" * 32, "1.1." + "0" * 31, "1.%00.1"],
)
async def test_a_cursor_of_ones_own_is_refused(stand: Stand, path: str, cursor: str) -> None:
    """What this server did not give is no place in a list."""
    owner = await stand.sign_up()
    answer = await stand.get(f"{path}?cursor={cursor}", owner.token)
    assert code(answer) == (400, "malformed")
    far = "1.9223372036854775807." + "f" * 32
    assert (await stand.get(f"{path}?cursor={far}", owner.token)).json() == []


async def test_grants_that_hold_much_come_in_more_pages(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each grant holds is counted for who asks: a page ends where that is too much work."""
    owner = await stand.sign_up()
    memories = [await stand.remember(owner) for _ in range(3)]
    held = (1, 3, 2, 0, 1)
    for count in held:
        stand.clock.advance(1)
        grant = await stand.grant(owner, await stand.new_app())
        await stand.share(owner, grant, *memories[:count])
    for most, expected in ((3, [[1, 0, 2, 3], [1]]), (2, [[1, 0, 2], [3], [1]])):
        monkeypatch.setattr("coffret_server.control.grants.COUNTED", most)
        found = await pages(stand, "/grants", owner.token)
        assert [[each["memories"] for each in page] for page in found] == expected
