"""The server's readers, which share no code with devices, give the outcomes of the vectors too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from coffret_server import gate
from coffret_server.append import Append, Prepared, Vault, prepare
from coffret_server.data import writing
from coffret_server.data.call import Call
from coffret_server.principals import AppCaller
from coffret_server.problems import ProblemError
from coffret_server.proofs import STALE, Proofs, Shown, thumbprint
from coffret_server.signatures import Verifier
from coffret_server.wire import records
from server.readers import READERS
from server.stand import Clock, serving
from vectors.making.files import FOLDER
from vectors.making.samples import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONLY_SIGNED = {"login"}
"""What the server makes itself, to verify a signature over it, and never reads."""

BEYOND = {"the largest version"}
"""What devices can read and no database holds: numbers from 2^63 on (docs/spec/7-http.md)."""


def outcome(read: Callable[[bytes], object], data: bytes) -> str:
    """How the server takes bytes, by the classes of the specification."""
    try:
        read(data)
    except ProblemError as problem:
        return problem.code
    return "accept"


def cases(file: str, operation: str) -> list[dict[str, Any]]:
    """The cases of a file that are of one operation."""
    every = json.loads((FOLDER / f"{file}.json").read_text(encoding="ascii"))["cases"]
    return [case for case in every if case["operation"] == operation]


@pytest.mark.parametrize("kind", READERS)
def test_the_server_gives_every_outcome(kind: str) -> None:
    """Each object is taken, or refused in the very class that devices refuse it in."""
    found = cases(kind, "parse")
    assert {case["outcome"] for case in found} > {"accept", "malformed"}
    for case in found:
        wanted = "malformed" if case["name"] in BEYOND else case["outcome"]
        data = bytes.fromhex(case["given"]["bytes"])
        assert outcome(READERS[kind], data) == wanted, case["name"]


def test_the_server_reads_the_name_of_a_key() -> None:
    """Which key a record's wrap is under is read, or refused, as devices do."""
    for case in cases("kek", "read-kek"):
        data = bytes.fromhex(case["given"]["bytes"])
        assert outcome(records.parse_kek, data) == case["outcome"], case["name"]


def test_the_server_reads_every_kind_that_it_is_sent() -> None:
    """No kind of object is without a reader here but those that nobody sends."""
    assert READERS.keys() | ONLY_SIGNED == LAYOUTS.keys()


def test_an_envelope_is_looked_at_without_its_key() -> None:
    """One that is too short or of another suite is refused as the specification says."""
    found = cases("envelope", "envelope-shape")
    refused = [case for case in found if case["outcome"] != "accept"]
    assert {case["outcome"] for case in refused} == {"malformed", "unknown-suite"}
    for case in refused:
        data = bytes.fromhex(case["given"]["envelope"])
        assert outcome(records.check_envelope, data) == case["outcome"], case["name"]
    padded = [case for case in found if len(case["given"]["envelope"]) // 2 == 256 + 81]
    assert padded
    for case in padded:
        assert outcome(records.check_envelope, bytes.fromhex(case["given"]["envelope"])) == "accept"


def call_of(given: dict[str, Any]) -> Call:
    """A call with the body of a case."""
    text, media = given.get("json"), b"application/msgpack"
    body = bytes.fromhex(given["bytes"]) if text is None else text.encode()
    scope: dict[str, Any] = {
        "headers": [(b"content-type", media if text is None else b"application/json")],
        "app": SimpleNamespace(state=SimpleNamespace(services=None, limits=None)),
        "method": "POST",
        "path": "/",
        "query_string": b"",
        gate.INFO: None,
    }
    return Call(scope, body)


def _append_of(given: dict[str, Any]) -> Prepared:
    """An append, taken as `POST /log` takes it."""
    verifier = Verifier(bytes.fromhex(given["public"]))
    vault = Vault.of(UUID(given["account_id"]), verifier)
    return prepare(call_of(given).body(Append), vault)


def _append_gives(append: Prepared) -> dict[str, Any]:
    generations = {key: int.from_bytes(item.kek[1:], "big") for key, item in append.accepts.items()}
    return {
        "base": append.base,
        "size": append.head.size,
        "leaves": [sha256(leaf).hexdigest() for leaf in append.leaves],
        "records": sorted([m.hex(), v, put.digest.hex()] for (m, v), put in append.puts.items()),
        "accepts": [[m.hex(), v, generation] for (m, v), generation in generations.items()],
        "wraps": [[wrap.grant.hex(), wrap.memory.hex(), wrap.key_number] for wrap in append.wraps],
        "unwraps": [[grant.hex(), memory.hex()] for grant, memory in append.unwraps],
    }


def test_the_server_takes_appends_as_the_specification_says() -> None:
    """Each append is understood alike, or refused in the very class, by the verifier's word."""
    wrong, found = [], cases("append", "check-append")
    for case in found:
        try:
            got = "accept", _append_gives(_append_of(case["given"]))
        except ProblemError as problem:
            got = problem.code, {}
        if got != (case["outcome"], case.get("gives", {})):
            wrong.append((case["name"], got[0]))
    assert wrong == []
    assert len(found) > 90


async def _writing_of(given: dict[str, Any]) -> dict[str, Any]:
    """An app's writing, taken as far as its bytes tell."""
    app, holder = UUID(given["app_id"]), Verifier(bytes.fromhex(given["public"]))
    caller = AppCaller(app.bytes, app, app, holder, b"", frozenset())
    body = call_of(given).body(writing.WritingBody)
    found = await writing._prepare(body, caller, bytes.fromhex(given["grant_id"]))
    return {
        "account_id": found.entries[0].account.hex(),
        "leaves": [sha256(leaf).hexdigest() for leaf in found.leaves],
        "records": sorted([m.hex(), v, put.digest.hex()] for (m, v), put in found.puts.items()),
    }


@pytest.mark.asyncio
async def test_the_server_takes_what_apps_write_as_the_specification_says() -> None:
    """Each writing is understood alike, or refused in the very class, by the verifier's word."""
    wrong, found = [], cases("writing", "check-writing")
    for case in found:
        try:
            got = "accept", await _writing_of(case["given"])
        except ProblemError as problem:
            got = problem.code, {}
        if got != (case["outcome"], case.get("gives", {})):
            wrong.append((case["name"], got[0]))
    assert wrong == []
    assert len(found) > 60


async def _signs_up(given: dict[str, Any], database: str) -> tuple[str, dict[str, Any]]:
    """How a server without accounts takes a sign-up."""
    async with serving(database, Clock()) as stand:
        headers = {"Content-Type": "application/json"}
        body = given["body"].encode()
        answer = await stand.request("POST", "/accounts", body, "", headers)
    if answer.status_code != 201:
        return answer.json()["code"], {}
    return "accept", {"account_id": UUID(answer.json()["account_id"]).hex}


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A database with the server's tables and nothing in them."""
    path = tmp_path / "empty.db"
    command = [sys.executable, "-m", "coffret_server", "migrate"]
    subprocess.run([*command, "--database", f"sqlite:///{path}"], check=True, timeout=60)  # noqa: S603 - our own command
    return path


@pytest.mark.asyncio
async def test_the_server_takes_sign_ups_as_the_specification_says(empty: Path) -> None:
    """Each sign-up is taken, or refused in the very class, by a server that runs."""
    wrong, found = [], cases("sign-up", "sign-up")
    for at, case in enumerate(found):
        database = shutil.copy(empty, empty.with_name(f"{at}.db"))
        got, gives = await _signs_up(case["given"], f"sqlite:///{database}")
        if got != case["outcome"] or not gives.items() <= case.get("gives", {}).items():
            wrong.append((case["name"], got))
    assert wrong == []
    assert len(found) > 50


def _proof_outcome(given: dict[str, Any]) -> str:
    """How a process of the server takes a proof, behind those that came before."""
    seconds = [given["began"]]
    key = bytes.fromhex(given["server_key"])
    process = Proofs(tuple(given["origins"]), key, lambda: seconds[-1] * 1_000_000)
    holder = Verifier(bytes.fromhex(given["public"]))
    code = ""
    for second, proof in (*given["earlier"], (given["now"], given["proof"])):
        seconds.append(second)
        code = "accept"
        shown = Shown(
            authorization=f"DPoP {given['token']}".encode(),
            proof=proof.encode(),
            method=given["method"],
            path=given["path"],
            query=given["query"].encode(),
            body=bytes.fromhex(given["body"]),
        )
        try:
            process.check(shown, given["token"], holder)
        except ProblemError as problem:
            code = "use-nonce" if problem.authenticate == STALE else problem.code
    return code


def test_the_server_takes_proofs_as_the_specification_says() -> None:
    """Each proof is taken, refused, or answered with a nonce, as the independent verifier says."""
    found = cases("proof", "check-proof")
    assert len(found) > 100
    wrong = [case["name"] for case in found if _proof_outcome(case["given"]) != case["outcome"]]
    assert wrong == []


def test_the_server_names_keys_by_their_thumbprints() -> None:
    """What an app's token is bound to is the RFC 7638 thumbprint of its key."""
    for case in cases("proof", "key-thumbprint"):
        public = bytes.fromhex(case["given"]["public"])
        assert {"thumbprint": thumbprint(public)} == case["gives"]
