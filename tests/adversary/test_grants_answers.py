"""A server that answers for owners and apps, and an app that seals badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.http import b64
from coffret.flows.session import get
from coffret_vault.errors import (
    ConflictError,
    TrustError,
)
from coffret_vault.grants.apps import sign_request
from harness.flipping import flipped
from harness.network import Evil
from harness.world import ask

if TYPE_CHECKING:
    from harness.victim import Victim
    from harness.world import World


@pytest.mark.attack(36)
def test_an_approval_is_of_the_request_that_was_named(world: World) -> None:
    """A server that shows another request of the same app at approval is refused."""
    owner, app, greedy = world.owner(), world.app(), world.app("Greedy")
    owner.vault.remember("a", tags=["t"])
    owner.vault.remember("private")
    evil = Evil()
    victim = world.device(owner, transport=evil)
    small, large = ask(app, owner, tags=["t"], scopes=["read"]), ask(greedy, owner)
    shown = {item.request_id: item for item in victim.requests()}
    assert set(shown) == {small, large}
    answers: list[Any] = []
    evil.rewrite[f"/access-requests/{large}"] = answers.append
    victim._driver.run(get(victim._state, f"/access-requests/{large}"))
    evil.rewrite[f"/access-requests/{small}"] = lambda _: answers[0]
    victim.requests(None)
    with pytest.raises(TrustError, match="another request"):
        victim.approve(small)
    assert victim.grants() == []


@pytest.mark.attack(36)
def test_an_app_cannot_sign_a_larger_request_under_the_same_id(world: World) -> None:
    """What is approved is what was shown, though app and server exchange it in between."""
    owner, app = world.owner(), world.app()
    evil = Evil()
    victim = world.device(owner, transport=evil)
    request_id = ask(app, owner, tags=["t"], scopes=["read"])
    assert len(victim.requests()) == 1
    small = app._state.asked(request_id).parse()
    large = msgspec.structs.replace(small, scopes=frozenset(("read", "delete")))
    signed = sign_request(app._state.identity, large)
    evil.rewrite[f"/access-requests/{request_id}"] = lambda answer: answer.update(
        request=b64(signed.message), signature=b64(signed.signature)
    )
    victim.requests(None)
    with pytest.raises(TrustError, match="another request"):
        victim.approve(request_id)


@pytest.mark.attack(35)
def test_a_server_s_approval_gives_an_app_nothing(world: World) -> None:
    """A server that calls a request approved has no key to give and no signature to show."""
    evil = Evil()
    owner, app = world.owner(), world.app(transport=evil)
    request_id = ask(app, owner)
    evil.rewrite[f"/access-requests/{request_id}"] = lambda answer: answer.update(state="approved")
    assert app.status(request_id) == "approved"
    with pytest.raises(ConflictError):
        app.access(request_id)


@pytest.mark.attack(22)
def test_another_owner_s_card_is_refused_when_an_app_asks(world: World) -> None:
    """An app that asks an owner by name is not given another one."""
    evil = Evil()
    owner, other, app = world.owner(), world.owner(), world.app(transport=evil)
    account = other.vault._state.account
    evil.rewrite[f"/accounts/by-username/{owner.username}"] = lambda answer: answer.update(
        account_card=b64(account.card), card_signature=b64(account.card_signature)
    )
    with pytest.raises(TrustError):
        ask(app, owner)
    assert app.requests() == []


def test_a_broken_wrap_of_an_accepted_write_is_noticed(victim: Victim) -> None:
    """What the owner accepted opens: a server that breaks its wrap is refused, nothing is kept."""
    app = victim.world.app()
    _, access = victim.world.granted(victim.owner, app)
    written = access.remember("by the app")
    victim.owner.vault.sync()
    victim.owner.vault.accept(written.id)

    def spoil(page: list[Any]) -> None:
        for item in page[2]:
            if item[1] is not None:
                item[1][3] = flipped(item[1][3])

    victim.evil.rewrite["/sync"] = spoil
    victim.refuses(TrustError, "does not open")
    assert victim.vault.get(written.id).content == "by the app"


def test_what_an_app_sealed_badly_can_only_be_rejected(world: World) -> None:
    """An app's record that does not open is shown as such and cannot be accepted."""
    owner, app = world.owner(), world.app()
    memory = owner.vault.remember("fine")
    _, access = world.granted(owner, app)
    with patch("coffret_vault.records.seal.seal", lambda *_, **__: b"\1" + bytes(336)):
        access.update(memory.id, content="does not open")
        created = access.remember("does not open either")
    owner.vault.sync()
    waiting = owner.vault.pending()
    assert [item.proposed for item in waiting] == [None, None]
    for item in waiting:
        with pytest.raises(ConflictError, match="rejected"):
            owner.vault.accept(item.memory_id)
        owner.vault.reject(item.memory_id)
    assert [item.content for item in owner.vault.list()] == ["fine"]
    assert created.id not in {item.id for item in world.device(owner).list()}
