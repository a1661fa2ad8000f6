"""The server, which alone reads them, takes changes of keys as the vectors say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from coffret_server import append, strict
from coffret_server.control import keys
from coffret_server.data.apps import WrapsBody
from coffret_server.data.keys import StageBody
from coffret_server.problems import ProblemError
from coffret_server.wire import identity, records
from vectors.test_server import call_of, cases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_hex = bytes.fromhex


class _Kept:
    """What a server keeps of an account before a change, as far as the change asks for it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.grants = given["grants"]
        self.slots = [_hex(slot) for slot in given["keyslots"]]
        card = identity.parse_card(_hex(given["card"]))
        self.account = SimpleNamespace(
            account_id=card.account.bytes,
            username=card.username,
            card=_hex(given["card"]),
            signing_key=card.signing_key,
            identity_generation=given["generation"],
        )
        self.owner = SimpleNamespace(
            account=card.account.bytes, account_id=card.account, session=bytes(16)
        )

    async def all(self, statement: str, *given: Any) -> list[tuple[Any, ...]]:
        """The grants, or of those that are not over and behind a place all that is asked."""
        if statement == keys._GRANTS:
            return [(_hex(item["grant_id"]),) for item in self.grants]
        assert statement == keys._STATEMENTS
        return [
            (_hex(item["grant_id"]), item["changes"], _hex(item["statement"]))
            for item in self.grants
            if not item["revoked"] and _hex(item["grant_id"]) > given[1]
        ]

    async def many(self, *_: Any) -> None:
        """Change grants."""

    async def scalars(self, _: Any) -> list[Any]:
        """The keyslots."""
        parsed = [(identity.parse_keyslot(slot).slot.bytes, slot) for slot in self.slots]
        return [SimpleNamespace(slot_id=slot_id, keyslot=raw) for slot_id, raw in parsed]

    async def execute(self, _: Any) -> None:
        """Change rows."""

    def add(self, _: Any) -> None:
        """Add a row."""

    add_all = add

    @asynccontextmanager
    async def write(self) -> AsyncIterator[_Kept]:
        """A transaction."""
        yield self


async def _nothing(*_: Any) -> None:
    """What is asked of other rows."""


async def _apply(_tx: Any, ready: Any, expected: Any, **_: Any) -> None:
    append._check_expected(ready, expected)


async def _change(given: dict[str, Any], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    kept = _Kept(given)

    async def itself(*_: Any, **__: Any) -> Any:
        return kept

    async def account(*_: Any, **__: Any) -> Any:
        return kept.account

    stand_ins: tuple[tuple[str, Any], ...] = (
        *((name, _nothing) for name in ("_check_unmoved", "_rewrap", "_end_the_rest")),
        *(("check_session", _nothing), ("session_tx", itself), ("own_account", account)),
        ("apply", _apply),
    )
    for name, value in stand_ins:
        patch.setattr(keys, name, value)
    services: Any = SimpleNamespace(
        storage=kept,
        clock=lambda: 0,
        principals=SimpleNamespace(forget_account=lambda _: None),
    )
    owner: Any = kept.owner
    said = strict.loads(given["body"].encode(), strict.CONTROL_PARTS)
    body = keys.ChangeBody.model_validate(said)
    await keys.change_keys(body, owner, services)
    ended = [item["grant_id"] for item in given["grants"] if not item["revoked"]]
    hashed = sha256(kept.account.card).hexdigest()
    return {"generation": kept.account.identity_generation, "card": hashed, "ended": ended}


@pytest.mark.asyncio
async def test_the_server_takes_key_changes_as_the_specification_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each change of keys is taken, or refused in the very class, by the verifier's word."""
    wrong, found = [], cases("key-change", "key-change")
    for case in found:
        got: tuple[str, dict[str, Any]]
        try:
            got = "accept", await _change(case["given"], monkeypatch)
        except ProblemError as problem:
            got = problem.code, {}
        except ValidationError:
            got = "invalid-input", {}
        if got != (case["outcome"], case.get("gives", {})):
            wrong.append((case["name"], got[0]))
    assert wrong == []
    assert len(found) > 60


@pytest.mark.parametrize(
    ("operation", "kind"), [("check-rewraps", StageBody), ("check-wraps", WrapsBody)]
)
def test_the_server_takes_wraps_as_the_specification_says(
    operation: str, kind: type[StageBody | WrapsBody]
) -> None:
    """Wraps that wait for a change, and those of a grant, are understood alike or refused."""
    wrong, found = [], cases("key-change", operation)
    for case in found:
        got: tuple[str, dict[str, Any]]
        try:
            body = call_of(case["given"]).body(kind)
            for _, _, wrap in body.wraps:
                records.check_wrap(wrap)
            change = {"change_id": body.change_id.hex} if isinstance(body, StageBody) else {}
            wraps = [[memory.hex, number] for memory, number, _ in body.wraps]
            got = "accept", {**change, "wraps": wraps}
        except ProblemError as problem:
            got = problem.code, {}
        if got != (case["outcome"], case.get("gives", {})):
            wrong.append((case["name"], got[0]))
    assert wrong == []
    assert len(found) > 25
