"""What apps write, what others see of it, and what the owner makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coffret.flows import access as access_flows
from coffret.flows.http import VersionConflictError
from coffret_vault.errors import ConflictError, GrantError, NotFoundError
from harness.world import ask

if TYPE_CHECKING:
    from harness.world import World


def test_what_an_app_creates_waits_for_the_owner(either: World) -> None:
    """A creation is pending, marked with its author, not listed, and the owner's once accepted."""
    owner, app = either.owner(), either.app()
    grant_id, access = either.granted(owner, app)
    written = access.remember("by the app", title="App's", tags=["t"])
    assert written.review.status == "pending_review"
    owner.vault.sync()
    (waiting,) = owner.vault.pending()
    assert (waiting.memory_id, waiting.app_id) == (written.id, app.info.app_id)
    assert waiting.current is None
    assert waiting.proposed is not None
    assert waiting.proposed.content == "by the app"
    assert list(owner.vault.list()) == []
    assert owner.vault.search("app", mode="words") == []
    accepted = owner.vault.accept(written.id)
    assert accepted is not None
    assert accepted.author == app.info.app_id
    assert (accepted.review.status, accepted.review.by) == ("approved", "owner")
    assert accepted.review.at is not None
    assert [memory.id for memory in owner.vault.list(authors=[app.info.app_id])] == [written.id]
    assert access.get(written.id).review.status == "approved"
    assert owner.vault.pending() == []
    assert either.device(owner).get(written.id) == accepted
    assert owner.vault.grant(grant_id).memories == 1


def test_what_waits_is_taken_out_of_a_grant_once_it_is_in_it(either: World) -> None:
    """Whoever narrows before the decision is told so: by accepting, the app is given the key."""
    owner, app = either.owner(), either.app()
    grant_id, access = either.granted(owner, app)
    written = access.remember("by the app")
    owner.vault.sync()
    with pytest.raises(ConflictError, match=written.id):
        owner.vault.narrow(grant_id, [written.id])
    owner.vault.accept(written.id)
    assert owner.vault.grant(grant_id).memories == 1
    assert owner.vault.narrow(grant_id, [written.id]) == 1
    assert access.memories() == []


def test_an_update_waits_beside_what_counts(either: World) -> None:
    """A proposed change leaves the memory as it is for all but its author, until it is accepted."""
    owner, app, reader = either.owner(), either.app(), either.app("Reader")
    memory = owner.vault.remember("before", title="Title")
    _, access = either.granted(owner, app)
    _, other = either.granted(owner, reader, scopes=["read"])
    assert access.update(memory.id, content="after").version == 2
    assert access.get(memory.id).content == "after"
    assert other.get(memory.id).content == "before"
    owner.vault.sync()
    assert owner.vault.get(memory.id).content == "before"
    (waiting,) = owner.vault.pending()
    assert waiting.current is not None
    assert (waiting.version, waiting.current.content) == (2, "before")
    accepted = owner.vault.accept(memory.id)
    assert accepted is not None
    assert (accepted.content, accepted.title, accepted.version) == ("after", "Title", 2)
    assert other.get(memory.id).content == "after"


def test_a_proposed_deletion_deletes_only_when_accepted(either: World) -> None:
    """An app's deletion is a question: turned down nothing happens, accepted it is final."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("here")
    _, access = either.granted(owner, app)
    access.forget(memory.id)
    owner.vault.sync()
    (waiting,) = owner.vault.pending()
    assert waiting.deletion
    owner.vault.reject(memory.id)
    assert owner.vault.get(memory.id).content == "here"
    access.forget(memory.id)
    owner.vault.sync()
    assert owner.vault.accept(memory.id) is None
    with pytest.raises(NotFoundError):
        owner.vault.get(memory.id)
    assert access.memories() == []
    assert either.device(owner).status().memories == 0


def test_what_waits_cannot_be_deleted_by_its_app(either: World) -> None:
    """It is said, and not that the memory was changed, which would be tried again for ever."""
    owner = either.owner()
    _, access = either.granted(owner, either.app(), scopes=["read", "create", "update", "delete"])
    made = access.remember("by the app")
    for _ in range(2):
        with pytest.raises(ConflictError, match="not accepted") as raised:
            access.forget(made.id)
        assert not isinstance(raised.value, VersionConflictError)
        access.update(made.id, content="changed")
    owner.vault.sync()
    owner.vault.accept(made.id, 1)
    access.forget(made.id)


def test_a_deletion_takes_nothing_that_was_written_behind_it(either: World) -> None:
    """What another device wrote after a deletion was proposed is not deleted by accepting that."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("before")
    _, access = either.granted(owner, app)
    access.forget(memory.id)
    owner.vault.sync()
    either.device(owner).update(memory.id, content="much more")
    for _ in ("read only when the deletion is sent", "known when it is accepted"):
        with pytest.raises(ConflictError, match="after its deletion was proposed"):
            owner.vault.accept(memory.id)
        assert owner.vault.get(memory.id).content == "much more"
    owner.vault.reject(memory.id)
    assert either.device(owner).get(memory.id).content == "much more"


def test_a_deletion_is_accepted_of_what_its_owner_looked_at(either: World) -> None:
    """Where another version became current meanwhile, the owner is asked to look again."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("before")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="by the app")
    access.forget(memory.id)
    other = either.device(owner)
    owner.vault.sync()
    owner.vault.accept(memory.id, version=2)
    with pytest.raises(ConflictError, match="look at it again"):
        other.accept(memory.id, version=3)
    assert other.get(memory.id).content == "by the app"
    assert other.accept(memory.id) is None


def test_what_is_rejected_leaves_everything_as_it_was(either: World) -> None:
    """After a rejection the app reads what counts again, and may propose anew."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="worse")
    owner.vault.sync()
    owner.vault.reject(memory.id, version=2)
    assert owner.vault.get(memory.id).content == "original"
    assert access.get(memory.id).content == "original"
    assert access.update(memory.id, content="better").version == 3
    owner.vault.sync()
    accepted = owner.vault.accept(memory.id)
    assert accepted is not None
    assert accepted.content == "better"
    with pytest.raises(NotFoundError):
        owner.vault.accept(memory.id)


def test_a_rejected_creation_is_shown_as_such(either: World) -> None:
    """What an app created and the owner turned down is nobody's memory, and the app is told."""
    owner, app = either.owner(), either.app()
    _, access = either.granted(owner, app)
    written = access.remember("spam")
    owner.vault.sync()
    owner.vault.reject(written.id)
    assert access.get(written.id).review.status == "rejected"
    assert list(owner.vault.list()) == []
    assert owner.vault.status().memories == 0


def test_two_apps_propose_without_seeing_each_other(either: World) -> None:
    """Proposals of one app neither show to another nor stop it from proposing."""
    owner, one, two = either.owner(), either.app("One"), either.app("Two")
    memory = owner.vault.remember("original")
    _, first = either.granted(owner, one)
    _, second = either.granted(owner, two)
    first.update(memory.id, content="from one")
    hidden = first.remember("only one's")
    assert second.get(memory.id).content == "original"
    with pytest.raises(NotFoundError):
        second.get(hidden.id)
    assert second.search("only", mode="words") == []
    assert second.update(memory.id, content="from two").version == 3
    second.forget(memory.id)
    owner.vault.sync()
    assert [(item.version, item.deletion) for item in owner.vault.pending()] == [
        (2, False), (1, False), (3, False), (4, True),
    ]  # fmt: skip


def test_an_overtaken_proposal_becomes_a_new_version(either: World) -> None:
    """A proposal accepted after a newer version is written again as the newest of all."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="proposed")
    owner.vault.sync()
    assert owner.vault.update(memory.id, content="owner's own").version == 3
    accepted = owner.vault.accept(memory.id, version=2)
    assert accepted is not None
    assert (accepted.content, accepted.version, accepted.author) == ("proposed", 4, "owner")
    assert owner.vault.pending() == []
    assert either.device(owner).get(memory.id).content == "proposed"


def test_an_overtaken_proposal_takes_the_place_of_what_its_owner_looked_at(either: World) -> None:
    """Not of what another device wrote meanwhile, which is read only when that is sent."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.update(memory.id, content="proposed")
    owner.vault.sync()
    owner.vault.update(memory.id, content="owner's own")
    either.device(owner).update(memory.id, content="of a minute ago")
    with pytest.raises(ConflictError, match="look at it again"):
        owner.vault.accept(memory.id, version=2)
    assert owner.vault.get(memory.id).content == "of a minute ago"
    assert [item.version for item in owner.vault.pending()] == [2]
    owner.vault.accept(memory.id, version=2)
    assert either.device(owner).get(memory.id).content == "proposed"


def test_an_app_is_told_when_the_owner_was_faster(either: World) -> None:
    """A proposal made for a version that the owner has replaced since is refused."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app)
    access.refresh()
    inner: Any = either.face.unwrapped(access)
    known = inner._shelf.one(memory.id)
    owner.vault.update(memory.id, content="changed")
    flow = access_flows.update(inner._state, inner._held, known, lambda fields: fields)
    with pytest.raises(ConflictError):
        either.face.waiting(inner._driver.run)(flow)


def test_what_waits_behind_what_was_accepted_stops_no_sync(either: World) -> None:
    """Where an owner took a later version while a grant was paused, the first one waits on."""
    owner, app = either.owner(), either.app()
    scopes = ["create", "read", "update"]
    grant_id, access = either.granted(owner, app, scopes=scopes, auto_accept=True)
    made = access.remember("first")
    access.update(made.id, content="second")
    owner.vault.pause(grant_id)
    owner.vault.accept(made.id, 2)
    owner.vault.resume(grant_id)
    owner.vault.sync()
    assert [item.version for item in owner.vault.pending()] == [1]
    assert owner.vault.get(made.id).content == "second"
    access.remember("more")
    owner.vault.sync()
    assert {memory.content for memory in owner.vault.list()} == {"second", "more"}


def test_auto_accept_takes_in_creations_and_changes_but_no_deletions(either: World) -> None:
    """Under a grant that the owner trusts, writings count after a sync; deletions still wait."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("original")
    _, access = either.granted(owner, app, auto_accept=True)
    written = access.remember("created")
    access.update(memory.id, content="changed")
    owner.vault.sync()
    assert {item.content for item in owner.vault.list()} == {"created", "changed"}
    access.forget(written.id)
    owner.vault.sync()
    assert [item.deletion for item in owner.vault.pending()] == [True]
    assert owner.vault.get(written.id).review.status == "approved"


def test_one_app_is_not_trusted_because_another_is(either: World) -> None:
    """Auto-acceptance of one app's grant leaves what another app writes waiting."""
    owner, trusted, other = either.owner(), either.app("Trusted"), either.app("Other")
    memory = owner.vault.remember("original")
    either.granted(owner, trusted, auto_accept=True)
    _, access = either.granted(owner, other)
    access.update(memory.id, content="changed")
    owner.vault.sync()
    assert owner.vault.get(memory.id).content == "original"
    assert len(owner.vault.pending()) == 1


def test_scopes_bound_what_an_app_may_do(either: World) -> None:
    """Without a scope its use is refused by the SDK, and what is read needs reading."""
    owner, app = either.owner(), either.app()
    memory = owner.vault.remember("a")
    _, reading = either.granted(owner, app, scopes=["read"])
    for use in (
        lambda: reading.remember("x"),
        lambda: reading.update(memory.id, content="x"),
        lambda: reading.forget(memory.id),
    ):
        with pytest.raises(GrantError):
            use()
    writer = either.app("Writer")
    _, writing = either.granted(owner, writer, scopes=["create"])
    mine = writing.remember("mine")
    assert [item.id for item in writing.memories()] == [mine.id]


def test_a_decision_made_twice_is_made_once(either: World) -> None:
    """Two devices that accept the same proposal agree: the second is told that it is decided."""
    owner, app = either.owner(), either.app()
    _, access = either.granted(owner, app)
    written = access.remember("by the app")
    owner.vault.sync()
    other = either.device(owner)
    owner.vault.accept(written.id)
    with pytest.raises((ConflictError, NotFoundError)):
        other.accept(written.id)
    assert other.get(written.id).review.status == "approved"


@pytest.mark.parametrize("first", ["accept", "reject"])
def test_what_was_decided_meanwhile_is_not_rejected(either: World, first: str) -> None:
    """A device that rejects what another one decided is told so; its server is not accused."""
    owner, app = either.owner(), either.app()
    _, access = either.granted(owner, app)
    written = access.remember("by the app")
    owner.vault.sync()
    other = either.device(owner)
    getattr(owner.vault, first)(written.id)
    with pytest.raises(ConflictError):
        other.reject(written.id)
    assert not other.evidence()


def test_an_app_searches_what_it_was_granted(either: World) -> None:
    """An app's search finds by words and meaning within its grant, and nothing outside it."""
    owner, app = either.owner(), either.app()
    owner.vault.remember("a hotel in Porto", tags=["travel"])
    owner.vault.remember("the hotel of my heart", tags=["private"])
    either.granted(owner, app, tags=["travel"])
    access = app.access(app.requests()[0])
    assert [hit.memory.content for hit in access.search("hotel")] == ["a hotel in Porto"]
    assert [memory.tags for memory in access.memories()] == [("travel",)]


def test_a_proposal_after_a_revocation_is_refused(either: World) -> None:
    """An app whose grant is over can write nothing more, and what it wrote still waits."""
    owner, app = either.owner(), either.app()
    grant_id, access = either.granted(owner, app)
    access.remember("in time")
    owner.vault.revoke(grant_id)
    with pytest.raises(GrantError):
        access.remember("too late")
    owner.vault.sync()
    assert len(owner.vault.pending()) == 1
    assert ask(app, owner) in {request.request_id for request in owner.vault.requests()}


@pytest.mark.parametrize("version", [1, 2])
def test_an_app_goes_on_reading_what_it_made_in_two_steps(world: World, version: int) -> None:
    """Whichever of its versions is accepted, and although another app is given that as well."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, scopes=["create", "read", "update"])
    other = world.app("Other", "https://other.example")
    world.granted(owner, other, scopes=["read"], standing=True, approve_standing=True)
    made = access.remember("first")
    access.update(made.id, content="second")
    owner.vault.sync()
    owner.vault.accept(made.id, version)
    for item in owner.vault.pending():
        owner.vault.reject(item.memory_id, item.version)
    owner.vault.update(made.id, content="by the owner")
    access.refresh()
    assert access.get(made.id).content == "by the owner"


def test_what_was_made_in_two_steps_is_accepted_unseen_as_it_is_then(world: World) -> None:
    """Although another app is given it, so that it is written again as the owner's."""
    owner, app = world.owner(), world.app()
    _, access = world.granted(owner, app, auto_accept=True)
    other = world.app("Other", "https://other.example")
    _, reader = world.granted(owner, other, scopes=["read"], standing=True, approve_standing=True)
    made = access.remember("first")
    access.update(made.id, content="second")
    owner.vault.sync()
    assert list(owner.vault.pending()) == []
    for one in (owner.vault, access, reader):
        assert one.get(made.id).content == "second"
