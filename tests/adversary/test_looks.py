"""An approval is of the look that a person had, whatever else looks in the same program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret.flows.http import b64
from coffret_vault.errors import TrustError
from coffret_vault.grants.apps import sign_request
from harness.network import Evil, updating
from harness.world import ask

if TYPE_CHECKING:
    from harness.world import World


@pytest.mark.parametrize(
    "by_id",
    [
        pytest.param(False, marks=pytest.mark.attack(36, 37)),
        pytest.param(True, marks=pytest.mark.control(36, 37)),
    ],
)
def test_what_else_looks_in_a_program_is_not_what_the_owner_was_shown(
    world: World, *, by_id: bool
) -> None:
    """Approved as it was shown, a request shares what it covered then; by its id, what it does."""
    owner, app = world.owner(), world.app()
    first = owner.vault.remember("first", tags=["t"]).id
    request_id = ask(app, owner, tags=["t"])
    (shown,) = owner.vault.requests()
    later = owner.vault.remember("written meanwhile", tags=["t"]).id
    owner.vault.requests()  # in the background, for a badge with their number
    owner.vault.approve(request_id if by_id else shown, words=app.words)
    shared = {memory.id for memory in app.access(request_id).memories()}
    assert shared == ({first, later} if by_id else {first})


@pytest.mark.attack(33, 36)
def test_a_second_look_at_an_id_is_no_look_at_the_first_request(world: World) -> None:
    """What a server puts in the place of a request is shown to no owner who saw the first."""
    owner, evil = world.owner(), Evil()
    app = world.app()
    device = world.device(owner, transport=evil)
    asked = app._state.asked(ask(app, owner, scopes=["read"], tags=["food"])).parse()
    (shown,) = device.requests()
    every = frozenset(("read", "create", "update", "delete"))
    wider = sign_request(app._state.identity, msgspec.structs.replace(asked, scopes=every))
    exchanged = {"request": b64(wider.message), "signature": b64(wider.signature)}
    evil.rewrite["/access-requests"] = lambda answers: answers[0].update(exchanged)
    evil.rewrite[f"/access-requests/{shown.request_id}"] = updating(exchanged)
    (other,) = device.requests()
    assert (shown.scopes, other.scopes) == (frozenset(("read",)), every)
    with pytest.raises(TrustError, match="another request"):
        device.approve(shown, words=app.words)
    assert not [item for item in evil.requests if item.url.path.endswith("/decision")]


def test_a_request_is_denied_and_checked_as_it_was_shown(world: World) -> None:
    """Whatever takes a request's id takes the request; one that is decided is no look at one."""
    owner, app = world.owner(), world.app()
    request_id = ask(app, owner)
    (shown,) = owner.vault.requests()
    assert owner.vault.check_app(shown, words=app.words).state == "absent"
    owner.vault.deny(shown)
    (denied,) = owner.vault.requests("denied")
    assert (denied.request_id, denied.digest) == (request_id, b"")
    assert app.status(request_id) == "denied"
