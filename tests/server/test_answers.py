"""What the data plane answers is what its document describes."""

from typing import Any

import httpx
import msgspec
import pytest

from coffret_server.data.answers import ANSWERS
from coffret_server.data.routes import ROUTES
from server import forge
from server.answers import call_of, is_as_described
from server.stand import ORIGIN, PACK, Stand

pytestmark = pytest.mark.asyncio
JSON = "application/json"


@pytest.mark.parametrize("accept", [PACK, JSON])
async def test_each_answer_is_as_described(stand: Stand, accept: str) -> None:
    """Every call of the data plane succeeds, and answers in both encodings what it is said to."""
    stand.http.headers["Accept"] = accept
    seen: set[tuple[str, str] | None] = set()

    async def note(answer: httpx.Response) -> None:
        if answer.is_success:
            seen.add(call_of(answer))
            assert answer.headers["content-type"] == (accept if call_of(answer) else JSON)

    stand.http.event_hooks["response"].append(note)
    owner, app = await stand.sign_up(), await stand.new_app()
    memory = forge.new_id()
    await stand.append(owner, owner.put(owner.memory(memory)), "/memory-blobs")
    await stand.append(owner, owner.put(owner.memory(), owner.memory()), "/memory-blobs/batch")
    grant = await stand.grant(owner, app)
    await stand.share(owner, grant, memory)
    written = app.put(owner.account, app.memory(owner.account, grant))
    assert (await stand.write(app, grant, written, owner)).is_success
    await stand.append(owner, owner.append())
    for path in ("/sync", "/log", "/log/proof?first=1&size=4", "/accounts/me/memory-keys"):
        await stand.get(path, owner.token)
    for path in (f"/memory-blobs/{memory}", f"/memory-blobs/{memory}/versions"):
        await stand.get(path, owner.token)
    await stand.get(f"/grants/{grant}/wraps?limit=1", owner.token)
    staged = {"change_id": forge.new_id(), "wraps": [[memory, 1, forge.wrapped()]]}
    await stand.send("POST", "/accounts/me/rewraps", staged, owner.token)
    for path in (f"/grants/{grant}/records?limit=1", f"/grants/{grant}/head"):
        await stand.get(path, app.token)
    second = owner.memory(memory, 2)
    await _change(stand, owner, "PUT", memory, owner.put(second), 1)
    removal = owner.append(owner.entry("delete", memory, 3, forge.digest_of(second)))
    await _change(stand, owner, "DELETE", memory, removal, 2)
    await stand.get(f"/memory-blobs/{memory}/versions", owner.token)
    calls = {(method, path) for method, path, _ in ROUTES}
    assert set(ANSWERS) == calls
    assert seen >= calls, calls - seen


async def _change(
    stand: Stand, owner: forge.Owner, method: str, memory: Any, body: Any, version: int
) -> None:
    headers = {"If-Match": f'"{version}"'}
    path = f"/memory-blobs/{memory}"
    answer = await stand.send(method, path, body, owner.token, headers=headers)
    assert answer.is_success, answer.text
    owner.commit(body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/sync", [1, "head"]),
        ("/sync", [1, "head", [], "more"]),
        ("/sync", [0, "head", []]),
        ("/sync", [1, "head", [[b"leaf", [b"", b"", b""]]]]),
        ("/log", {"size": 1, "head": "head", "leaves": [], "more": 1}),
        ("/log/proof", {"proof": ["a text"]}),
        ("/memory-blobs/0190", {"record": None, "seq": 0, "version": 1, "status": "accepted"}),
        ("/memory-blobs/0190/versions", [[None, 1, "erased", 0]]),
    ],
)
async def test_another_answer_is_noticed(path: str, value: Any) -> None:
    """Control: were an answer to hold less, more or something else, the tests would fail."""
    request = httpx.Request("GET", f"{ORIGIN}/api/v1{path}")
    headers, content = {"Content-Type": PACK}, msgspec.msgpack.encode(value)
    answer = httpx.Response(200, headers=headers, content=content, request=request)
    with pytest.raises(msgspec.ValidationError):
        await is_as_described(answer)
