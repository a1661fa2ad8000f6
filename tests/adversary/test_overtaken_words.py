"""A memory that waited on a device is not lost to an app that is told its id."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from coffret_vault.errors import NetworkError
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.memory import parse_header
from harness.league import Pen
from harness.network import BASE, Losing, once

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from harness.world import World


@pytest.fixture(autouse=True)
def one_try() -> Iterator[None]:
    """The network is tried once."""
    with patch("coffret.transport._TRIES", 1):
        yield


class _Telling(Losing):
    """A server that keeps an append to itself, and tells an app of it when it comes once more."""

    def __init__(self) -> None:
        """Begin honest."""
        super().__init__()
        self.reaching = False
        self.kept = b""
        self.pen: Pen | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, where an app is quicker now."""
        if request.url.path in {f"{BASE}/memory-blobs", f"{BASE}/log"} and request.content:
            self.kept = self.kept if self.pen else request.content
        if request.url.path == f"{BASE}/log" and request.method == "POST" and self.pen:
            pen, self.pen = self.pen, None
            pen.put("by the app", memory_id=self.memory_id)
        return super().handle_request(request)

    @property
    def memory_id(self) -> str:
        """The memory that the append begins."""
        header, *_ = msgspec.msgpack.decode(self.kept)["records"][0]
        return id_text(parse_header(header).memory_id)


@pytest.mark.attack(56)
def test_words_are_not_let_go_of_because_an_app_took_the_id(world: World) -> None:
    """What others overtook is noted for its owner, until it stands in the vault by itself."""
    network = _Telling()
    owner = world.owner(transport=network)
    _, access = world.granted(owner, world.app(), scopes=["create"])
    other = world.device(owner)
    network.lose = once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        owner.vault.remember("lost words")
    other.remember("quicker")
    network.pen = Pen(access)
    assert owner.vault.sync().unkept == 1
    assert [item.memory_id for item in owner.vault.pending()] == [network.memory_id]
    (found,) = owner.vault.unkept()
    assert [memory.content for memory in found.memories] == ["lost words"]


@pytest.mark.attack(56)
def test_words_that_others_overtook_are_written_behind_theirs(world: World) -> None:
    """The control: where no app is in league with the server, nothing is lost, nor told."""
    network = _Telling()
    owner = world.owner(transport=network)
    other = world.device(owner)
    network.lose = once("POST", "/memory-blobs")
    with pytest.raises(NetworkError):
        owner.vault.remember("lost words")
    other.remember("quicker")
    assert owner.vault.sync().unkept == 0
    assert {memory.content for memory in owner.vault.list()} == {"quicker", "lost words"}
    assert not owner.vault.unkept()


@pytest.mark.attack(56)
def test_what_was_said_behind_it_is_not_let_go_of_either(world: World) -> None:
    """Words that were sent once, and whose id an app took meanwhile, are told as they were said."""
    network = _Telling()
    owner = world.owner(transport=network)
    _, access = world.granted(owner, world.app(), scopes=["create"])
    other = world.device(owner)
    network.left = 0
    for words in ("first", "lost words"):
        with pytest.raises(NetworkError):
            owner.vault.remember(words)
    network.left = -1
    network.lose = once("POST", "/log")
    with pytest.raises(NetworkError):
        owner.vault.sync()
    other.sync()
    other.remember("quicker")
    network.pen = Pen(access)
    owner.vault.sync()
    assert [item.memory_id for item in owner.vault.pending()] == [network.memory_id]
    (found,) = owner.vault.unkept()
    assert (found.why, [memory.content for memory in found.memories]) == (
        "overtaken",
        ["lost words"],
    )
    assert owner.vault.status().unsent == 0
