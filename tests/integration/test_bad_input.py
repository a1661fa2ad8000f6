"""Every bad input that a vault has to survive: a clear error or the right result."""

from __future__ import annotations

import random
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest

from coffret import Fields, NewMemory, Vault
from coffret.flows.http import Response, decode_json
from coffret_vault.errors import (
    CodeTypoError,
    CoffretError,
    CredentialsError,
    FormatError,
    InputError,
    NetworkError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    TooLargeError,
    UnknownSuiteError,
)
from coffret_vault.ingest import Draft
from harness.network import BASE, Evil, Gate, Losing, Recorder, once
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


# -- what this device keeps ---------------------------------------------------------------------


def _uses(vault: Vault, memory_id: str) -> list[object]:
    return [
        vault.get(memory_id),
        list(vault.list()),
        vault.tags(),
        vault.pending(),
        vault.grants(),
        vault.search("trip"),
        list(vault.export()),
        vault.status(),
        vault.history(memory_id),
        vault.remember("one more"),
        vault.sync(),
    ]


def test_a_damaged_store_is_an_error_and_never_a_crash(world: World, tmp_path: Path) -> None:
    """Whatever bytes of the store are changed, each use works or raises an error of ours."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("trip", tags=["t"])
    world.granted(owner, app, tags=["t"])[1].update(memory.id, content="trip changed")
    owner.vault.sync()
    owner.vault.close()
    path = owner.vault.folder / "store.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    chance = random.Random(7)  # noqa: S311 - chooses bytes to damage
    refused = 0
    for number in range(60):
        folder = tmp_path / f"damaged-{number}"
        folder.mkdir()
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 4, 64))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (folder / "store.db").write_bytes(damaged)
        try:
            vault = Vault.open(folder, **world.around())
        except CoffretError:
            refused += 1
            continue
        with vault:
            try:
                vault.unlock(PASSPHRASE, owner.secret_key)
                _uses(vault, memory.id)
            except CoffretError:
                refused += 1
    assert refused > 10
    assert world.device(owner).get(memory.id).content == "trip"


@pytest.mark.parametrize("content", [b"", b"not a database at all", bytes(8192)])
def test_a_file_that_is_no_store_is_said_to_be_damaged(
    world: World, tmp_path: Path, content: bytes
) -> None:
    """A store that is empty is no vault; one that is something else is damaged."""
    (tmp_path / "store.db").write_bytes(content)
    with pytest.raises(CoffretError) as raised:
        Vault.open(tmp_path, **world.around())
    assert raised.value.code in {"not-found", "store-damaged"}


def test_a_store_of_a_newer_version_is_left_alone(world: World) -> None:
    """A store that a newer program made is refused, not damaged and not changed."""
    owner = world.owner()
    owner.vault.close()
    path = owner.vault.folder / "store.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="newer"):
        Vault.open(owner.vault.folder)


def test_a_store_whose_kinds_are_changed_is_damaged(world: World) -> None:
    """Values that SQLite now calls text or numbers are damage, whichever table they are in."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("trip")
    world.granted(owner, app)
    for column in (
        "meta.value", "memories.state", "records.header", "records.envelope", "records.wrap",
        "records.kek", "grants.body", "leaves.leaf",
    ):  # fmt: skip
        table, name = column.split(".")
        for value in ("'text'", "5", "1.5"):
            database = owner.vault._state.store._database
            database.execute("BEGIN")
            database.execute(f"UPDATE {table} SET {name} = {value}")  # noqa: S608 - constants
            try:
                with pytest.raises(StoreDamagedError):
                    _uses(owner.vault, memory.id)
            finally:
                database.execute("ROLLBACK")
            owner.vault._finder.drop()


def test_a_damaged_index_is_built_again(world: World) -> None:
    """An index file that was changed anywhere, cut, or replaced is rebuilt; search goes on."""
    owner = world.owner()
    owner.vault.remember("the lighthouse keeper")
    owner.vault.search("lighthouse")
    path = owner.vault.folder / "index.sealed"
    whole = path.read_bytes()
    chance = random.Random(3)  # noqa: S311 - chooses bytes to damage
    damaged = [b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0", bytes(len(whole))]
    for _ in range(20):
        at = chance.randrange(len(whole))
        wrong = bytes([whole[at] ^ (1 + chance.randrange(255))])
        damaged.append(whole[:at] + wrong + whole[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        owner.vault._finder.drop()
        (hit,) = owner.vault.search("lighthouse")
        assert hit.memory.content == "the lighthouse keeper"
        assert path.read_bytes() not in damaged


def test_a_full_disk_loses_nothing(world: World) -> None:
    """When the store cannot grow the error says so; a later sync brings what the server took."""
    owner = world.owner()
    first = owner.vault.remember("before")
    database = owner.vault._state.store._database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    large = [NewMemory(Fields(content=f"{number} " + "x" * 4_000)) for number in range(50)]
    with patch("coffret.flows.memories.BATCH", 1), pytest.raises(StoreFullError):
        owner.vault.remember_many(large)
    kept = {memory.content for memory in owner.vault.list()}
    with pytest.raises(StoreFullError):
        owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == kept
    database.execute("PRAGMA max_page_count = 1000000")
    owner.vault.sync()
    mine = {memory.content for memory in owner.vault.list()}
    assert mine == {memory.content for memory in world.device(owner).list()}
    assert len(mine) == len(kept) + 1
    assert owner.vault.get(first.id).content == "before"


def test_a_full_disk_at_sign_up_leaves_the_name_free(world: World) -> None:
    """A vault that cannot be kept here is not made on the server either."""
    name = f"{world.owner().username}-again"
    place = world.place()
    with (
        patch("coffret_vault.store.store.Store.commit", side_effect=StoreFullError),
        pytest.raises(StoreFullError),
    ):
        Vault.create(world.url, name, PASSPHRASE, place, **world.around())
    vault, _ = Vault.create(world.url, name, PASSPHRASE, place, **world.around())
    world.closing(vault)


def test_an_index_that_cannot_be_written_costs_no_search(world: World) -> None:
    """Search works with a full disk; only the next start has to index again."""
    owner = world.owner()
    owner.vault.remember("the lighthouse keeper")
    with patch("coffret.finding.save_snapshot", side_effect=StoreFullError):
        assert len(owner.vault.search("lighthouse")) == 1
    assert not (owner.vault.folder / "index.sealed").exists()
    owner.vault.remember("another lighthouse")
    assert len(owner.vault.search("lighthouse")) == 2
    assert (owner.vault.folder / "index.sealed").exists()


# -- the network --------------------------------------------------------------------------------


def test_a_server_gone_mid_sync_leaves_a_vault_that_goes_on(world: World) -> None:
    """Cut after any request, a sync has kept whole pages or nothing; the next brings the rest."""
    owner, app = world.owner(), world.app()
    network = Losing()
    behind = world.device(owner, transport=network)
    memory = owner.vault.remember("trip", tags=["t"])
    _, access = world.granted(owner, app, tags=["t"])
    access.update(memory.id, content="proposed")
    owner.vault.remember("more")
    with patch("coffret.flows.sync.PAGE", 2), patch("coffret.transport._TRIES", 1):
        for allowed in range(12):
            network.left = allowed
            try:
                behind.sync()
            except NetworkError:
                behind.list()
                behind.search("trip")
                behind.pending()
            else:
                break
        else:
            pytest.fail("a sync never came to its end")
    network.left = -1
    behind.sync()
    assert {item.content for item in behind.list()} == {"trip", "more"}
    assert [item.version for item in behind.pending()] == [2]
    assert behind.grants()[0].memories == 1
    assert behind.check() == 0


def test_keyslots_replaced_while_the_server_goes_away_are_taken_up_later(world: World) -> None:
    """A sync cut between the log and the keyslots it names is repeated, not believed in part."""
    owner = world.owner()
    network = Losing()
    behind = world.device(owner, transport=network)
    code = owner.kit.recovery_code_text()
    vault, secret_key = Vault.recover(
        world.url, owner.username, code, "new", world.place(), **world.around()
    )
    world.closing(vault)
    size = behind.status().entries
    network.lose = lambda request: request.url.path.endswith("/accounts/me")
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        behind.sync()
    assert behind.status().entries == size
    network.lose = lambda _: False
    behind.sync()
    behind.lock()
    behind.unlock("new", secret_key)


def test_a_login_cut_short_can_be_made_again_in_the_same_folder(world: World) -> None:
    """A device that could not finish its first sync keeps nothing that stands in the way."""
    owner = world.owner()
    owner.vault.remember("trip")
    place = world.place()
    network = Losing()
    network.lose = lambda request: request.url.path.endswith("/sync")
    with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
        Vault.login(
            world.url, owner.username, PASSPHRASE, owner.secret_key, place,
            transport=network, **world.around(),
        )  # fmt: skip
    vault = world.closing(
        Vault.login(
            world.url, owner.username, PASSPHRASE, owner.secret_key, place, **world.around()
        )
    )
    assert [memory.content for memory in vault.list()] == ["trip"]


def test_no_server_is_a_network_error(world: World) -> None:
    """With nobody listening every call that needs a server says so, and reading goes on."""
    owner = world.owner()
    network = Losing()
    vault = world.device(owner, transport=network)
    network.left = 0
    with patch("coffret.transport._TRIES", 1):
        for use in (vault.sync, vault.requests, lambda: vault.remember("x")):
            with pytest.raises(NetworkError):
                use()
    assert list(vault.list()) == []


@pytest.mark.parametrize(
    "path", ["/memory-blobs", "/memory-blobs/batch", "/log", "/auth/login", "/accounts"]
)
def test_a_lost_answer_is_no_second_memory(world: World, path: str) -> None:
    """A request whose answer is lost is sent again, and what it does is done once."""
    network = Losing()
    network.lose = once("POST", path)
    owner = world.owner(transport=network)
    first = owner.vault.remember("one")
    owner.vault.import_drafts([])
    owner.vault.remember_many([NewMemory(Fields(content=text)) for text in ("two", "three")])
    owner.vault.update(first.id, content="one changed")
    gone = owner.vault.remember("gone")
    owner.vault.forget(gone.id)
    assert network.lose(httpx.Request("POST", f"{world.url}{BASE}{path}")) is False
    expected = {"one changed", "two", "three"}
    assert {memory.content for memory in world.device(owner).list()} == expected
    assert [step.version for step in owner.vault.history(first.id)] == [1, 2]


@pytest.mark.parametrize("kind", ["create", "update", "delete"])
def test_a_lost_answer_is_recognised_though_others_wrote_since(world: World, kind: str) -> None:
    """A change that the server took before its answer was lost is found again in the log."""
    network = Losing()
    owner = world.owner(transport=network)
    memory = owner.vault.remember("before")
    other = world.device(owner)

    def write() -> None:
        other.remember("in between")

    network.between = write

    def lost_once(request: httpx.Request) -> bool:
        if request.method == "GET" or "auth" in request.url.path:
            return False
        network.lose = lambda _: False
        return True

    network.lose = lost_once
    if kind == "create":
        owner.vault.remember("created")
    elif kind == "update":
        assert owner.vault.update(memory.id, content="updated").version == 2
    else:
        owner.vault.forget(memory.id)
    expected = {
        "create": {"before", "created", "in between"},
        "update": {"updated", "in between"},
        "delete": {"in between"},
    }[kind]
    assert {item.content for item in owner.vault.list()} == expected
    assert {item.content for item in world.device(owner).list()} == expected


def test_an_app_s_lost_answer_is_no_second_proposal(world: World) -> None:
    """What an app writes is written once, though its answer is lost; so is a cancellation."""
    owner = world.owner()
    network = Losing()
    app = world.app(transport=network)
    _, access = world.granted(owner, app)
    network.lose = once("POST", "/grants/")
    access.remember("once")
    owner.vault.sync()
    assert len(owner.vault.pending()) == 1
    request_id = ask(app, owner)
    network.lose = once("POST", "/access-requests/")
    app.cancel(request_id)
    assert app.status(request_id) == "cancelled"


def test_a_half_finished_import_goes_on(world: World) -> None:
    """An import cut anywhere, even after the server took a batch, ends with every memory once."""
    network = Losing()
    owner = world.owner(transport=network)
    drafts = [Draft(key=f"k{n}", source="s", content=f"memory {n}") for n in range(30)]
    with patch("coffret.flows.memories.BATCH", 10), patch("coffret.transport._TRIES", 1):
        network.lose = once("POST", "/memory-blobs/batch")
        with pytest.raises(NetworkError):
            owner.vault.import_drafts(drafts)
        network.lose = lambda _: False
        network.left = 3
        with pytest.raises(NetworkError):
            owner.vault.import_drafts(drafts)
        network.left = -1
        report = owner.vault.import_drafts(drafts)
    assert report.created + report.unchanged == 30
    assert report.unchanged >= 10
    assert sorted(memory.content for memory in owner.vault.list()) == sorted(
        draft.content for draft in drafts
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
    owner.vault.approve(request.request_id)
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
    with patch("coffret.transport.MAX_ANSWER", 1_000):
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


def test_a_session_that_is_over_is_begun_again(world: World) -> None:
    """A device whose session ended logs in by itself, and goes on with what it was doing."""
    network = Recorder()
    owner = world.owner(transport=network)
    owner.vault.remember("one")
    owner.vault._state.token = "over"
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
