"""A server keeps the wraps of an append that it refused: genuine ones, of keys that nothing has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.rekeying import rekey_all
from coffret_vault.errors import CoffretError, TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import parse_header
from harness.network import BASE, Evil, Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from coffret import Vault
    from harness.world import World


class _Keeping(Gate):
    """A server that keeps the records of every append, and lets others write before the first."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self.kept: list[list[bytes]] = []
        self.between: Callable[[], object] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let others in, and send it on."""
        if self.between and (request.method, request.url.path) == ("POST", f"{BASE}/log"):
            self.kept += msgspec.msgpack.decode(request.content)["records"]
            between, self.between = self.between, None
            between()
        return super().handle_request(request)


def _version(header: bytes) -> tuple[bytes, int, int]:
    """Which memory's, which one, and the number of its key: what a wrap is bound to and more."""
    parsed = parse_header(header)
    return parsed.memory_id, parsed.version, parsed.key_number


def _shown(world: World) -> tuple[Vault, Evil, str]:
    """A device that is behind; a memory under a fresh key, shown to it with the refused wrap."""
    network, evil = _Keeping(), Evil()
    owner = world.owner(transport=network)
    other, behind = world.device(owner), world.device(owner, transport=evil)
    memory = owner.vault.remember("one")
    network.between = lambda: other.remember("another device was quicker")
    owner.vault._driver.run(rekey_all(owner.vault._state, [parse_id(memory.id)]))
    ((header, _, kek, wrap),) = network.kept

    def exchange(page: list[Any]) -> None:
        for _, record in page[2]:
            if record is not None and _version(record[0]) == _version(header):
                assert record[2] == kek
                assert record[3] != wrap
                record[3] = wrap

    evil.rewrite["/sync"] = exchange
    return behind, evil, memory.id


@pytest.mark.attack(6)
def test_the_wrap_of_a_refused_append_is_refused(world: World) -> None:
    """That a wrap opens says nothing: what it holds has to open the envelope beside it."""
    behind, evil, memory_id = _shown(world)
    with pytest.raises(TrustError, match="does not open"):
        behind.sync()
    evil.rewrite.clear()
    behind.sync()
    assert behind.get(memory_id).content == "one"


@pytest.mark.control(6)
def test_a_device_that_leaves_the_envelope_for_later_takes_the_wrap(world: World) -> None:
    """Control: a device that opens only the wrap keeps what it cannot read."""
    behind, _, memory_id = _shown(world)
    with patch("coffret.flows.arriving.check_opens", lambda *_: None):
        behind.sync()
    with pytest.raises(CoffretError):
        behind.get(memory_id)
