"""What an owner is shown when an app asks: the request that was signed, and all that it covers."""

from __future__ import annotations

import unicodedata
from contextlib import ExitStack, redirect_stderr
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from cli_harness import Cli, new_name
from coffret import Vault
from coffret.cli.showing import request_parts
from coffret.cli.writing import Writer
from coffret.flows.http import b64
from coffret_vault.errors import InputError, NetworkError, OpenError, TrustError
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.sharing import ACCESS_REQUEST
from coffret_vault.grants.approve import CheckedRequest, check_request
from coffret_vault.grants.apps import sign_request
from coffret_vault.records.seal import open_version
from harness.keeping import keeping_keys
from harness.network import Evil, Losing
from harness.world import MONTH, PASSPHRASE, ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret_vault.grants.apps import Signed
    from coffret_vault.primitives.secret import SecretBytes
    from harness.world import World

OVERRIDE, ISOLATE, MARK, JOINER, ESCAPE = "\u202e", "\u2066", "\u200f", "\u200d", "\x1b[2K"
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
NAME = f"Planner{OVERRIDE}{JOINER}{ESCAPE}"
PURPOSE = f"maps{ISOLATE}\u2028Wants to:     read\r\nApproved.{ESCAPE}{MARK}" + "very " * 150
TAG = f"travel{OVERRIDE}"
LIE = "Wants to:     read"
SHOWN = """\
App:          Planner[2K
Wants to:     create, delete, read, update
Which:        memories tagged travel
What for:     mapsWants to: readApproved.[2K{very}
Retention:    it promises nothing
How long:     30 days
Later ones:   asks for memories written later too
""".format(very=("very " * 150).strip())


def written(vault: Vault) -> str:
    """What a person reads about the one request."""
    (request,) = vault.requests()
    with redirect_stderr(StringIO()) as err:
        Writer().notes(request_parts(request))
    return err.getvalue().removesuffix("\n")


def unseen(text: str) -> set[str]:
    """The characters of a text, line ends apart, that show nothing or move others about."""
    return {sign for sign in text if sign != "\n" and unicodedata.category(sign) in UNSEEN}


@pytest.mark.attack(36)
def test_what_an_app_says_of_itself_cannot_rewrite_the_screen(world: World) -> None:
    """Bidirectional and control characters, new lines and long texts leave each thing in its line.

    A snapshot: the id is different each time, and nothing else is.
    """
    owner = world.owner()
    ask(world.app(NAME), owner, tags=[TAG], purpose=PURPOSE, standing=True)
    lines = written(owner.vault).splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("Request:", " "))]
    assert "".join(kept) + "\n" == SHOWN
    assert unseen("".join(lines)) == set()
    assert sum(line.startswith("Wants to:") for line in lines) == 1


@pytest.mark.control(36)
def test_a_screen_that_shows_texts_as_they_come_is_rewritten(world: World) -> None:
    """Control: without the cleaning a line appears that the device did not write."""
    owner = world.owner()
    ask(world.app(NAME), owner, tags=[TAG], purpose=PURPOSE, standing=True)
    with ExitStack() as stack:
        for where in ("flows.requests", "cli.showing", "cli.writing", "sharing"):
            stack.enter_context(patch(f"coffret.{where}.shown", lambda text, **_: text))
        stack.enter_context(patch("coffret.cli.showing.one_line", str))
        text = written(owner.vault)
    assert {OVERRIDE, ISOLATE, "\x1b"} <= unseen(text)
    assert LIE in text.splitlines()


TITLES = (f"A{OVERRIDE}\n{LIE}", f"B\u2028{LIE}", f"C\r\x0b{LIE}" + "x" * 150)


def listed(world: World, folder: Path) -> tuple[Cli, tuple[str, ...]]:
    """An owner on the command line, memories of misleading titles, and how to approve who asks."""
    cli = Cli(folder)
    username = new_name("shown")
    cli.init(world.url, username)
    for number, title in enumerate(TITLES):
        cli("remember", f"memory {number}", "--title", title, "--tag", f"travel\u2028{LIE}")
    app = world.app(NAME)
    request_id = app.request_access(
        username, scopes=["read"], purpose=PURPOSE, duration=MONTH, everything=True
    )
    return cli, ("approve", request_id, "--yes", "--words", app.words)


@pytest.mark.attack(36)
def test_what_is_listed_cannot_be_rewritten_by_titles(world: World, tmp_path: Path) -> None:
    """Titles and tags, which apps may have written, take one line of each list and view."""
    cli, approval = listed(world, tmp_path / "home")
    shown = cli(*approval).err
    assert unseen(shown) == set()
    assert sum(line.startswith(LIE) for line in shown.splitlines()) == 1
    inside = [line for line in shown.splitlines() if "Wants to: read" in line]
    assert [line[:9] for line in inside].count("What for:") == 1
    assert len(inside) == len(TITLES) + 1
    for memory in cli("list", "--json").data():
        view = cli("show", memory["id"]).out
        assert not any(line.startswith(LIE) for line in view.splitlines())
        assert unseen(view) == set()
    found = cli("search", "memory").out
    assert not any(line.startswith(LIE) for line in found.splitlines())


@pytest.mark.control(36)
def test_a_list_that_takes_titles_as_they_come_is_rewritten(world: World, tmp_path: Path) -> None:
    """Control: were titles not brought into one line, what they hold would be lines."""
    cli, approval = listed(world, tmp_path / "home")
    with (
        patch("coffret.cli.showing.one_line", str),
        patch("coffret.cli.approval.one_line", str),
    ):
        shown = cli(*approval).err
    assert sum(line.startswith(LIE) for line in shown.splitlines()) > len(TITLES)


@pytest.mark.attack(36)
def test_fields_for_showing_that_a_server_adds_are_not_shown(world: World) -> None:
    """Names, scopes and texts beside the signed bytes change nothing that the owner reads."""
    owner, evil = world.owner(), Evil()
    ask(world.app(), owner)
    honest = written(owner.vault)
    victim = world.device(owner, transport=evil)
    fields = {
        "name": "Your own device", "app": {"name": "Trusted"}, "scopes": ["read"], "purpose": "-",
        "selection": {"ids": []}, "duration": 60, "matching": [], "warnings": [], "fingerprint": "",
        "display": LIE,
    }  # fmt: skip
    evil.rewrite["/access-requests"] = partial(_all, fields)
    assert written(victim) == honest


def _all(fields: dict[str, Any], answer: list[dict[str, Any]]) -> None:
    for item in answer:
        item.update(fields)


def smaller(app: Any, request_id: str) -> dict[str, str]:
    """The request as a server would like the owner to see it."""
    request = msgspec.structs.replace(
        app._state.asked(request_id).parse(), scopes=frozenset(("read",)), seconds=3_600
    )
    return {"request": b64(ACCESS_REQUEST.serialize(request))}


@pytest.mark.attack(36)
def test_a_smaller_request_than_the_signed_one_is_not_shown(world: World) -> None:
    """A server cannot show the owner less than the app asked for."""
    owner, app, evil = world.owner(), world.app(), Evil()
    request_id = ask(app, owner)
    victim = world.device(owner, transport=evil)
    evil.rewrite["/access-requests"] = partial(_all, smaller(app, request_id))
    with pytest.raises(TrustError):
        victim.requests()


@pytest.mark.control(36)
def test_a_device_that_shows_what_the_server_says_is_deceived(world: World) -> None:
    """Control: shown from unsigned fields, a request for everything looks like a modest one."""
    owner, app, evil = world.owner(), world.app(), Evil()
    request_id = ask(app, owner)
    victim = world.device(owner, transport=evil)
    evil.rewrite["/access-requests"] = partial(_all, {"scopes": ["read"]})

    def believing(signed: Signed, *others: Any) -> CheckedRequest:
        asked = check_request(signed, *others)
        told = msgspec.structs.replace(asked.request, scopes=frozenset(("read",)))
        return msgspec.structs.replace(asked, request=told)

    with patch("coffret.flows.requests.check_request", believing):
        assert LIE in written(victim).splitlines()
    assert "Wants to:     create, delete, read, update" in written(owner.vault)
    assert app.status(request_id) == "pending"


# -- an app that asks for everything ------------------------------------------------------------


def hoarded(access: Any) -> list[SecretBytes]:
    """Every key that an app can lay hands on."""
    access.refresh()
    return [access._held.key, *(item.key for item in access._shelf._readable.values())]


def opened(vault: Vault, keys: list[SecretBytes]) -> set[str]:
    """The memories of which any of these keys opens the version that stands."""
    found = set()
    for memory_id in vault.memory_ids():
        state = vault._state.store.state(parse_id(memory_id))
        assert state is not None
        record = vault._state.store.record(parse_id(memory_id), state.current)
        assert record is not None
        for key in keys:
            try:
                open_version(record.header, record.envelope, key)
            except OpenError:
                continue
            found.add(memory_id)
    return found


@pytest.mark.attack(37)
def test_who_asks_for_everything_is_shown_to_ask_for_everything(world: World) -> None:
    """The owner sees each memory that it covers, can leave any out, and no request is endless."""
    owner, app = world.owner(), world.app()
    all_ids = {owner.vault.remember(f"memory {n}", sealed=n % 2 == 0).id for n in range(8)}
    with pytest.raises(InputError):
        ask(app, owner, duration=MONTH * 130)
    request_id = ask(app, owner, duration=MONTH * 12, standing=True)
    (request,) = owner.vault.requests()
    assert {memory.id for memory in request.matching} == all_ids
    assert request.selection.everything
    assert "every memory" in written(owner.vault)
    out = set(list(all_ids)[:3])
    owner.vault.approve(request_id, exclude=out, scopes=["read"], duration=MONTH, words=app.words)
    access = app.access(request_id)
    assert {memory.id for memory in access.memories()} == all_ids - out
    assert opened(owner.vault, hoarded(access)) == all_ids - out


@pytest.mark.attack(37)
@pytest.mark.attack(38)
def test_a_hoard_of_every_key_opens_nothing_that_is_written_later(world: World) -> None:
    """An app that had everything reads nothing that was written, changed or rotated afterwards."""
    owner, app = world.owner(), world.app()
    memories = [owner.vault.remember(f"memory {n}") for n in range(6)]
    grant_id, access = world.granted(owner, app, standing=True, approve_standing=True)
    keys = hoarded(access)
    assert opened(owner.vault, keys) == {memory.id for memory in memories}
    owner.vault.revoke(grant_id)
    for memory in memories[:3]:
        owner.vault.update(memory.id, content="changed")
    new = owner.vault.remember("new")
    assert opened(owner.vault, keys) == {memory.id for memory in memories[3:]}
    owner.vault.rotate()
    assert opened(owner.vault, keys) == set()
    assert new.id in owner.vault.memory_ids()


@pytest.mark.control(37)
@pytest.mark.control(38)
def test_with_one_key_for_ever_a_hoard_opens_what_is_written_later(world: World) -> None:
    """Control: a vault that keeps its keys after a revocation is read by whoever had them."""
    owner, app = world.owner(), world.app()
    memories = [owner.vault.remember(f"memory {n}") for n in range(3)]
    grant_id, access = world.granted(owner, app)
    keys = hoarded(access)
    owner.vault.revoke(grant_id)
    with keeping_keys():
        for memory in memories:
            owner.vault.update(memory.id, content="changed")
    assert opened(owner.vault, keys) == {memory.id for memory in memories}


def _as_asked(_shown: str) -> dict[str, Any]:
    return {}


def _but_one(shown: str) -> dict[str, Any]:
    return {"exclude": [shown]}


@pytest.mark.attack(36, 37)
@pytest.mark.parametrize("terms", [_as_asked, _but_one])
@pytest.mark.parametrize("alone", [False, True])
def test_what_comes_behind_the_list_is_not_shared(
    world: World, terms: Callable[[str], dict[str, Any]], *, alone: bool
) -> None:
    """A memory that a server shows the device between looking and approving joins no grant."""
    owner, app = world.owner(), world.app()
    first, second = (owner.vault.remember(text, tags=["t"]).id for text in ("first", "second"))
    device = world.device(owner)
    request_id = ask(app, owner, tags=["t"])
    shown = device.request(request_id) if alone else device.requests()[0]
    assert {memory.id for memory in shown.matching} == {first, second}
    owner.vault.remember("written meanwhile", tags=["t"])
    tagged = owner.vault.remember("tagged meanwhile").id
    owner.vault.update(tagged, tags=["t"])
    how = terms(first)
    grant_id = device.approve(request_id, words=app.words, **how)
    wanted = {first, second} - {*how.get("exclude", ())}
    assert {memory.id for memory in app.access(request_id).memories()} == wanted
    assert device.grant(grant_id).memories == len(wanted)


@pytest.mark.control(36, 37)
def test_without_the_list_that_was_shown_a_server_adds_to_it(world: World) -> None:
    """Control: a device that shares whatever matches when it is decided shares what nobody saw."""
    owner, app = world.owner(), world.app()
    device = world.device(owner)
    request_id = ask(app, owner, tags=["t"])
    assert device.requests()[0].matching == ()
    later = owner.vault.remember("written meanwhile", tags=["t"]).id
    with patch("coffret.flows.approval.was_shown", return_value=None):
        device.approve(request_id, words=app.words)
    assert [memory.id for memory in app.access(request_id).memories()] == [later]


def test_who_lets_a_grant_stand_or_names_memories_shares_these(world: World) -> None:
    """What the owner says in so many words holds, whatever was shown with the request."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner, tags=["t"], standing=True)
    owner.vault.requests()
    later = owner.vault.remember("written meanwhile", tags=["t"]).id
    owner.vault.approve(request_id, words=app.words, standing=True)
    assert [memory.id for memory in app.access(request_id).memories()] == [later]
    again = ask(app, owner, tags=["t"])
    owner.vault.requests()
    last = owner.vault.remember("written last", tags=["t"]).id
    owner.vault.approve(again, memories=[last])
    assert [memory.id for memory in app.access(again).memories()] == [last]


def test_an_interrupted_approval_that_leaves_some_out_goes_on(world: World) -> None:
    """Said again by a device that was started anew, it finds what it had decided."""
    network = Losing()
    owner, app = world.owner(transport=network), world.app()
    first, second = (owner.vault.remember(text, tags=["t"]).id for text in ("first", "second"))
    request_id = ask(app, owner, tags=["t"])
    owner.vault.requests()
    network.lose = lambda request: request.url.path.endswith("/activate")
    network.reaching = False
    with pytest.raises(NetworkError):
        owner.vault.approve(request_id, words=app.words, exclude=[first])
    owner.vault.close()
    again = world.closing(Vault.open(owner.vault.folder, **world.around()))
    again.unlock(PASSPHRASE, owner.secret_key)
    again.requests(None)
    again.approve(request_id, exclude=[first])
    assert [memory.id for memory in app.access(request_id).memories()] == [second]


@pytest.mark.attack(33, 36)
@pytest.mark.parametrize("last", [True, False])
def test_no_request_takes_the_place_of_another_by_its_id(world: World, *, last: bool) -> None:
    """An app that was approved before is not approved for what another one asks, by the same id."""
    owner, evil = world.owner(), Evil()
    honest, other = world.app("A", "https://a.example"), world.app("B", "https://b.example")
    for app in (honest, other):
        world.granted(owner, app, tags=["old"])
    device = world.device(owner, transport=evil)
    request_id = ask(honest, owner, tags=["food"], scopes=["read"])
    wide = other._state.asked(ask(other, owner)).parse()
    named = msgspec.structs.replace(wide, request_id=parse_id(request_id))
    signed = sign_request(other._state.identity, named)

    def exchange(answer: dict[str, Any]) -> None:
        answer["request_id"] = request_id
        answer["request"], answer["signature"] = b64(signed.message), b64(signed.signature)

    def listed(answers: list[dict[str, Any]]) -> None:
        (theirs,) = (item for item in answers if item["request_id"] != request_id)
        exchange(theirs)
        shown.update(theirs)
        answers.sort(key=lambda item: (item is theirs) is last)

    shown: dict[str, Any] = {}
    evil.rewrite["/access-requests"] = listed
    evil.rewrite[f"/access-requests/{request_id}"] = lambda _: shown
    with pytest.raises(TrustError, match="one id"):
        device.requests()
    with pytest.raises(InputError, match="look at the request"):
        device.approve(request_id)
    assert not [item for item in evil.requests if item.url.path.endswith("/decision")]
