"""Every bad input that a vault has to survive: a clear error or the right result."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import msgspec
import pytest

from coffret import Vault
from coffret.flows.http import Response, decode_json
from coffret_vault.errors import (
    CodeTypoError,
    CredentialsError,
    FormatError,
    InputError,
    TooLargeError,
    UnknownSuiteError,
)
from harness.network import Evil, Gate, Recorder
from harness.world import PASSPHRASE, ask

if TYPE_CHECKING:
    from pathlib import Path

    from harness.world import Clock, Owner, World


def reopened(world: World, owner: Owner, folder: Path) -> Vault:
    """A vault of this device, unlocked again."""
    vault: Vault = world.closing(Vault.open(folder, **world.around()))
    vault.unlock(PASSPHRASE, owner.secret_key)
    return vault


# -- secrets ------------------------------------------------------------------------------------


def test_a_wrong_passphrase_or_secret_key_enters_nothing(world: World) -> None:
    """A wrong secret is one and the same error, on a new device and on this one."""
    owner, other = world.owner(), world.owner()
    place = world.place()
    for name, passphrase, key in (
        (owner.username, "wrong", owner.secret_key),
        (owner.username, PASSPHRASE, other.secret_key),
        ("nobody-here", PASSPHRASE, owner.secret_key),
    ):
        with pytest.raises(CredentialsError):
            Vault.login(world.url, name, passphrase, key, place, **world.around())
    owner.vault.lock()
    for passphrase, key in (("wrong", owner.secret_key), (PASSPHRASE, other.secret_key)):
        with pytest.raises(CredentialsError):
            owner.vault.unlock(passphrase, key)
    owner.vault.unlock(PASSPHRASE, owner.secret_key)
    vault = Vault.login(
        world.url, owner.username, PASSPHRASE, owner.secret_key, place, **world.around()
    )
    world.closing(vault)


def test_mistyped_codes_are_noticed_before_anything_is_sent(world: World) -> None:
    """Every single wrong symbol of a code, and the other kind of code, is a typing mistake."""
    owner = world.owner()
    network = Recorder()
    code = owner.kit.recovery_code_text()
    wrong = [code[:at] + ("0" if code[at] != "0" else "1") + code[at + 1 :] for at in (4, 20, -1)]
    for text in (*wrong, code[:-1], "", owner.secret_key):
        with pytest.raises(CodeTypoError):
            Vault.recover(
                world.url, owner.username, text, "new", world.place(),
                transport=network, **world.around(),
            )  # fmt: skip
    with pytest.raises(CodeTypoError):
        Vault.login(
            world.url, owner.username, PASSPHRASE, code, world.place(),
            transport=network, **world.around(),
        )  # fmt: skip
    with pytest.raises(CodeTypoError):
        owner.vault.unlock(PASSPHRASE, owner.secret_key[:-1])
    assert network.requests == []
    network.close()


def test_a_recovery_code_of_another_vault_is_refused(world: World) -> None:
    """A code that is well written but another vault's does not open this one."""
    owner, other = world.owner(), world.owner()
    with pytest.raises(CredentialsError):
        Vault.recover(
            world.url,
            owner.username,
            other.kit.recovery_code_text(),
            "new",
            world.place(),
            **world.around(),
        )


# -- what is written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "details", "error"),
    [
        ("x" * (10 << 20), {}, TooLargeError),
        ("", {}, InputError),
        ("x", {"title": "t" * 513}, InputError),
        ("x", {"title": "nul\0"}, InputError),
        ("x", {"title": "\ud800"}, InputError),
        ("\ud800", {}, InputError),
        ("x", {"tags": ["a\u0007b"]}, InputError),
        ("x", {"tags": [""]}, InputError),
        ("x", {"tags": [f"t{n}" for n in range(65)]}, InputError),
        ("x", {"tags": "travel"}, InputError),
        ("x", {"importance": 1.5}, InputError),
        ("x", {"importance": float("nan")}, InputError),
        ("x", {"confidence": -0.1}, InputError),
        ("x", {"metadata": {"f": object()}}, InputError),
        ("x", {"metadata": {"big": 1 << 80}}, InputError),
        ("x", {"sealed": True, "tags": ["\x00"]}, InputError),
        ("x", {"labels": {"a": 1}}, InputError),
        ("x", {"summary": 7}, InputError),
        ("x", {"title": None}, InputError),
        (b"bytes", {}, InputError),
        ("x", {"valid_from": "yesterday"}, InputError),
        ("x", {"created": "yesterday"}, InputError),
        ("x", {"metadata": {1: 2}}, InputError),
    ],
)
def test_what_cannot_be_a_memory_is_refused_before_anything_is_sent(
    world: World, content: str, details: dict[str, object], error: type[Exception]
) -> None:
    """Too large, empty or malformed: refused with the reason, and neither side is changed."""
    network = Recorder()
    owner = world.owner(transport=network)
    before = len(network.requests)
    with pytest.raises(error):
        owner.vault.remember(content, **details)  # type: ignore[arg-type]
    assert len(network.requests) == before
    assert owner.vault.status().memories == 0


def test_text_of_every_kind_comes_back_as_it_was(world: World) -> None:
    """Control, bidirectional and astral characters in a memory are kept as they are, in NFC."""
    owner = world.owner()
    text = "tab\t newline\n rtl \u202eabc\u202c nul\0 bell\a 🙂 e\u0301"
    written = owner.vault.remember(text, title="a \u202e title \a", summary="\u2066x")
    read = world.device(owner).get(written.id)
    assert (read.content, read.title, read.summary) == (text, "a \u202e title \a", "\u2066x")
    composed = owner.vault.remember("x", title="e\u0301", tags=["e\u0301", "\u00e9"])
    assert world.device(owner).get(composed.id).tags == ("\u00e9",)
    assert composed == owner.vault.get(composed.id)


def test_whole_numbers_are_taken_for_fractions(world: World) -> None:
    """A confidence of 1 is 1.0, which is what other devices can read."""
    owner = world.owner()
    written = owner.vault.remember("x", confidence=1, importance=1)
    assert world.device(owner).get(written.id).confidence == 1.0


def test_names_of_apps_are_shown_without_tricks(world: World) -> None:
    """Control and bidirectional characters of an app are left out where a person reads them."""
    owner = world.owner()
    app = world.app("Bank\u202e\u0000\nof\u2066 Trust".replace("\0", ""))
    ask(app, owner, purpose="for\u202e you\x1b[31m", retention="\u200bnone")
    (request,) = owner.vault.requests()
    assert request.app.name == "Bankof Trust"
    assert (request.purpose, request.retention) == ("for you[31m", "none")
    owner.vault.requests(None)
    owner.vault.approve(request.request_id, words=app.words)
    assert owner.vault.grants()[0].app.name == "Bankof Trust"
    for name in ("", "   ", "n" * 81, "nul\0"):
        with pytest.raises(InputError):
            world.app(name)


# -- what the server says -----------------------------------------------------------------------


def test_unknown_fields_of_the_server_are_ignored(world: World) -> None:
    """A newer server that says more than we know is understood as far as we know it."""
    evil = Evil()

    def more(answer: object) -> None:
        if isinstance(answer, dict):
            answer["something_new"] = {"a": [1]}

    for path in ("/auth/challenge", "/auth/login", "/accounts/me", "/memory-blobs"):
        evil.rewrite[path] = more
    owner = world.owner()
    owner.vault.remember("one")
    device = world.device(owner, transport=evil)
    device.remember("two")
    assert device.status().memories == 2


def test_an_unknown_suite_is_refused(world: World) -> None:
    """A record of another suite is named as what it is; nothing of the page is kept."""
    owner = world.owner()
    evil = Evil()
    device = world.device(owner, transport=evil)
    owner.vault.remember("one")

    def newer(page: list[object]) -> None:
        items: list[list[object]] = page[2]  # type: ignore[assignment]
        leaf = items[0][0]
        assert isinstance(leaf, bytes)
        mark = (1).to_bytes(8, "big") + b"\x01"
        items[0][0] = leaf.replace(mark, mark[:-1] + b"\x02", 1)

    evil.rewrite["/sync"] = newer
    before = device.status()
    with pytest.raises(UnknownSuiteError):
        device.sync()
    assert device.status() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"\xc1", b"\x93\x01\xa1x\x91\xc0", b"\xff" * 100])
def test_an_answer_that_is_nonsense_is_an_error(world: World, body: bytes) -> None:
    """Whatever a server answers to a sync, the error is one of ours and nothing is kept."""
    owner = world.owner()
    evil = Evil()
    device = world.device(owner, transport=evil)
    evil.rewrite["/sync"] = lambda _: httpx.Response(200, content=body)
    before = device.status()
    with pytest.raises(FormatError):
        device.sync()
    assert device.status() == before


def test_an_endless_answer_is_cut_off(world: World) -> None:
    """An answer that grows past its cap is refused while it comes in."""
    owner = world.owner()
    evil = Evil()
    device = world.device(owner, transport=evil)
    with patch("coffret.bodies.MAX_ANSWER", 1_000):
        evil.rewrite["/sync"] = lambda _: httpx.Response(200, content=b"x" * 1_001)
        with pytest.raises(FormatError, match="larger"):
            device.sync()


def test_an_answer_decodes_to_what_it_should_be_or_not_at_all() -> None:
    """Deeply nested JSON is refused like any other answer that is not what it should be."""
    deep = b'{"a":' * 100_000
    with pytest.raises(FormatError):
        decode_json(Response(200, {}, deep), dict[str, object])


# -- clocks, sessions, grants -------------------------------------------------------------------


@pytest.mark.parametrize("days", [-400, 400])
def test_a_device_whose_clock_is_wrong_still_works(world: World, days: int) -> None:
    """Memories written by a clock that is far off are read, changed and merged like others."""
    owner = world.owner()
    memory = owner.vault.remember("written on time")
    world.clock.offset = timedelta(days=days)
    device = world.device(owner)
    changed = device.update(memory.id, content="changed at the wrong time")
    assert changed.updated >= changed.created
    device.remember("new at the wrong time")
    world.clock.offset = timedelta()
    owner.vault.sync()
    assert {item.content for item in owner.vault.list()} == {
        "changed at the wrong time",
        "new at the wrong time",
    }
    assert owner.vault.update(memory.id, content="on time again").version == 3


def test_an_app_whose_clock_is_behind_the_owners_can_write(world: World) -> None:
    """A grant by a clock that is some minutes ahead is no grant from the future to its app."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("a")
    world.clock.offset = timedelta(minutes=5)
    _, access = world.granted(owner, app)
    world.clock.offset = timedelta()
    access.remember("written at once")
    owner.vault.sync()
    assert [item.proposed.content for item in owner.vault.pending() if item.proposed] == [
        "written at once"
    ]


def test_a_session_that_is_over_is_begun_again(world: World) -> None:
    """A device whose session ended logs in by itself, and goes on with what it was doing."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.remember("one")
    session = owner.vault._state.session
    assert session is not None
    owner.vault._state.session = msgspec.structs.replace(session, token="over")
    owner.vault.remember("two")
    assert network.paths.count("/auth/login") == 2
    assert world.device(owner).status().memories == 2


def test_an_app_s_token_that_is_over_is_taken_again(world: World, server_clock: Clock) -> None:
    """An app whose token has expired takes another one with its key."""
    network = Recorder()
    owner, app = world.owner(), world.app(transport=network)
    owner.vault.remember("one")
    _, access = world.granted(owner, app)
    server_clock.forward(minutes=16)
    world.clock.forward(minutes=16)
    try:
        before = network.paths.count("/auth/token")
        assert len(access.memories()) == 1
        assert network.paths.count("/auth/token") == before + 1
    finally:
        server_clock.offset = timedelta()


def test_a_login_that_was_heard_cannot_be_said_again(world: World) -> None:
    """The very bytes of a login open one session, and no second one."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.sync()
    (login,) = [request for request in network.requests if request.url.path.endswith("/login")]
    with httpx.Client() as client:
        again = client.post(
            str(login.url), content=login.content, headers={"Content-Type": "application/json"}
        )
    assert again.status_code == 401
    assert again.json()["code"] == "wrong-credentials"


def test_the_same_append_twice_is_one_memory(world: World) -> None:
    """The very bytes of a creation, sent again with the same token, make nothing more."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.remember("once")
    (sent,) = [
        request for request in network.requests if request.url.path.endswith("/memory-blobs")
    ]
    with httpx.Client() as client:
        again = client.post(str(sent.url), content=sent.content, headers=dict(sent.headers))
    assert again.is_success
    assert owner.vault.sync().entries == 0
    assert world.device(owner).status().memories == 1


def test_a_closed_gate_is_closed_once(world: World) -> None:
    """A login that fails leaves no connection open."""

    class Watched(Gate):
        closed = 0

        def close(self) -> None:
            type(self).closed += 1
            super().close()

    owner = world.owner()
    with pytest.raises(CredentialsError):
        Vault.login(
            world.url, owner.username, "wrong", owner.secret_key, world.place(),
            transport=Watched(), **world.around(),
        )  # fmt: skip
    assert Watched.closed == 1
