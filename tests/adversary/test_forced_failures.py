"""Failures that nobody foresaw, forced at every depth, with logs at DEBUG: no secret is told."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from cli_harness import PASSPHRASE as CLI_PASSPHRASE
from cli_harness import Cli, code_in
from coffret_vault.primitives.secret import SecretBytes
from harness.canary import Listening, told, traces
from harness.world import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from coffret import Vault
    from harness.world import Owner, World

CONTENT = "the-content-of-a-memory-8f2b"
QUESTION = "the-question-that-was-asked-77c1"
POINTS = (
    "coffret_vault.records.seal.seal",
    "coffret_vault.records.seal.open_envelope",
    "coffret_vault.records.seal.serialize_payload",
    "coffret_vault.envelope.seal.hkdf",
    "coffret_vault.envelope.seal.aes_gcm_open",
    "coffret_vault.keyslots.slots.stretch",
    "coffret_vault.keyslots.slots.unwrap_key",
    "coffret_vault.grants.approve.seal_to",
    "coffret_vault.envelope.signature.pae",
    "coffret.flows.append.signed_head",
    "coffret.flows.memories.encode_msgpack",
    "coffret.flows.append.keep",
    "coffret.flows.memories.seal_new",
    "coffret.flows.keys.unwrap_memory_key",
    "coffret.keptindex.document",
    "coffret.finding.find",
    "coffret.flows.approval.make_grant",
    "coffret.flows.apps.open_grant",
)
"""Where something fails that never does."""
_TWICE = 2


class ForcedError(Exception):
    """What is raised there."""


def shown_by(trace: TracebackType | None) -> Iterator[str]:
    """What a debugger shows of our own objects in each frame of a traceback."""
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            kind = type(value).__module__
            if kind.startswith(("coffret", "coffret_vault", "coffret_server")):
                yield repr(value)
        trace = trace.tb_next


class Uses:
    """An owner, an app, and whatever can be done with them."""

    def __init__(self, world: World) -> None:
        """Have something there to read."""
        self.world, self.owner = world, world.owner()
        self.owner.vault.remember(CONTENT, sealed=True)
        self.app = world.app()
        self.grant_id, self.access = world.granted(self.owner, self.app)
        self.said: list[bytes] = []
        self.failed: set[str] = set()

    def each(self) -> list[Callable[[], object]]:
        """One use after another."""
        vault, world, owner = self.owner.vault, self.world, self.owner
        memory = next(iter(vault.memory_ids()))
        return [
            lambda: vault.remember(CONTENT),
            lambda: vault.get(memory),
            lambda: vault.search(QUESTION),
            lambda: vault.update(memory, content=CONTENT),
            lambda: self._unlock(vault, owner),
            lambda: world.granted(owner, self.app),
            self.access.memories,
            lambda: self.access.remember(CONTENT),
            lambda: world.device(owner),
        ]

    @staticmethod
    def _unlock(vault: Vault, owner: Owner) -> None:
        vault.lock()
        vault.unlock(PASSPHRASE, owner.secret_key)

    def fail_at(self, point: str) -> None:
        """Do one thing after another until it failed twice here; keep all that is said."""
        failures = 0
        for use in self.each():
            if failures == _TWICE:
                break
            try:
                with patch(point, side_effect=ForcedError("forced")):
                    use()
            except ForcedError as error:
                failures += 1
                self.failed.add(point)
                self.said.append(told(error))
                self.said += [text.encode() for text in shown_by(error.__traceback__)]
            if self.owner.vault.status().locked:
                self.owner.vault.unlock(PASSPHRASE, self.owner.secret_key)

    def secrets(self) -> dict[str, bytes]:
        """What nobody may be told."""
        keys = self.owner.vault._state.keys
        return {
            "passphrase": PASSPHRASE.encode(),
            "content": CONTENT.encode(),
            "question": QUESTION.encode(),
            "secret key": self.owner.kit.secret_key.reveal(),
            "secret key's code": self.owner.secret_key[4:].encode(),
            "account key": keys.keyring.account_key().reveal(),
            "memory kek": keys.keyring.kek("memory").reveal(),
            "signing seed": keys.identity.signing.seed().reveal(),
            "login seed": keys.login.key.seed().reveal(),
            "grant key": self.access._held.key.reveal(),
            "app's seeds": self.app._state.file.seeds,
            "api key": self.app._state.file.api_key.encode(),
        }


@contextmanager
def listening() -> Iterator[Listening]:
    """Every log line of every library, at DEBUG."""
    root, found = logging.getLogger(), Listening()
    level = root.level
    root.addHandler(found)
    root.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        root.removeHandler(found)
        root.setLevel(level)


@pytest.mark.attack(64)
def test_no_failure_tells_a_secret(world: World) -> None:
    """Wherever it fails: tracebacks, logs, and our objects in each frame have no secret in them."""
    with listening() as log:
        uses = Uses(world)
        for point in POINTS:
            uses.fail_at(point)
    assert uses.failed == set(POINTS)
    assert len(uses.said) > 50
    places = {"what was said": b"\n".join(uses.said), "log": log.text()}
    assert b'"method"' in places["log"]  # the control: something was logged
    assert traces(uses.secrets(), places) == []


@pytest.mark.attack(64)
def test_no_failure_of_the_command_tells_a_secret(world: World, tmp_path: Path) -> None:
    """The same for the program: what it raises and what it printed before."""
    cli = Cli(tmp_path / "home")
    kit = cli.init(world.url, f"forced-{tmp_path.name[-8:].strip('_0123456789-') or 'x'}-owner")
    secrets = {
        "passphrase": CLI_PASSPHRASE.encode(),
        "content": CONTENT.encode(),
        "secret key": code_in(kit, "CF1")[4:].encode(),
    }
    cli.seen.clear()
    said = []
    for point in ("coffret_vault.records.seal.seal", "coffret_vault.keyslots.slots.stretch"):
        with patch(point, side_effect=ForcedError("forced")), listening() as log:
            try:
                cli("remember", CONTENT)
            except ForcedError as error:
                said.append(told(error))
        said.append(log.text())
    assert len(said) >= 3
    said += [text.encode() for text in cli.seen]
    assert traces(secrets, {str(number): text for number, text in enumerate(said)}) == []


class _Careless(msgspec.Struct):
    key: bytes


@pytest.mark.control(64)
def test_a_careless_line_and_a_careless_object_are_found() -> None:
    """Control: a log line with a passphrase, an error with a key, an object that shows its own."""
    key = b"\x07secret key of 32 bytes in a raw!"
    secrets = {"passphrase": PASSPHRASE.encode(), "key": key}
    with listening() as log:
        logging.getLogger("careless").debug("unlocking with %s", PASSPHRASE)
    assert traces(secrets, {"log": log.text()}) == ["passphrase in log"]
    with pytest.raises(ForcedError) as raised:
        _careless(key)
    assert traces(secrets, {"error": told(raised.value)}) == ["key in error"]
    shown = {"careless": repr(_Careless(key)).encode(), "ours": repr(SecretBytes(key)).encode()}
    assert "secret key of 32 bytes" in repr(_Careless(key))
    assert b"secret key of 32 bytes" not in shown["ours"]


def _careless(key: bytes) -> None:
    raise ForcedError(key.hex())
