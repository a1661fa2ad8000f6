"""A network that goes away and a server that refuses; what is lost to them, on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from coffret_vault.errors import NetworkError
from harness.network import BASE, Losing

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Vault

APPENDS = (f"{BASE}/memory-blobs", f"{BASE}/log")


class Refusing(Losing):
    """A network that goes away, with a server that refuses appends when it is back."""

    refusing = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse for good, or send it on."""
        if self.refusing and request.url.path in APPENDS:
            problem = {"code": "quota-exceeded", "status": 429}
            return httpx.Response(429, json=problem, headers={"retry-after": "100"})
        return super().handle_request(request)


def lost(network: Refusing, act: Callable[[], object]) -> None:
    """Do what does not reach the server."""
    network.left = 0
    with pytest.raises(NetworkError) as raised:
        act()
    assert "coffret unkept" in raised.value.hint
    network.left = -1


def lost_words(network: Refusing, vault: Vault, words: str = "lost words", **more: Any) -> str:
    """Have a memory that was to say something else, and does not; its id."""
    memory_id = vault.remember("before").id
    lost(network, lambda: vault.update(memory_id, content=words, **more))
    return memory_id


def read_and_write(other: Vault) -> None:
    """Be quicker on another device."""
    other.sync()
    other.remember("quicker")
