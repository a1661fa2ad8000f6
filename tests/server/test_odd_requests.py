"""Requests that would be right but for one oddity, which alone is what they are refused for."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from urllib.parse import quote

import msgspec
import pytest

from server import forge
from server.changes import Change
from server.leaving import asked
from server.stand import ORIGIN, PACK, Stand, code, plain

pytestmark = pytest.mark.asyncio
DIGITS = "9" * 5_000


async def test_an_id_has_one_spelling(stand: Stand) -> None:
    """In capitals, without hyphens, or as something else it is no id, in no call and no body."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    memory = await stand.remember(owner)
    for wrong in (str(grant).upper(), grant.hex, "x", "None"):
        assert code(await stand.get(f"/grants/{wrong}/head", app.token)) == (404, "not-found")
        assert code(await stand.get(f"/grants/{wrong}", app.token)) == (404, "not-found")
    for wrong in (str(memory).upper(), memory.hex, "x", "None"):
        answer = await stand.get(f"/memory-blobs/{wrong}", owner.token)
        assert code(answer) == (404, "not-found")
    challenge = await asked(stand, owner)
    body = owner.login_body(challenge, ORIGIN)
    account = str(owner.account)
    for wrong in (account.upper(), owner.account.hex, "x", "None"):
        answer = await stand.post("/auth/login", body | {"account_id": wrong})
        assert code(answer) == (422, "invalid-input")
    assert (await stand.post("/auth/login", body)).is_success


@pytest.mark.parametrize("name", ["Authorization", "DPoP"])
async def test_a_header_that_counts_comes_once(stand: Stand, name: str) -> None:
    """Which of two tokens, or of two proofs, was meant is not chosen here."""
    owner = await stand.sign_up()
    headers = stand.bound("GET", "/log", b"", owner.token)
    assert (await stand.http.get("/api/v1/log", headers=headers)).is_success
    headers = stand.bound("GET", "/log", b"", owner.token)
    lines = [*headers.items(), (name, headers[name])]
    answer = await stand.http.get("/api/v1/log", headers=lines)
    assert code(answer) == (400, "malformed")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_is_of_a_kind_that_is_named(stand: Stand, kind: str) -> None:
    """JSON that says to be something else, as a form on any website can, is not read."""
    owner = await stand.sign_up()
    append = owner.put(owner.memory())
    raw = json.dumps(forge.as_json(append)).encode()
    headers = {"Content-Type": kind}
    answer = await stand.request("POST", "/log", raw, owner.token, headers)
    assert code(answer) == (400, "malformed")
    headers = {"Content-Type": "application/json"}
    assert (await stand.request("POST", "/log", raw, owner.token, headers)).is_success


async def test_a_packed_body_has_no_key_twice(stand: Stand) -> None:
    """A reader that takes the first and one that takes the last would not read the same."""
    owner = await stand.sign_up()
    append = plain(owner.put(owner.memory()))
    raw = msgspec.msgpack.encode(append)
    again = msgspec.msgpack.encode("base") + msgspec.msgpack.encode(append["base"])
    headers = {"Content-Type": PACK}
    twice = bytes([raw[0] + 1]) + raw[1:] + again
    answer = await stand.request("POST", "/log", twice, owner.token, headers)
    assert code(answer) == (400, "malformed")
    assert (await stand.request("POST", "/log", raw, owner.token, headers)).is_success


@pytest.mark.parametrize("number", ["+5", "1_0", "٣", " 5", "5.0", "-1", DIGITS, ""])
async def test_a_number_has_one_spelling(stand: Stand, number: str) -> None:
    """Only digits are one, and only as many as a database can count with."""
    owner = await stand.sign_up()
    answer = await stand.get(f"/log?limit={quote(number)}", owner.token)
    assert code(answer) == (422, "invalid-input")


@pytest.mark.parametrize("tag", [f'"{DIGITS}"', f'"{1 << 63}"', '"+1"', '"1_0"'])
async def test_a_version_to_match_has_one_spelling(stand: Stand, tag: str) -> None:
    """What no version is written like is not the one that there is."""
    owner = await stand.sign_up()
    memory = await stand.remember(owner)
    append = owner.put(owner.memory(memory, 2))
    headers = {"If-Match": tag}
    path = f"/memory-blobs/{memory}"
    answer = await stand.send("PUT", path, append, owner.token, headers=headers)
    assert code(answer) == (412, "version-moved")


async def test_a_change_of_one_memory_changes_no_other(stand: Stand) -> None:
    """A call that names a memory, and its version, brings nothing of another beside it."""
    owner = await stand.sign_up()
    memory, other = await stand.remember(owner), await stand.remember(owner)
    both = owner.put(owner.memory(memory, 2), owner.memory(other, 2))
    for method in ("PUT", "DELETE"):
        answer = await stand.send(
            method, f"/memory-blobs/{memory}", both, owner.token, headers={"If-Match": '"1"'}
        )
        assert code(answer) == (422, "invalid-input")


async def test_a_proof_is_asked_for_with_a_size(stand: Stand) -> None:
    """Without one there is no log that it would be of."""
    owner = await stand.sign_up()
    for query in ("first=0", "index=0", "size=1", "first=0&index=0&size=1"):
        answer = await stand.get(f"/log/proof?{query}", owner.token)
        assert code(answer) == (422, "invalid-input"), query


async def test_a_cursor_holds_numbers_that_there_are(stand: Stand) -> None:
    """One with a number that no database counts to was not given by this server."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    for path, size, token in (("wraps", 24, owner.token), ("records", 32, app.token)):
        cursor = urlsafe_b64encode(b"\xff" * size).decode()
        answer = await stand.get(f"/grants/{grant}/{path}?cursor={cursor}", token)
        assert code(answer) == (400, "malformed")


async def test_no_more_parts_are_taken_than_said(stand: Stand) -> None:
    """Wraps that are staged, and records beside few leaves, have limits of their own."""
    owner, app = await stand.sign_up(), await stand.new_app()
    grant = await stand.grant(owner, app)
    staged = {"change_id": Change(owner).id, "wraps": [[forge.new_id(), 1, b""]] * 5_001}
    answer = await stand.send("POST", "/accounts/me/rewraps", staged, owner.token)
    assert code(answer) == (413, "too-large")
    body = app.put(owner.account, app.memory(owner.account, grant))
    body["records"] *= 1_001
    assert code(await stand.write(app, grant, body, owner)) == (413, "too-large")


async def test_a_grant_is_changed_by_its_owner_alone(stand: Stand) -> None:
    """For every other account it is not there, and goes on as it is."""
    owner, other, app = await stand.sign_up(), await stand.sign_up("bob"), await stand.new_app()
    paused, waiting = await stand.grant(owner, app), await stand.grant(owner, app, activate=False)
    assert (await stand.set_state(owner, paused, "paused", 2)).is_success
    other.statements = owner.statements
    for grant, version, state in ((paused, 3, "active"), (waiting, 2, "revoked")):
        answer = await stand.set_state(other, grant, state, version)
        assert code(answer) == (404, "not-found")
        answer = await stand.post(f"/grants/{grant}/activate", None, other.token)
        assert code(answer) == (404, "not-found")
    for grant, refusal in ((paused, "grant-paused"), (waiting, "grant-activating")):
        assert code(await stand.get(f"/grants/{grant}/head", app.token)) == (403, refusal)
