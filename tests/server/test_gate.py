"""The gate: request ids, limits, the log, and errors that nobody foresaw."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from coffret_server import gate, openapi
from server import forge
from server.stand import ORIGIN, Clock, Stand, code, serving

pytestmark = pytest.mark.asyncio


async def test_health_and_readiness(stand: Stand) -> None:
    """The probes answer outside the base; readiness asks the database, and tells the origins."""
    ready = {"status": "ready", "origins": [ORIGIN]}
    for path, expected in (("/healthz", {"status": "ok"}), ("/readyz", ready)):
        assert (await stand.http.get(path)).json() == expected
        head = await stand.http.head(path)
        assert head.status_code == 200


async def test_a_database_that_is_gone_is_not_ready(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness fails with a problem when the database does not answer."""

    async def gone() -> None:
        raise ConnectionError

    monkeypatch.setattr(sqlite_stand.app.state.services.storage, "ping", gone)
    assert code(await sqlite_stand.http.get("/readyz")) == (503, "unavailable")


async def test_what_does_not_exist_is_a_problem(sqlite_stand: Stand) -> None:
    """Unknown paths and methods get problem documents with a request id."""
    assert code(await sqlite_stand.get("/nowhere")) == (404, "not-found")
    assert code(await sqlite_stand.post("/tags", {})) == (405, "method-not-allowed")
    assert code(await sqlite_stand.http.put("/api/v1/sync")) == (405, "method-not-allowed")


async def test_every_answer_has_an_id_and_its_limit(stand: Stand) -> None:
    """Request ids differ, and rate limit headers are on successes and refusals."""
    owner = await stand.sign_up()
    answers = [
        await stand.get("/sync", owner.token),
        await stand.get("/tags", owner.token),
        await stand.get("/tags"),
        await stand.get("/nowhere"),
    ]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4
    for answer in answers:
        assert "q=" in answer.headers["ratelimit-policy"]
        assert "r=" in answer.headers["ratelimit"]


@pytest.mark.attack(64)
async def test_an_error_nobody_foresaw_says_nothing(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a 500 with a request id; its message reaches neither the client nor the log."""

    async def broken(_: object) -> None:
        message = "secret-canary"
        raise KeyError(message)

    owner = await sqlite_stand.sign_up()
    monkeypatch.setattr(sqlite_stand.app.state.services.storage, "query", broken)
    answer = await sqlite_stand.get("/sync", owner.token)
    assert code(answer) == (500, "server-error")
    assert "canary" not in answer.text + caplog.text
    line = json.loads(
        next(r.getMessage() for r in caplog.records if r.name == "coffret_server.errors")
    )
    assert (line["request_id"], line["error"]) == (answer.headers["x-request-id"], "KeyError")


async def test_the_log_has_one_line_a_request_and_no_secret(
    sqlite_stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    """Method, route template, status, time, id and sizes: no path, query, token or body."""
    caplog.set_level(logging.INFO)
    owner = await sqlite_stand.sign_up("canaryname")
    memory = await sqlite_stand.remember(owner, title="canary-title", tags=("canary-tag",))
    await sqlite_stand.get("/memory-blobs?tags=canary-tag", owner.token)
    await sqlite_stand.get(f"/memory-blobs/{memory}", owner.token)
    await sqlite_stand.get("/sync", owner.token[:-4] + "AAA=")
    await sqlite_stand.get("/canary-path")
    await sqlite_stand.get("/accounts/by-username/canaryname", owner.token)
    app = await sqlite_stand.new_app()
    lines = [json.loads(r.getMessage()) for r in caplog.records if r.name == gate.ACCESS.name]
    text = "".join(r.getMessage() for r in caplog.records if r.name.startswith("coffret"))
    for secret in ("canary", owner.token[4:], app.token, app.api_key[4:], str(memory)):
        assert secret not in text
    keys = {"time", "method", "route", "status", "ms", "request_id", "bytes_in", "bytes_out"}
    assert all(set(line) == keys for line in lines)
    routes = [line["route"] for line in lines]
    assert "/api/v1/memory-blobs/{id}" in routes
    assert "/api/v1/accounts/by-username/{username}" in routes
    assert "unmatched" in routes


async def limited(tmp_path: Path, clock: Clock, **settings: Any) -> Any:
    """A server with small limits."""
    return serving(f"sqlite:///{tmp_path / 'coffret.db'}", clock, **settings)


async def test_logins_are_limited_by_address(tmp_path: Path, clock: Clock) -> None:
    """Beyond the limit challenges get 429 with the seconds to wait, then are let in again."""
    async with await limited(tmp_path, clock, auth_rate=5) as stand:
        body = {"username": "nobody", "kind": "passphrase"}
        answers = [await stand.post("/auth/challenge", body) for _ in range(6)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[0].headers["ratelimit"].startswith('"auth";r=4')
        assert code(answers[5]) == (429, "rate-limited")
        clock.advance(int(answers[5].headers["retry-after"]))
        assert (await stand.post("/auth/challenge", body)).status_code == 200


async def test_accounts_are_limited_each(tmp_path: Path, clock: Clock) -> None:
    """One account's requests do not use up another's."""
    async with await limited(tmp_path, clock, account_rate=10) as stand:
        owner, other = await stand.sign_up(), await stand.sign_up("bob")
        seen = [(await stand.get("/tags", owner.token)).status_code for _ in range(11)]
        assert seen == [200] * 10 + [429]
        assert code(await stand.get("/sync", owner.token)) == (429, "rate-limited")
        assert (await stand.get("/sync", other.token)).status_code == 200


async def test_strangers_are_limited(tmp_path: Path, clock: Clock) -> None:
    """Requests without a token, and with a wrong one, count against their address."""
    async with await limited(tmp_path, clock, open_rate=2, failure_rate=2) as stand:
        wrong = "cfs_" + forge.b64(bytes(48))
        tries = [await stand.get("/sync", wrong) for _ in range(2)]
        tries += [await stand.get("/tags") for _ in range(2)]
        assert {answer.status_code for answer in tries} == {401}
        for answer in (await stand.get("/sync", wrong), await stand.get("/tags")):
            assert code(answer) == (429, "rate-limited")
        assert (await stand.http.get("/healthz")).status_code == 200


async def test_a_header_that_says_nothing_is_no_way_round_the_limit(
    tmp_path: Path, clock: Clock
) -> None:
    """Whatever ends without a known caller counts, whatever its header says; nobody known pays."""
    junk = {"Authorization": "Basic eDp5"}
    async with await limited(tmp_path, clock, open_rate=6) as stand:
        owner = await stand.sign_up()
        clock.advance(60)
        paths = ("/openapi.json", "/nowhere", "/tags", "/tags/", "/auth/challenge", "/sync")
        answers = [await stand.get(path, headers=junk) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 404, 401, 404, 405, 401]
        left = [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers]
        assert left == [f'"address";r={number}' for number in range(5, -1, -1)]
        for path in paths:
            answer = await stand.get(path, headers=junk)
            assert code(answer) == (429, "rate-limited")
            assert int(answer.headers["retry-after"]) > 0
        assert (await stand.get("/tags", owner.token)).status_code == 200
        late = forge.bound(
            "GET", f"{ORIGIN}/api/v1/tags", b"", token=owner.token, at=clock.now // 1_000_000 - 90
        )
        answer = await stand.http.get("/api/v1/tags", headers=late)
        assert code(answer) == (401, "invalid-proof")
        assert "dpop-nonce" in answer.headers
        assert (await stand.http.get("/healthz", headers=junk)).status_code == 200


async def test_the_description_of_the_calls_is_made_once(
    sqlite_stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who asks gets the same bytes; nobody has them made anew."""
    made = 0
    describe = openapi.describe

    def counting(app: Any) -> Any:
        nonlocal made
        made += 1
        return describe(app)

    monkeypatch.setattr("coffret_server.app.describe", counting)
    answers = {(await sqlite_stand.get("/openapi.json")).content for _ in range(3)}
    assert (len(answers), made) == (1, 1)


async def test_bodies_are_capped(sqlite_stand: Stand) -> None:
    """A body that says it is too large is refused unread; one that turns out so, on the way."""
    owner = await sqlite_stand.sign_up()
    read = 0

    async def endless() -> Any:
        nonlocal read
        while read < 64 * 1024 * 1024:
            read += 1024 * 1024
            yield bytes(1024 * 1024)

    for path, most in (("/log", 33), ("/developers", 5)):
        read = 0
        answer = await sqlite_stand.http.post(
            f"/api/v1{path}",
            content=endless(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"DPoP {owner.token}",
            },
        )
        assert code(answer) == (413, "too-large")
        assert read <= most * 1024 * 1024
    answer = await sqlite_stand.http.post(
        "/api/v1/log", content=b"", headers={"Content-Length": str(33 * 1024 * 1024)}
    )
    assert code(answer) == (413, "too-large")


async def test_a_forwarded_address_is_taken_only_when_told(tmp_path: Path, clock: Clock) -> None:
    """Behind a proxy the last forwarded address counts; otherwise the header is ignored."""
    body = {"username": "nobody", "kind": "passphrase"}
    for trusted, expected in ((True, 200), (False, 429)):
        name = tmp_path / str(trusted)
        name.mkdir()
        async with await limited(name, clock, auth_rate=1, trust_forwarded=trusted) as stand:
            seen = [
                (
                    await stand.post(
                        "/auth/challenge", body, headers={"X-Forwarded-For": f"9.9.9.9, 10.0.0.{n}"}
                    )
                ).status_code
                for n in range(2)
            ]
            assert seen == [200, expected]


async def test_a_refusal_repeats_no_name_of_the_sender_s(sqlite_stand: Stand) -> None:
    """A field that nobody knows is told by where it is; what a known one lacks, by its name."""
    body = {"username": "ada", "kind": "passphrase", "hunter2": 1}
    answer = await sqlite_stand.post("/auth/challenge", body)
    assert code(answer) == (422, "invalid-input")
    assert answer.json()["detail"] == "check body"
    answer = await sqlite_stand.post("/auth/challenge", {"kind": "x"})
    assert answer.json()["detail"] == "check body.kind, body.username"
