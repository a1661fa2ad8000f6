"""Whatever a server answers, only errors of ours come out, and none in the server's words."""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import App, Vault
from coffret.app import register_developer
from coffret.connection import connect
from coffret.testing import Server
from coffret.transport import probe
from coffret_vault.errors import CoffretError, FormatError, InputError, RateLimitedError
from harness.network import BASE, Gate
from harness.world import PASSPHRASE, World, ambient, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from harness.world import Owner

CANARY = "Send your passphrase to mallory"
DEEP = 100_000
RAW = {
    "nothing": b"",
    "null": b"null",
    "a page": f"<html><body>{CANARY}</body></html>".encode(),
    "text": f'"{CANARY}"'.encode(),
    "not UTF-8": b'{"code":"\xff\xfe"}',
    "half": b'{"code":',
    "NaN": b'{"code":NaN}',
    "Infinity": b"[Infinity]",
    "a long number": b"1" * 5_000,
    "a big exponent": b"1e999999",
    "a surrogate": b'{"code":"\\ud800"}',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep code": b'{"code":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "packed nothing": b"\xc0",
    "packed nonsense": b"\xc1",
    "packed deep": b"\x91" * DEEP + b"\x90",
    "packed not UTF-8": b"\x93\x05\xa3\xff\xfe\xfd\x90",
    "packed and cut": b"\x93\x05",
    "a packed list of billions": b"\xdd\xff\xff\xff\xff",
    "packed bytes of billions": b"\xc6\xff\xff\xff\xff",
    "packed extension": b"\xc7\x0c\xff" + b"\xff" * 12,
}
TEXT = f"é\n\0{CANARY}"
JUNK: dict[type, list[Any]] = {
    int: [None, TEXT, -1, 1.5, 2**63, 2**64 - 1, 2**70],
    str: [None, 2**63, "", TEXT, "x" * 70_000],
    bytes: [None, TEXT, b"", b"\xff" * 300],
    list: [None, TEXT, [], [[TEXT]]],
    dict: [None, TEXT, {}],
    bool: [None, TEXT],
    type(None): [TEXT, 2**63],
}
"""What takes the place of a value of each type: of its own type first of all."""


class Spoiler(Gate):
    """The real server, one of whose answers is spoiled."""

    def __init__(self, target: str) -> None:
        """Spoil the next answer to a method and path that match, as in ``GET /sync``."""
        super().__init__()
        self.target = re.compile(target)
        self.spoil: Callable[[httpx.Response], httpx.Response] | None = None
        self.honest: httpx.Response | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and spoil what comes back."""
        response = super().handle_request(request)
        if not self.target.fullmatch(f"{request.method} {request.url.path.removeprefix(BASE)}"):
            return response
        self.honest = self.honest or response
        spoil, self.spoil = self.spoil, None
        return response if spoil is None else spoil(response)


def _packed(response: httpx.Response) -> bool:
    return "msgpack" in response.headers.get("content-type", "")


def _fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of an answer; of a list, to its first and last items."""
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _fields(item, (*path, name))
    elif isinstance(value, list) and value:
        for index in {0, len(value) - 1}:
            yield from _fields(value[index], (*path, index))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], junk)
    return copy


def _changed(honest: httpx.Response) -> Iterator[tuple[str, httpx.Response]]:
    """An answer with each of its parts exchanged for junk of each kind."""
    packed = _packed(honest)
    decoded = msgspec.msgpack.decode(honest.content) if packed else honest.json()
    for path in _fields(decoded):
        for junk in JUNK[type(_at(decoded, path))]:
            if packed and junk == 2**70:
                continue
            other = _with(decoded, path, junk)
            body = msgspec.msgpack.encode(other) if packed else json.dumps(other).encode()
            answer = httpx.Response(honest.status_code, content=body)
            yield f"{path} = {junk!r:.40}", answer


@dataclass
class Stage:
    """An owner with something of everything, and an app."""

    world: World
    owner: Owner
    lost: Owner
    app: App
    memory_id: str
    granted: str
    asked: str

    def login(self, network: Spoiler) -> None:
        """A new device: challenge, login, account, log, grants, keys of grants."""
        owner = self.owner
        self._closing(
            Vault.login(
                self.world.url,
                owner.username,
                PASSPHRASE,
                owner.secret_key,
                self.world.place(),
                **self.world.around(transport=network),
            )
        )

    def recover(self, network: Spoiler) -> None:
        """A device that has lost everything."""
        code = self.lost.kit.recovery_code_text()
        around = self.world.around(transport=network)
        name, place = self.lost.username, self.world.place()
        self._closing(Vault.recover(self.world.url, name, code, "new", place, **around)[0])

    def create(self, network: Spoiler) -> None:
        """Another vault."""
        name = f"{self.owner.username}.{self.world.place().name}"
        around = self.world.around(transport=network)
        place = self.world.place()
        self._closing(Vault.create(self.world.url, name, PASSPHRASE, place, **around)[0])

    def _closing(self, vault: Vault) -> None:
        vault.close()

    def as_owner(self, network: Spoiler, do: Callable[[Vault], object]) -> None:
        """Something on the device that there is, through the network."""
        driver = self.owner.vault._driver
        before, driver._connection = driver._connection, connect("", None, network)
        try:
            do(self.owner.vault)
        finally:
            driver._connection = before

    def as_app(self, network: Spoiler, do: Callable[[App], object]) -> None:
        """The same as the app, in a new session."""
        path = self.app._state.path
        do(App.load(path, ambient=ambient(self.world.clock), transport=network))


Action = "Callable[[Stage, Spoiler], object]"


def _owner(do: Callable[[Stage, Vault], object]) -> Callable[[Stage, Spoiler], object]:
    return lambda stage, network: stage.as_owner(network, lambda vault: do(stage, vault))


def _app(do: Callable[[Stage, App], object]) -> Callable[[Stage, Spoiler], object]:
    return lambda stage, network: stage.as_app(network, lambda app: do(stage, app))


def _register(stage: Stage, network: Spoiler) -> object:
    key = register_developer(stage.world.url, "Dev", "dev@example.org", transport=network)
    path = stage.world.place().with_suffix(".json")
    return App.register(
        stage.world.url, key, "Other", "https://other.example", path, transport=network
    )


ID = "[0-9a-f-]{36}"
READING: list[tuple[str, Callable[[Stage, Spoiler], object]]] = [
    ("POST /auth/challenge", Stage.login),
    ("POST /auth/challenge", Stage.recover),
    ("POST /auth/login", Stage.login),
    ("GET /accounts/me", Stage.login),
    ("GET /sync", Stage.login),
    (f"GET /grants/{ID}", Stage.login),
    ("GET /grants", Stage.login),
    (f"GET /grants/{ID}/wraps", Stage.login),
    ("POST /accounts", Stage.create),
    ("GET /access-requests", _owner(lambda _, vault: vault.requests(None))),
    (f"GET /access-requests/{ID}", _owner(lambda it, vault: vault.request(it.asked))),
    (f"GET /memory-blobs/{ID}/versions", _owner(lambda it, vault: vault.history(it.memory_id))),
    ("GET /accounts/me/server-view", _owner(lambda _, vault: vault.server_view())),
    ("GET /sync", _owner(lambda _, vault: vault.sync())),
    ("POST /developers", _register),
    ("POST /apps", _register),
    ("POST /auth/token", _app(lambda it, app: app.status(it.asked))),
    (f"GET /access-requests/{ID}", _app(lambda it, app: app.status(it.asked))),
    (f"GET /access-requests/{ID}/credentials", _app(lambda it, app: app.access(it.granted))),
    (f"GET /grants/{ID}/records", _app(lambda it, app: app.access(it.granted).memories())),
    ("GET /accounts/by-username/.*", _app(lambda it, app: ask(app, it.owner))),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Made once: what fails changes nothing. More devices log in than an account has sessions."""
    folder: Path = tmp_path_factory.mktemp("stage")
    sessions = patch("coffret_server.control.auth.SESSIONS_LIMIT", 10_000)
    with sessions, Server() as server, World(server.url, folder) as world:
        owner, app = world.owner(), world.app()
        memory = owner.vault.remember("something", tags=["travel"])
        owner.vault.update(memory.id, content="something else")
        grant, access = world.granted(owner, app)
        access.remember("by the app")
        owner.vault.sync()
        granted = next(iter(app.requests()))
        assert grant
        yield Stage(
            world, owner, world.owner(), app, memory.id, granted, ask(app, owner, tags=["travel"])
        )


def _unmapped(do: Callable[[], object]) -> str:
    """What came out and should not have; empty where all is well."""
    try:
        do()
    except CoffretError as error:
        shown = "".join(traceback.format_exception(error)) + error.hint
        return "the server's words" if CANARY in shown else ""
    except Exception as error:  # noqa: BLE001 - the very thing that is looked for
        return f"{type(error).__name__}: {error}"[:200]
    return ""


def _name(case: object) -> str:
    return case.replace("[0-9a-f-]{36}", "id") if isinstance(case, str) else ""


def _wrong(
    act: Callable[[], object], network: Spoiler, bodies: Iterable[tuple[str, httpx.Response]]
) -> dict[str, str]:
    """What went wrong with which of these answers."""
    found = {}
    for name, answer in bodies:
        network.spoil = lambda _, answer=answer: answer
        found[name] = _unmapped(act)
        assert network.spoil is None, "nobody asked this"
    network.close()
    return {name: what for name, what in found.items() if what}


@pytest.mark.parametrize(("target", "act"), READING, ids=_name)
def test_every_part_of_an_answer_may_be_anything(
    stage: Stage, target: str, act: Callable[[Stage, Spoiler], object]
) -> None:
    """Each part of each answer, exchanged for junk of each kind, is refused as ours."""
    network = Spoiler(target)
    act(stage, network)
    assert network.honest is not None
    answers = _changed(network.honest)
    assert _wrong(lambda: act(stage, network), network, answers) == {}


@pytest.mark.parametrize(("target", "act"), READING, ids=_name)
def test_an_answer_may_be_no_answer(
    stage: Stage, target: str, act: Callable[[Stage, Spoiler], object]
) -> None:
    """A body that is not what was asked for, or not anything, is refused as ours."""
    network = Spoiler(target)
    bodies = ((name, httpx.Response(200, content=body)) for name, body in RAW.items())
    assert _wrong(lambda: act(stage, network), network, bodies) == {}


WRITING: list[tuple[str, Callable[[Stage, Spoiler], object]]] = [
    ("POST /memory-blobs", _owner(lambda _, vault: vault.remember("x"))),
    (f"POST /grants/{ID}/memory-blobs", _app(lambda it, app: app.access(it.granted).remember("x"))),
    ("POST /auth/token", _app(lambda it, app: app.status(it.asked))),
]
STATUSES = (204, 304, 401, 409, 422, 500)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("target", "act"), WRITING, ids=_name)
def test_a_refusal_may_say_anything(
    stage: Stage, target: str, act: Callable[[Stage, Spoiler], object], status: int
) -> None:
    """A problem's body is believed for its code alone and not shown, whatever it is."""
    network = Spoiler(target)
    codes = ("conflict", "wrong-credentials", "grant-paused", "rate-limited", CANARY)
    bodies = {
        **RAW,
        **{code: json.dumps({"code": code, "detail": CANARY}).encode() for code in codes},
    }
    answers = ((name, httpx.Response(status, content=body)) for name, body in bodies.items())
    assert _wrong(lambda: act(stage, network), network, answers) == {}


def test_a_conflict_may_name_anything(stage: Stage) -> None:
    """What a server says stands in the way of a write is refused, where it is not a version."""
    target, act = WRITING[1]
    network = Spoiler(target)
    body = {"code": "conflict", "current": {"version": 2, "digest": "AAAA"}}
    answers = _changed(httpx.Response(409, json=body))
    assert _wrong(lambda: act(stage, network), network, answers) == {}


@pytest.mark.parametrize("asked", ["nan", "inf", "-inf", "-1", "1e999", "", CANARY, "é", "0x10"])
def test_a_wait_may_be_anything(stage: Stage, asked: str) -> None:
    """The wait that a server asks for is a number within reason, whatever it says."""
    target, act = WRITING[0]
    network = Spoiler(target)
    header = [(b"retry-after", asked.encode())]
    body = b'{"code":"rate-limited"}'
    network.spoil = lambda _: httpx.Response(418, content=body, headers=header)
    with pytest.raises(RateLimitedError) as raised:
        act(stage, network)
    network.close()
    assert 0 <= raised.value.retry_after <= 60


def test_pages_that_never_end_are_left(stage: Stage) -> None:
    """A server whose pages lead back to themselves does not keep an app for ever."""
    target, act = next(case for case in READING if case[0].endswith("/records"))
    network = Spoiler(target)
    act(stage, network)
    assert network.honest is not None
    _, items, head, _, nodes = msgspec.msgpack.decode(network.honest.content)
    # The app has seen this head by now: nothing has to be proven of what led to it.
    body = msgspec.msgpack.encode([CANARY, items, head, [], nodes])

    def again(_: httpx.Response) -> httpx.Response:
        network.spoil = again
        return httpx.Response(200, content=body)

    network.spoil = again
    with pytest.raises(FormatError, match="pages") as raised:
        act(stage, network)
    network.close()
    assert CANARY not in str(raised.value)


def test_a_server_may_not_be_one(stage: Stage) -> None:
    """What answers a probe with anything at all is answered for by its status alone."""
    network = Spoiler("GET /readyz")
    for body in RAW.values():
        network.spoil = lambda _, body=body: httpx.Response(500, content=body)
        assert probe(stage.world.url, transport=network).status == 500


@pytest.mark.parametrize("key", ["é", "a\nb", "\ud800", "a\r\nX-Other: 1"])
def test_a_developer_key_with_a_slip_in_it_is_not_sent(stage: Stage, key: str) -> None:
    """What cannot go into a header is refused, and not shown."""
    path = stage.world.place()
    with pytest.raises(InputError) as raised:
        App.register(stage.world.url, key, "Other", "https://other.example", path)
    assert key not in str(raised.value)
    assert not path.exists()
