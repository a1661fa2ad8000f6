"""Values that one database takes and the other does not."""

import pytest

from server.stand import Stand, place

pytestmark = pytest.mark.asyncio
JSON = {"Content-Type": "application/json"}


async def test_no_value_is_a_failure_of_the_server(stand: Stand) -> None:
    """Zero bytes in text, and numbers beyond what a database holds, are refused or not found."""
    owner = await stand.sign_up()
    for path, status in {
        "/memory-blobs?tags=%00": 422,
        "/memory-blobs?tags=a&tags=b%00": 422,
        "/memory-blobs?importance=nan": 422,
        "/access-requests?state=%00": 422,
        f"/accounts/me/server-view?table=entries&after={place(b'', (1 << 63) - 1)}": 200,
        f"/accounts/me/server-view?table=entries&after={place(b'', 1 << 63)}": 400,
        f"/accounts/me/server-view?table=login_failures&after={place('a')}": 400,
        f"/accounts/me/server-view?table=memory_tags&after={place(b'', chr(0), b'')}": 400,
    }.items():
        answer = await stand.get(path, owner.token)
        assert answer.status_code == status, path
    bound = stand.bound("GET", "/accounts/by-username/a\0b", b"", owner.token)
    answer = await stand.get("/accounts/by-username/a%00b", headers=bound)
    assert answer.status_code == 404
    for path, body in (
        ("/auth/challenge", b'{"username":"a\\u0000b","kind":"passphrase"}'),
        ("/developers", b'{"name":"a\\u0000b","contact":"c"}'),
        ("/developers", b'{"name":"n","contact":"c\\u0000"}'),
    ):
        answer = await stand.request("POST", path, body, headers=JSON)
        assert answer.status_code in {400, 422}, path
