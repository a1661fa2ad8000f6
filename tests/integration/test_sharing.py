"""Requests, approvals and grants, from both sides and through both faces of the SDK."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_vault.errors import (
    ConflictError,
    GrantError,
    GrantExpiredError,
    GrantPausedError,
    GrantRevokedError,
    InputError,
    NotFoundError,
    TrustError,
)
from coffret_vault.formats.layout import parse_id
from coffret_vault.formats.memory import HEADER
from harness.world import MONTH, ask

if TYPE_CHECKING:
    from coffret import App, Vault
    from harness.world import Clock, World


def test_the_owner_sees_who_asks_for_what(either: World) -> None:
    """A request is shown as the app signed it, with the memories that match it now."""
    owner, app = either.owner(), either.app()
    match = owner.vault.remember("trip", tags=["travel"], importance=0.9)
    owner.vault.remember("other", tags=["home"])
    owner.vault.remember("unimportant", tags=["travel"], importance=0.1)
    request_id = ask(
        app, owner, tags=["travel"], importance=0.5, retention="a week", scopes=["read"]
    )
    (request,) = owner.vault.requests()
    assert request.request_id == request_id
    assert request.app == msgspec.structs.replace(app.info, fingerprint="")
    assert (request.scopes, request.purpose, request.retention) == (
        frozenset({"read"}),
        "plan trips",
        "a week",
    )
    assert (request.duration, request.standing) == (MONTH, False)
    assert [memory.id for memory in request.matching] == [match.id]
    assert app.requests() == [request_id]


def test_an_approval_can_be_narrowed_in_every_way(either: World) -> None:
    """Scopes, memories and duration can be fewer than asked; the app gets exactly those."""
    owner, app = either.owner(), either.app()
    kept, left, other = (owner.vault.remember(text, tags=["t"]) for text in ("a", "b", "c"))
    request_id = ask(app, owner, tags=["t"])
    owner.vault.requests(None)
    grant_id = owner.vault.approve(
        request_id, scopes=["read"], memories=[kept.id, left.id], exclude=[left.id],
        duration=timedelta(days=1), words=app.words,
    )  # fmt: skip
    access = app.access(request_id)
    assert [memory.id for memory in access.memories()] == [kept.id]
    assert access.scopes == {"read"}
    grant = owner.vault.grant(grant_id)
    assert (grant.state, grant.memories, grant.selection.ids) == ("active", 1, frozenset({kept.id}))
    assert grant.expires - grant.created == timedelta(days=1)
    with pytest.raises(GrantError):
        access.remember("not mine to write")
    with pytest.raises(NotFoundError):
        access.get(other.id)


@pytest.mark.parametrize(
    ("narrowing", "error"),
    [
        ({"scopes": ["read", "delete"]}, TrustError),
        ({"scopes": []}, InputError),
        ({"scopes": "read"}, InputError),
        ({"duration": timedelta(days=60)}, TrustError),
        ({"duration": timedelta(0)}, InputError),
        ({"standing": True}, TrustError),
        ({"memories": ["00000000-0000-7000-8000-000000000000"]}, InputError),
        ({"memories": []}, InputError),
    ],
)
def test_an_approval_cannot_be_widened(
    world: World, narrowing: dict[str, object], error: type[Exception]
) -> None:
    """More scopes, more time, standing, or nothing at all is refused, and nothing is decided."""
    owner, app = world.owner(), world.app()
    owner.vault.remember("a")
    request_id = ask(app, owner, scopes=["read"])
    owner.vault.requests(None)
    with pytest.raises(error):
        owner.vault.approve(request_id, words=app.words, **narrowing)  # type: ignore[arg-type]
    assert app.status(request_id) == "pending"
    assert owner.vault.grants() == []


def test_a_denied_request_stays_denied(either: World) -> None:
    """After a denial the app has nothing, and neither side can change it."""
    owner, app = either.owner(), either.app()
    request_id = ask(app, owner)
    owner.vault.deny(request_id)
    assert app.status(request_id) == "denied"
    assert owner.vault.requests() == []
    assert [request.state for request in owner.vault.requests(state=None)] == ["denied"]
    owner.vault.requests(None)
    with pytest.raises(ConflictError):
        owner.vault.approve(request_id)
    with pytest.raises(ConflictError):
        app.cancel(request_id)
    with pytest.raises(ConflictError):
        app.access(request_id)


def test_a_cancelled_request_cannot_be_approved(either: World) -> None:
    """An app may take its request back, twice if it likes, and the owner can approve it no more."""
    owner, app = either.owner(), either.app()
    request_id = ask(app, owner)
    app.cancel(request_id)
    app.cancel(request_id)
    assert app.status(request_id) == "cancelled"
    owner.vault.requests(None)
    with pytest.raises(ConflictError):
        owner.vault.approve(request_id)


def test_a_newer_request_supersedes_the_older(either: World) -> None:
    """Of two requests by one app only the newer can be approved."""
    owner, app = either.owner(), either.app()
    first, second = ask(app, owner), ask(app, owner)
    assert (app.status(first), app.status(second)) == ("superseded", "pending")
    assert [request.request_id for request in owner.vault.requests()] == [second]
    owner.vault.requests(None)
    with pytest.raises(ConflictError):
        owner.vault.approve(first)


def test_a_request_lapses_after_a_week(either: World, server_clock: Clock) -> None:
    """Silence never approves: after seven days a request is over."""
    owner, app = either.owner(), either.app()
    request_id = ask(app, owner)
    server_clock.forward(days=7, seconds=1)
    try:
        app._state.token = ""
        assert app.status(request_id) == "lapsed"
        owner.vault.requests(None)
        with pytest.raises(ConflictError):
            owner.vault.approve(request_id)
    finally:
        server_clock.offset = timedelta()


def test_an_approved_request_is_not_approved_again(either: World) -> None:
    """A second approval hands nothing over, so that what was taken out stays out."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("a")
    request_id = ask(app, owner)
    owner.vault.requests(None)
    grant_id = owner.vault.approve(request_id, words=app.words)
    owner.vault.narrow(grant_id, [memory.id])
    owner.vault.requests(None)
    with pytest.raises(ConflictError):
        owner.vault.approve(request_id)
    assert app.access(request_id).memories() == []


@pytest.mark.parametrize(
    "asking",
    [
        {"scopes": []},
        {"scopes": ["fly"]},
        {"duration": timedelta(minutes=59)},
        {"purpose": "   "},
        {"everything": True, "tags": ["t"]},
        {"everything": False},
        {"memories": ["not an id"]},
        {"importance": 1.5},
        {"tags": "travel"},
    ],
)
def test_a_request_that_makes_no_sense_is_not_sent(world: World, asking: dict[str, object]) -> None:
    """A request that the format has no room for is refused on the app's own side."""
    owner, app = world.owner(), world.app()
    with pytest.raises(InputError):
        ask(app, owner, **asking)
    assert owner.vault.requests() == []


def test_ids_that_are_none_are_not_found(either: World) -> None:
    """Whatever is no id, or nobody's, is not found, on either side."""
    owner, app = either.owner(), either.app()
    for wrong in ("nonsense", "00000000-0000-7000-8000-000000000000"):
        owner.vault.requests(None)
        with pytest.raises(NotFoundError):
            owner.vault.approve(wrong)
        with pytest.raises(NotFoundError):
            owner.vault.deny(wrong)
        with pytest.raises(NotFoundError):
            owner.vault.revoke(wrong)
        with pytest.raises(NotFoundError):
            owner.vault.get(wrong)
        with pytest.raises(NotFoundError):
            app.access(wrong)
    with pytest.raises(NotFoundError):
        app.request_access("nobody", scopes=["read"], purpose="p", duration=MONTH, everything=True)


def test_pause_shuts_out_until_resume(either: World) -> None:
    """A paused grant serves nothing and takes nothing; resumed, it works as before."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    grant_id, access = either.granted(owner, app)
    owner.vault.pause(grant_id)
    assert owner.vault.grant(grant_id).state == "paused"
    for use in (access.memories, lambda: access.remember("x"), lambda: access.search("a")):
        with pytest.raises(GrantPausedError):
            use()
    with pytest.raises(GrantPausedError):
        app.access(app.requests()[0])
    with pytest.raises(ConflictError):
        owner.vault.pause(grant_id)
    owner.vault.resume(grant_id)
    assert len(access.memories()) == 1


def test_a_grant_ends_by_the_clock(either: World, server_clock: Clock) -> None:
    """After its time, by the app's clock or the server's, it serves nothing, nor is it paused."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    request_id = ask(app, owner)
    owner.vault.requests(None)
    grant_id = owner.vault.approve(request_id, duration=timedelta(hours=2), words=app.words)
    access = app.access(request_id)
    either.clock.forward(hours=3)
    with pytest.raises(GrantExpiredError):
        access.memories()
    with pytest.raises(GrantExpiredError):
        app.access(request_id)
    assert owner.vault.grant(grant_id).state == "ended"
    either.clock.offset = timedelta()
    server_clock.forward(hours=3)
    try:
        with pytest.raises(GrantExpiredError):
            access.memories()
        with pytest.raises(GrantExpiredError):
            owner.vault.pause(grant_id)
    finally:
        server_clock.offset = timedelta()


def test_revocation_is_final_and_immediate(either: World) -> None:
    """A revoked grant serves nothing from then on and cannot be changed again."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    grant_id, access = either.granted(owner, app)
    owner.vault.revoke(grant_id)
    with pytest.raises(GrantRevokedError):
        access.memories()
    with pytest.raises(GrantRevokedError):
        app.access(app.requests()[0])
    for change in (owner.vault.pause, owner.vault.resume, owner.vault.revoke):
        with pytest.raises(GrantRevokedError):
            change(grant_id)
    assert owner.vault.grant(grant_id).state == "revoked"


def test_narrowing_takes_a_memory_out_for_good(either: World) -> None:
    """A memory taken out of a grant stays out when it is changed, on whichever device."""
    owner, app = either.owner(), either.app()
    out, kept = owner.vault.remember("out"), owner.vault.remember("kept")
    grant_id, access = either.granted(owner, app)
    other = either.device(owner)
    assert owner.vault.narrow(grant_id, [out.id]) == 1
    assert owner.vault.grant(grant_id).memories == 1
    other.update(out.id, content="changed elsewhere")
    owner.vault.sync()
    owner.vault.update(out.id, content="and here")
    assert {memory.id for memory in access.memories()} == {kept.id}


def test_narrowing_that_looks_even_is_not_undone_elsewhere(either: World) -> None:
    """Another device to which a grant's count looks unchanged does not hand the memory back."""
    owner, app = either.owner(), either.app()
    out = owner.vault.remember("out", tags=["t"])
    grant_id, access = either.granted(owner, app, tags=["t"])
    other = either.device(owner)
    owner.vault.narrow(grant_id, [out.id])
    access.remember("makes the count even", tags=["t"])
    other.sync()
    other.update(out.id, content="changed elsewhere")
    assert [memory.content for memory in access.memories()] == ["makes the count even"]


def test_a_standing_grant_takes_in_what_matches_later(either: World) -> None:
    """Future memories that match are shared, from any device; the others never are."""
    owner, app = either.owner(), either.app()
    grant_id, access = either.granted(owner, app, tags=["t"], standing=True, approve_standing=True)
    first = owner.vault.remember("first", tags=["t"])
    owner.vault.remember("private", tags=["p"])
    second = either.device(owner).remember("second", tags=["t"])
    assert {memory.id for memory in access.memories()} == {first.id, second.id}
    with pytest.raises(InputError):
        owner.vault.narrow(grant_id, [first.id])


def test_a_grant_that_does_not_stand_covers_no_future_memory(either: World) -> None:
    """Without a separate choice by the owner, nothing written later is shared."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("before", tags=["t"])
    _, access = either.granted(owner, app, tags=["t"], standing=True)
    owner.vault.remember("after", tags=["t"])
    assert [memory.content for memory in access.memories()] == ["before"]


def test_rotation_keeps_other_apps_in(either: World) -> None:
    """Fresh keys after a revocation reach the grants that remain, from a device that was behind."""
    owner, gone, stays = either.owner(), either.app(), either.app("Stays")
    memory = owner.vault.remember("shared")
    gone_id, _ = either.granted(owner, gone)
    other = either.device(owner)
    _, access = either.granted(owner, stays, scopes=["read"])
    owner.vault.revoke(gone_id)
    assert other.update(memory.id, content="changed under a fresh key").version == 2
    assert access.get(memory.id).content == "changed under a fresh key"
    assert _key_number(other, memory.id) == 2
    owner.vault.sync()
    assert owner.vault.rotate() == 0


def _key_number(vault: Vault, memory_id: str) -> int:
    store = vault._state.store
    state = store.state(parse_id(memory_id))
    assert state is not None
    record = store.record(parse_id(memory_id), state.current)
    assert record is not None
    return HEADER.parse(record.header).key_number


def test_rotate_gives_fresh_keys_once(either: World) -> None:
    """Rotation rewrites what a revoked grant held, once, and the history says so."""
    owner, app = either.owner(), either.app()
    held = [owner.vault.remember(f"held {n}", tags=["t"]) for n in range(3)]
    grant_id, _ = either.granted(owner, app, tags=["t"])
    assert owner.vault.rotate() == 0
    owner.vault.revoke(grant_id)
    assert owner.vault.rotate(grant_id) == 3
    assert owner.vault.rotate(grant_id) == 0
    assert all(_key_number(owner.vault, memory.id) == 2 for memory in held)
    assert [memory.content for memory in either.device(owner).list(tags=["t"])] == [
        memory.content for memory in owner.vault.list(tags=["t"])
    ]


def test_deleting_a_memory_takes_it_from_grants(either: World) -> None:
    """What is forgotten is gone for apps at once, and counted no more."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("a")
    grant_id, access = either.granted(owner, app)
    owner.vault.forget(memory.id)
    assert access.memories() == []
    assert owner.vault.grant(grant_id).memories == 0


def test_an_app_is_loaded_from_its_file(either: World) -> None:
    """A registered app goes on from its file, which only its user can read."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a")
    either.granted(owner, app)
    path = app._state.path
    again: App = either.closing(either.face.load_app(path, **either.around()))
    assert again.info == app.info
    assert len(again.access(again.requests()[0]).memories()) == 1
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(NotFoundError):
        either.face.load_app(path.with_name("missing.json"))
