"""Search needs no server, and tells it nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from coffret import Vault
from coffret.testing import Server, cheap
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from pathlib import Path


class _Counting(httpx.HTTPTransport):
    """The network, with a count of what goes out."""

    sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        return super().handle_request(request)


@pytest.mark.attack(53)
def test_search_makes_no_request(tmp_path: Path) -> None:
    """From the first search on, which builds the index, nothing goes out; no server is needed."""
    network = _Counting()
    with Server() as server:
        vault, _ = Vault.create(
            server.url,
            "ana",
            "a passphrase",
            tmp_path,
            embedder=HashingEmbedder,
            ambient=cheap(),
            transport=network,
        )
        vault.remember("We ate octopus by the river", tags=["travel"])
        before = network.sent
        assert before
        assert vault.search("octopus")[0].memory.tags == ("travel",)
        assert network.sent == before
    assert vault.search("river", tags=["travel"])
    assert network.sent == before
    vault.close()
