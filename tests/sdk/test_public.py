"""The public face: names, twins, and what each of the server's codes becomes."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

import coffret
from coffret import App, AsyncApp, AsyncVault, Vault
from coffret.access import Access
from coffret.app import register_developer
from coffret.async_access import AsyncAccess
from coffret.async_app import register_developer_async
from coffret.flows.http import LogMovedError, Response, VersionConflictError, b64, problem, succeed
from coffret_vault import errors

NAMES = {
    "Access", "AccessRequestInfo", "AccountDeleted", "App", "AppCheck", "AppInfo", "Approving",
    "Asking",
    "AsyncAccess", "AsyncApp", "AsyncVault", "Changes", "CoffretError", "Details", "Developer",
    "Embedder", "Fields", "Found", "Gone", "GrantInfo", "ImportInfo", "ImportReport",
    "ImportUndone", "KeyChange", "Listing", "Memory", "MessagesReport", "NewMemory", "Pending",
    "RecoveryKit", "Review", "Selection", "SessionInfo", "SyncReport", "Talk", "Unkept",
    "UnkeptEntry", "Vault", "VaultSettings", "VaultStatus", "Version", "Wanted",
    "register_developer", "register_developer_async",
}  # fmt: skip


def test_the_exported_names_are_these() -> None:
    """Names come and go on purpose only, and each can be had."""
    assert set(coffret.__all__) == NAMES
    assert list(coffret.__all__) == sorted(coffret.__all__)
    assert {getattr(coffret, name).__name__ for name in NAMES} == NAMES
    with pytest.raises(AttributeError, match="nothing"):
        coffret.nothing  # noqa: B018 - the access is the test


def test_importing_loads_nothing_heavy() -> None:
    """``import coffret`` brings in neither the network nor ciphers nor numbers."""
    heavy = ("httpx", "cryptography", "numpy", "onnxruntime")
    code = f"import sys, coffret; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert done.stdout.strip() == "[]"


def _members(kind: type) -> dict[str, Any]:
    special = {"__init__", "__enter__", "__aenter__", "__exit__", "__aexit__"}
    return {
        name.replace("__a", "__"): member
        for name, member in inspect.getmembers_static(kind)
        if not name.startswith("_") or name in special
    }


_TWIN_NAMES = (
    ("AsyncBaseTransport", "BaseTransport"),
    ("AsyncDriver", "SyncDriver"),
    ("AsyncAccess", "Access"),
    ("AsyncVault", "Vault"),
    ("AsyncApp", "App"),
)


def _signature(member: Any) -> str:
    if isinstance(member, property):
        return f"property {_signature(member.fget)}"
    kind = type(member).__name__ if isinstance(member, classmethod | staticmethod) else "method"
    text = str(inspect.signature(getattr(member, "__func__", member)))
    for ours, theirs in _TWIN_NAMES:
        text = text.replace(ours, theirs)
    return f"{kind} {text}"


@pytest.mark.parametrize(
    ("sync", "asynchronous"), [(Vault, AsyncVault), (App, AsyncApp), (Access, AsyncAccess)]
)
def test_twins_have_the_same_methods_and_signatures(sync: type, asynchronous: type) -> None:
    """What one face offers the other offers too, by the same name and with the same arguments."""
    ours, theirs = _members(sync), _members(asynchronous)
    assert set(ours) == set(theirs)
    for name, member in ours.items():
        assert _signature(member) == _signature(theirs[name]), name


def test_registering_developers_is_the_same_on_both_faces() -> None:
    """The two functions take the same and give the same."""
    assert _signature(register_developer) == _signature(register_developer_async)


def test_what_reaches_the_server_is_awaited() -> None:
    """Everything that uses the driver is a coroutine on the asynchronous face."""
    for kind in (AsyncVault, AsyncApp, AsyncAccess):
        for name, member in _members(kind).items():
            function = getattr(member, "__func__", member)
            if not inspect.isfunction(function) or name.startswith("__"):
                continue
            source = inspect.getsource(function)
            if "driver.run(" in source or "driver.begin(" in source:
                assert inspect.iscoroutinefunction(function), f"{kind.__name__}.{name}"


EXPECTED: dict[str, type[errors.CoffretError]] = {
    "malformed": errors.InputError,
    "wrong-credentials": errors.CredentialsError,
    "unauthenticated": errors.SessionError,
    "invalid-proof": errors.SessionError,
    "session-ended": errors.SessionEndedError,
    "forbidden": errors.ForbiddenError,
    "not-granted": errors.GrantError,
    "grant-activating": errors.GrantActivatingError,
    "grant-paused": errors.GrantPausedError,
    "grant-revoked": errors.GrantRevokedError,
    "grant-expired": errors.GrantExpiredError,
    "owner-gone": errors.OwnerGoneError,
    "not-found": errors.NotFoundError,
    "conflict": errors.ConflictError,
    "username-taken": errors.ConflictError,
    "log-moved": LogMovedError,
    "not-approved": errors.ConflictError,
    "request-final": errors.ConflictError,
    "version-moved": LogMovedError,
    "method-not-allowed": errors.ServerError,
    "too-large": errors.TooLargeError,
    "too-slow": errors.TimedOutError,
    "invalid-input": errors.InputError,
    "unknown-suite": errors.InputError,
    "idempotency-mismatch": errors.ServerError,
    "bad-signature": errors.KeysChangedError,
    "weak-key": errors.InputError,
    "precondition-required": errors.ServerError,
    "rate-limited": errors.RateLimitedError,
    "quota-exceeded": errors.QuotaError,
    "server-error": errors.ServerError,
    "unavailable": errors.ServerError,
    "wrong-clock": errors.ClockError,
}


def _answer(status: int, body: object, **headers: str) -> Response:
    return Response(status, headers, msgspec.json.encode(body))


def test_the_codes_are_those_of_the_specification() -> None:
    """Every code that docs/spec/7-http.md names has its error here, and no other."""
    text = (Path(coffret.__file__).parents[2] / "docs/spec/7-http.md").read_text("utf-8")
    section = text.rpartition("## Codes")[2].replace("`grant-*`", "")
    named = set(re.findall(r"`([a-z-]+)`", section))
    grants = {"grant-activating", "grant-paused", "grant-revoked", "grant-expired"}
    assert named | grants == set(EXPECTED)


@pytest.mark.parametrize(("code", "error"), EXPECTED.items())
def test_a_code_becomes_its_error(code: str, error: type[errors.CoffretError]) -> None:
    """The code alone decides, whatever the status; the server's own words are not repeated."""
    for status in (400, 401, 404, 500):
        found = problem(_answer(status, {"code": code, "detail": "call +1 555", "title": "<b>"}))
        assert type(found) is error
        assert "call" not in str(found)
        assert "<b>" not in str(found)
        with pytest.raises(error):
            succeed(_answer(status, {"code": code}))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"code": 5}', b'{"code": "made-up"}', b"\xff\xfe", b'"x"', b"<html>"],
)
def test_what_is_no_problem_document_is_a_server_error(body: bytes) -> None:
    """An error that cannot be read names its status and nothing else."""
    found = problem(Response(502, {}, body))
    assert type(found) is errors.ServerError
    assert str(found) == "The server answered with status 502."


def test_a_conflict_tells_where_the_memory_stands() -> None:
    """A conflict with a standing carries it; one with half a standing is a plain conflict."""
    current = {"version": 7, "digest": b64(bytes(32))}
    found = problem(_answer(409, {"code": "conflict", "current": current}))
    assert isinstance(found, VersionConflictError)
    assert (found.version, found.digest) == (7, bytes(32))
    half: tuple[Any, ...] = (
        {"version": "7"},
        {"version": 7},
        {"version": 7, "digest": "%"},
        None,
        [],
    )
    for wrong in half:
        assert type(problem(_answer(409, {"code": "conflict", "current": wrong}))) is (
            errors.ConflictError
        )


@pytest.mark.parametrize(
    ("header", "expected"), [("5", 5.0), ("0.5", 0.5), ("-3", 0.0), ("99999", 60.0), ("soon", 1.0)]
)
def test_retry_after_is_taken_within_reason(header: str, expected: float) -> None:
    """A server cannot have a client wait forever, nor for less than nothing."""
    answer = _answer(429, {"code": "rate-limited"}, **{"retry-after": header})
    found = problem(answer)
    assert isinstance(found, errors.RateLimitedError)
    assert found.retry_after == expected
