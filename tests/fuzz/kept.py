"""What a device keeps and what its processes say to each other: index, account, app, agent."""

from __future__ import annotations

import contextlib
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coffret.cli import agent_wire
from coffret.flows import begun, state, unkept, unsent
from coffret.flows.appstate import AppFile, Begun, load_app
from coffret.flows.state import AccountFile
from coffret_vault.errors import ConflictError, FormatError, IndexDamagedError, StoreDamagedError
from coffret_vault.formats.account import Kdf
from coffret_vault.search import SearchIndex
from fuzz.choosing import Choices
from fuzz.target import Target
from search_reference import HashingEmbedder, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GRAPH_FROM = 4
_DEEP = b"\x91" * 4_000
"""MessagePack: lists in lists, deeper than anything of ours, and than Python goes."""


@cache
def _embedder() -> HashingEmbedder:
    return HashingEmbedder(dimension=2)


def _check_index(data: bytes) -> None:
    """A dump is refused, or is an index that answers, grows, and is the same when dumped again."""
    embedder = _embedder()
    try:
        index = SearchIndex.restore(data, embedder, graph_from=_GRAPH_FROM)
    except IndexDamagedError:
        return
    found = index.search("coffee", limit=3)
    dumped = index.dump()
    again = SearchIndex.restore(dumped, embedder, graph_from=_GRAPH_FROM)
    assert again.stale({}) == index.stale({})
    assert again.search("coffee", limit=3) == found
    index.put([memory(7, "tea", tags=("drink",))])
    index.remove([memory(1).id])
    index.search("tea", limit=3)


def _index_seeds() -> Iterator[bytes]:
    for count in (0, 1, 3, 6):
        index = SearchIndex(_embedder(), graph_from=_GRAPH_FROM)
        index.put([memory(at, f"coffee {at}", tags=("a",), type="fact") for at in range(count)])
        yield index.dump()
        index.remove([memory(0).id])
        yield index.dump()
    deep = b"\x92" + _DEEP
    yield b"COFFRET-SEARCH-1" + len(deep).to_bytes(8, "little") + deep


class _Kept:
    """A device's store of which only the notes are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def meta(self, _name: str) -> bytes:
        return self._data


def _check_files(data: bytes) -> None:
    """What a device keeps of itself is read, or is damaged; nothing else comes out of it."""
    choices = Choices(data)
    kind, kept = choices.number() % 5, choices.rest()
    readers: tuple[Callable[[], object], ...] = (
        lambda: state.load_account(_Kept(kept)),  # type: ignore[arg-type]
        lambda: unsent._read(kept).request(),
        lambda: _load_app(kept),
        lambda: unkept.read_loss(kept),
        lambda: begun.read_file(kept),
    )
    # A registration that was begun is no app: that is a conflict.
    with contextlib.suppress(StoreDamagedError, ConflictError):
        readers[kind]()


def _load_app(kept: bytes) -> AppFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.json"
        path.write_bytes(kept)
        return load_app(path)


def _files_seeds() -> Iterator[bytes]:
    account = dict.fromkeys(AccountFile.__struct_fields__, b"")
    yield b"\0" + msgspec.msgpack.encode(account)
    change = (1, b"m" * 16, "POST", "/log", b"body", "application/msgpack", {"a": "b"}, (), True)
    yield b"\1" + msgspec.msgpack.encode(change)
    yield b"\2" + msgspec.json.encode(dict.fromkeys(AppFile.__struct_fields__, ""))
    yield b"\2" + msgspec.json.encode(dict.fromkeys(Begun.__struct_fields__, ""))
    loss = unkept.Loss(7, unkept.OVERTAKEN, 3, (b"leaf",), ((b"header", b"payload"),))
    yield b"\3" + msgspec.msgpack.encode(loss)
    kdf = Kdf(bytes(16), 65_536, 3, 4)
    yield b"\4" + msgspec.msgpack.encode(("https://a.example", "ana", b"i" * 16, kdf, b"sealed"))
    yield b"\3\x91" + _DEEP
    yield b"\4\x91" + _DEEP
    yield b"\0\x81\xa1z" + _DEEP
    yield b"\1\x9a" + msgspec.msgpack.encode(change)[1:] + _DEEP
    yield b'\2{"z":' + b"[" * len(_DEEP)


_READERS: tuple[Callable[[agent_wire.Stream], agent_wire._Message], ...] = (
    agent_wire.read_start,
    agent_wire.read_asked,
    agent_wire.read_told,
)


def _check_agent(data: bytes) -> None:
    """A frame is a message of the agent, which is written the same again, or is refused."""
    for read in _READERS:
        try:
            message = read(io.BytesIO(data))
        except FormatError:
            continue
        out = io.BytesIO()
        agent_wire.write_frame(out, message)
        again = io.BytesIO()
        agent_wire.write_frame(again, read(io.BytesIO(out.getvalue())))
        assert again.getvalue() == out.getvalue()  # not the messages: a number may be no number


def _agent_seeds() -> Iterator[bytes]:
    for message in (
        agent_wire.Start("/run/socket", 1.5, b"k" * 32, b"s" * 32, b"session"),
        agent_wire.Ask(),
        agent_wire.Keep(b"session"),
        agent_wire.Look(),
        agent_wire.Lock(),
        agent_wire.Keys(b"k" * 32, b"s" * 32, b"session"),
        agent_wire.Left(0.5),
    ):
        out = io.BytesIO()
        agent_wire.write_frame(out, message)
        yield out.getvalue()
    for body in (b"\x92\xa3ask" + _DEEP, b"\x91\xa3as\xcc"):
        yield len(body).to_bytes(4, "big") + body


TARGETS = (
    Target("index", _check_index, _index_seeds, 8192),
    Target("files", _check_files, _files_seeds, 4096),
    Target("agent", _check_agent, _agent_seeds, 4200),
)
