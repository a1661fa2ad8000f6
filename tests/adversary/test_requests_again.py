"""Requests that a server shows again, or as another state than they are in."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.http import b64
from coffret_vault.errors import ConflictError, InputError
from coffret_vault.grants.apps import sign_request
from harness.network import Evil
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from coffret import Vault
    from harness.world import World

WEEK = timedelta(days=7)
WAITING, OVER = WEEK + timedelta(minutes=4), WEEK + timedelta(minutes=6)


def again(world: World, age: timedelta) -> tuple[Vault, str, Callable[[], str], Evil]:
    """A request of that age, the owner's device, and a server that shows it as one that waits."""
    owner, app, evil = world.owner(), world.app(), Evil()
    owner.vault.remember("hello")
    device = world.device(owner, transport=evil)
    request_id = ask(app, owner)
    asked = app._state.asked(request_id).parse()
    created = asked.created - age // timedelta(microseconds=1)
    signed = sign_request(app._state.identity, msgspec.structs.replace(asked, created=created))

    def show(answer: dict[str, Any]) -> None:
        answer["request"], answer["signature"] = b64(signed.message), b64(signed.signature)

    def listed(answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            show(answer)

    evil.rewrite["/access-requests"] = listed
    evil.rewrite[f"/access-requests/{request_id}"] = show
    return device, request_id, partial(device.approve, request_id, words=app.words), evil


def states(device: Vault, request_id: str) -> list[str]:
    """The states in which a device shows a request, in each way in which it can be looked at."""
    found = [item.state for item in (*device.requests(), *device.requests(None))]
    return [*found, device.request(request_id).state]


@pytest.mark.attack(36)
def test_a_request_of_long_ago_waits_no_more(world: World) -> None:
    """What the app signed more than a week ago is not shown as waiting, whatever a server says."""
    device, request_id, approve, evil = again(world, OVER)
    assert states(device, request_id) == ["lapsed", "lapsed"]
    assert device.request(request_id).matching == ()
    with pytest.raises(ConflictError, match="lapsed"):
        approve()
    assert not [item for item in evil.requests if item.url.path.endswith("/decision")]


def test_clocks_may_differ_by_as_much_as_elsewhere(world: World) -> None:
    """A request of a week ago waits still where the app's clock was behind by minutes."""
    device, request_id, *_ = again(world, WAITING)
    assert states(device, request_id) == ["pending"] * 3


@pytest.mark.control(36)
def test_a_device_that_believes_the_state_shows_it_for_ever(world: World) -> None:
    """Control: by the server's word alone a request of long ago waits like any other."""
    with patch("coffret.flows.requests._LAPSE", 2**62):
        device, request_id, *_ = again(world, OVER)
        assert states(device, request_id) == ["pending"] * 3


@pytest.mark.attack(36)
def test_what_was_shown_as_decided_was_not_looked_at(world: World) -> None:
    """A request that was shown as denied, with no memories, has to be shown again as it is."""
    owner, app, evil = world.owner(), world.app(), Evil()
    memory = owner.vault.remember("hello").id
    device = world.device(owner, transport=evil)
    request_id = ask(app, owner)
    assert [item.state for item in device.requests()] == ["pending"]
    evil.rewrite[f"/access-requests/{request_id}"] = partial(dict.update, state="denied")
    assert device.request(request_id).state == "denied"
    evil.rewrite.clear()
    with pytest.raises(InputError, match="look at the request"):
        device.approve(request_id, words=app.words)
    device.requests()
    device.approve(request_id, words=app.words)
    assert [item.id for item in app.access(request_id).memories()] == [memory]


def test_of_requests_that_wait_no_more_nothing_is_kept(world: World) -> None:
    """However often an app asks, a device that looks each time keeps what is shown last."""
    owner, app = world.owner(), world.app()
    for _ in range(3):
        ask(app, owner)
        assert len(owner.vault.requests()) == 1
    assert len(owner.vault._state.asked) == 1
