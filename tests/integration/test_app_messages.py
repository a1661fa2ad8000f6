"""An app writes a conversation into a vault: each exchange once, however often it is added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from coffret import App
from coffret.errors import GrantError, InputError
from coffret.flows.creating import create_unseen
from coffret_vault.grants.apps import messages_key
from harness.network import Recorder

if TYPE_CHECKING:
    from coffret import Access, Vault
    from harness.world import Owner, World

TALK = [
    {"role": "user", "content": "I am allergic to nuts."},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "What is for dinner?"},
    {"role": "assistant", "content": "Lentils."},
    {"role": "user", "content": "Again?"},
]
FIRST = "Me: I am allergic to nuts.\n\nAssistant: Noted."
SECOND = "Me: What is for dinner?\n\nAssistant: Lentils."


def counts(report: Any) -> tuple[int, int, int, int]:
    """Created, updated, unchanged, forgotten."""
    return report.created, report.updated, report.unchanged, report.forgotten


def texts(access: Access) -> set[str]:
    """What the app can read."""
    return {memory.content for memory in access.memories()}


def accept_all(vault: Vault) -> None:
    """Accept what waits."""
    vault.sync()
    for waiting in vault.pending():
        vault.accept(waiting.memory_id, waiting.version)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_conversation_that_grows_is_written_once(either: World, *, accepted: bool) -> None:
    """After every message, whole or its end alone, decided about or not: only what is new."""
    owner = either.owner()
    _, access = either.granted(owner, either.app())
    told = []
    for count in range(1, len(TALK) + 1):
        told.append(counts(access.remember_messages(TALK[:count], session="s", agent="helper")))
        if accepted:
            accept_all(owner.vault)
        again = access.remember_messages(TALK[:count], session="s", agent="helper")
        assert counts(again)[:2] == (0, 0)
    assert told == [(1, 0, 0, 0), (0, 1, 0, 0), (1, 0, 1, 0), (0, 1, 1, 0), (1, 0, 2, 0)]
    assert texts(access) == {FIRST, SECOND, "Me: Again?"}
    report = access.remember_messages(TALK[2:], session="s", agent="helper")
    assert counts(report) == (0, 0, 2, 0)
    assert [memory.content for memory in report.memories] == [SECOND, "Me: Again?"]
    assert report.memories[0].labels["agent"] == "helper"
    accept_all(owner.vault)
    assert {memory.content for memory in owner.vault.list()} == texts(access)
    assert {memory.author for memory in owner.vault.list()} != {"owner"}


@pytest.mark.parametrize("fate", ["rejected", "deleted", "narrowed"])
def test_what_the_owner_turned_away_is_not_written_again(either: World, fate: str) -> None:
    """Rejected, deleted, or taken out of the grant: it stays so, and the rest is written."""
    owner = either.owner()
    grant_id, access = either.granted(owner, either.app())
    first = access.remember_messages(TALK[:2], session="s").memories[0].id
    owner.vault.sync()
    if fate == "rejected":
        owner.vault.reject(first)
    else:
        owner.vault.accept(first)
        if fate == "deleted":
            owner.vault.forget(first)
        else:
            owner.vault.narrow(grant_id, [first])
    for created in (2, 0):
        report = access.remember_messages(TALK, session="s")
        assert (report.created, report.forgotten) == (created, 1)
    assert FIRST not in texts(access)
    assert {SECOND, "Me: Again?"} <= texts(access)


def test_an_exchange_that_grew_needs_update(either: World) -> None:
    """A grant that only creates writes whole exchanges; what would grow stops it beforehand."""
    owner = either.owner()
    _, access = either.granted(owner, either.app(), scopes={"create"})
    assert access.remember_messages(TALK[:4], session="s").created == 2
    assert access.remember_messages(TALK, session="s").created == 1
    more = [*TALK, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Ok."}]
    with pytest.raises(GrantError, match="update"):
        access.remember_messages(more, session="s")
    owner.vault.sync()
    assert len(owner.vault.pending()) == 3


def test_a_grant_that_cannot_create_writes_none(world: World) -> None:
    """Nor is anything sent but what reads."""
    owner, network = world.owner(), Recorder()
    _, access = world.granted(owner, world.app(transport=network), scopes={"read"})
    network.requests.clear()
    with pytest.raises(GrantError, match="create"):
        access.remember_messages(TALK)
    assert {request.method for request in network.requests} <= {"GET"}


@pytest.mark.parametrize("messages", [[], [7], [{"role": "user"}], [{"role": "x", "content": "y"}]])
def test_what_is_no_message_writes_nothing(either: World, messages: list[Any]) -> None:
    """As for an owner; a message that is none keeps back those before it too."""
    _, access = either.granted(either.owner(), either.app())
    with pytest.raises(InputError):
        access.remember_messages([*TALK, *messages] if messages else [])
    with pytest.raises(TypeError, match="sesion"):
        access.remember_messages(TALK, sesion="s")  # type: ignore[call-arg]
    assert texts(access) == set()


def test_another_process_of_the_app_writes_it_once(world: World) -> None:
    """What another copy of the app wrote meanwhile is known again, and not called forgotten."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app)
    (request_id,) = app.requests()
    with App.load(app._state.path, **world.around()) as other:
        twin = other.access(request_id)

        def late(*given: Any) -> Any:
            with patch("coffret.proposing.create_unseen", create_unseen):
                twin.remember_messages(TALK[:4], session="s")
            return create_unseen(*given)

        with patch("coffret.proposing.create_unseen", late):
            report = access.remember_messages(TALK, session="s")
    assert counts(report) == (1, 0, 2, 0)
    assert [memory.content for memory in report.memories] == [FIRST, SECOND, "Me: Again?"]
    assert len(access.memories()) == 3


def test_nobody_can_tell_by_ids_what_was_said(world: World) -> None:
    """Ids of the same words differ by owner and by app: their key is the app's, for one owner."""
    owners = world.owner(), world.owner()
    apps = world.app("One"), world.app("Two")
    made = {
        world.granted(owner, app)[1].remember_messages(TALK[:2], session="s").memories[0].id
        for owner in owners
        for app in apps
    }
    assert len(made) == 4
    seeds, accounts = apps[0]._state.file.seeds, [_account(owner) for owner in owners]
    names = [owner.username for owner in owners]
    keys = {messages_key(seeds, each, name).reveal() for each in accounts for name in names}
    assert len(keys) == 4
    assert not keys & {seeds[:32], seeds[32:]}


def _account(owner: Owner) -> bytes:
    return owner.vault._state.account_id


def test_many_that_were_turned_away_stop_nothing(world: World) -> None:
    """However many are there and not shown, each of the others is written, in few requests."""
    owner, network = world.owner(), Recorder()
    grant_id, access = world.granted(owner, world.app(transport=network))
    talk = [
        {"role": role, "content": f"{role} {number}"}
        for number in range(40)
        for role in ("user", "assistant")
    ]
    gone = access.remember_messages(talk[:32], session="s").memories
    accept_all(owner.vault)
    owner.vault.narrow(grant_id, [memory.id for memory in gone[::5]])
    network.requests.clear()
    report = access.remember_messages(talk, session="s")
    assert counts(report) == (24, 0, 12, 4)
    assert len(network.requests) < 60
