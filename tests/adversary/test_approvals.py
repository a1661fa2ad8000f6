"""A hostile server, and apps in league with it, at the moment of an owner's approval."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.http import b64
from coffret.flows.pins import CHANGED_KEYS
from coffret.flows.state import Looked
from coffret_vault.errors import (
    AppKeyChangedError,
    CoffretError,
    ConflictError,
    InputError,
    NetworkError,
    TrustError,
)
from coffret_vault.formats.sharing import GRANT, Selector, grant_key_info
from coffret_vault.grants.apps import sign_manifest, sign_request
from coffret_vault.keyring.keyring import identity_from_seeds
from harness.network import Evil, Losing, updating
from harness.world import ask

if TYPE_CHECKING:
    from coffret import App
    from coffret_vault.keyring.keyring import Identity
    from harness.world import World


def writes(network: Evil) -> list[str]:
    """The paths of the decisions, wraps and activations that went out."""
    ends = ("/decision", "/wraps", "/activate")
    posts = (item for item in network.requests if item.method == "POST")
    return [item.url.path for item in posts if item.url.path.endswith(ends)]


def contents(access: Any) -> list[str]:
    """What an app reads."""
    return sorted(memory.content for memory in access.memories())


def sent_grant(network: Evil) -> dict[str, bytes]:
    """The grant in the last decision that went out."""
    decisions = [item for item in network.requests if item.url.path.endswith("/decision")]
    body = msgspec.json.decode(decisions[-1].content)["grant"]
    return {name: base64.b64decode(body[name]) for name in ("grant", "sealed_key")}


# -- which grant gets the keys ------------------------------------------------------------------


@pytest.mark.parametrize("said", ["approved", "pending"])
@pytest.mark.parametrize("state", ["activating", "active"])
def test_another_grant_is_not_handed_keys(world: World, said: str, state: str) -> None:
    """A request that is answered with another app's grant gets that app nothing."""
    evil = Evil()
    owner, bad, good = world.owner(transport=evil), world.app("Bad"), world.app("Good")
    vault = owner.vault
    vault.remember("lisbon", tags=["travel"])
    out = vault.remember("private trip", tags=["travel"])
    grant_id, access = world.granted(owner, bad, scopes=["read"], tags=["travel"])
    vault.narrow(grant_id, [out.id])
    vault.remember("later", tags=["travel"])
    assert contents(access) == ["lisbon"]
    request_id = ask(good, owner, scopes=["read"], tags=["recipes"])
    vault.requests()
    evil.rewrite[f"/access-requests/{request_id}"] = lambda answer: answer.update(
        state=said, grant_id=grant_id
    )
    evil.rewrite[f"/grants/{grant_id}"] = lambda answer: answer.update(state=state)
    evil.requests.clear()
    if said == "approved":
        with pytest.raises(ConflictError):
            vault.approve(request_id)
        assert writes(evil) == []
    else:
        assert vault.approve(request_id, words=good.words) != grant_id
    assert not any(grant_id in path for path in writes(evil))
    assert contents(access) == ["lisbon"]


@pytest.mark.parametrize("said", ["approved", "pending"])
def test_a_finished_approval_is_not_done_again(world: World, said: str) -> None:
    """A server that calls a finished approval unfinished is sent nothing, by any device."""
    evil, other = Evil(), Evil()
    owner, app = world.owner(transport=evil), world.app()
    shared = owner.vault.remember("shared", tags=["t"])
    out = owner.vault.remember("taken out", tags=["t"])
    grant_id, access = world.granted(owner, app, scopes=["read"], tags=["t"])
    request_id = app.requests()[0]
    owner.vault.narrow(grant_id, [out.id])
    second = world.device(owner, transport=other)
    evil.requests.clear()
    for vault, network in ((owner.vault, evil), (second, other)):
        network.rewrite[f"/access-requests/{request_id}"] = updating({"state": said})
        network.rewrite["/access-requests"] = lambda answer: answer[0].update(state=said)
        network.rewrite[f"/grants/{grant_id}"] = updating({"state": "activating"})
        vault.requests(None)
        with pytest.raises(ConflictError):
            vault.approve(request_id)
        assert writes(network) == []
    assert [memory.id for memory in access.memories()] == [shared.id]


# -- an approval that was interrupted -----------------------------------------------------------


class Interrupted:
    """An owner whose approval of an app's request lost the network before any key went out."""

    def __init__(self, world: World) -> None:
        """Share ``fine`` and ``private``, and lose the answers to wraps."""
        self.network = Losing()
        self.owner = world.owner(transport=self.network)
        self.app = world.app()
        self.fine = self.owner.vault.remember("fine", tags=["t"])
        self.private = self.owner.vault.remember("private", tags=["t"])
        self.request_id = ask(self.app, self.owner, scopes=["read", "update"], tags=["t"])
        self.owner.vault.requests()

    def approve(self, **terms: Any) -> None:
        """Try once, in vain."""
        self.network.lose = lambda request: request.url.path.endswith("/wraps")
        with patch("coffret.transport._TRIES", 1), pytest.raises(NetworkError):
            self.owner.vault.approve(self.request_id, words=self.app.words, **terms)
        self.network.lose = lambda _: False

    def read(self) -> list[str]:
        """What the app reads."""
        return contents(self.app.access(self.request_id))


def test_what_is_shared_is_settled_at_the_decision(world: World) -> None:
    """A memory written, or brought under the selector, after the decision does not join."""
    each = Interrupted(world)
    vault = each.owner.vault
    unrelated = vault.remember("tagged later", tags=["other"])
    each.approve()
    vault.remember("written later", tags=["t"])
    vault.update(unrelated.id, tags=["t"])
    grant_id = vault.approve(each.request_id)
    assert each.read() == ["fine", "private"]
    assert vault.grant(grant_id).memories == 2


@pytest.mark.attack(34)
@pytest.mark.parametrize(
    "terms",
    [
        {"scopes": ["read"]},
        {"duration": timedelta(hours=1)},
        {"standing": True},
        {"auto_accept": True},
        {"exclude": ["private"]},
        {"memories": ["fine"]},
    ],
)
def test_an_interrupted_approval_does_not_go_on_as_another(
    world: World, terms: dict[str, Any]
) -> None:
    """Other terms than those that were signed are refused, and nothing is handed over."""
    each = Interrupted(world)
    names = {"private": each.private.id, "fine": each.fine.id}
    given: dict[str, Any] = {
        name: [names[item] for item in value] if name in {"exclude", "memories"} else value
        for name, value in terms.items()
    }
    each.approve()
    with pytest.raises(ConflictError, match="other terms"):
        each.owner.vault.approve(each.request_id, **given)
    assert [grant.state for grant in each.owner.vault.grants()] == ["activating"]
    each.owner.vault.approve(each.request_id)
    assert each.read() == ["fine", "private"]


def test_an_interrupted_approval_goes_on_with_its_own_terms(world: World) -> None:
    """The same terms again, or none, finish it; what was left out stays out."""
    each = Interrupted(world)
    terms: dict[str, Any] = {"exclude": [each.private.id], "duration": timedelta(hours=1)}
    each.approve(**terms)
    each.owner.vault.approve(each.request_id, **terms)
    assert each.read() == ["fine"]
    again = Interrupted(world)
    again.approve(exclude=[again.private.id])
    again.owner.vault.approve(again.request_id)
    assert again.read() == ["fine"]


# -- whose request it is ------------------------------------------------------------------------


def _signed(
    app: App, identity: Identity, manifest: bytes, request_id: str, **changed: Any
) -> dict[str, str]:
    """A request of this id under an identity and its manifest, as the server would show it."""
    digest = hashlib.sha256(manifest).digest()
    request = msgspec.structs.replace(
        app._state.asked(request_id).parse(), manifest_digest=digest, **changed
    )
    signed = sign_request(identity, request)
    return {"request": b64(signed.message), "signature": b64(signed.signature)}


def _shown(evil: Evil, request_id: str, changed: dict[str, str]) -> None:
    """Have the server show this instead of the request, alone and in the list."""

    def swap(answer: list[dict[str, Any]]) -> None:
        for item in answer:
            if item["request_id"] == request_id:
                item.update(changed)

    evil.rewrite["/access-requests"] = swap
    evil.rewrite[f"/access-requests/{request_id}"] = updating(changed)


def _new_keys(app: App, request_id: str) -> tuple[Identity, dict[str, str]]:
    """The same app id under keys that the server made."""
    forger = identity_from_seeds(os.urandom(64))
    manifest = msgspec.structs.replace(
        app._state.manifest,
        signing_public=forger.signing.public,
        sealing_public=forger.sealing.public,
    )
    signed = sign_manifest(forger, manifest)
    shown = {"manifest": b64(signed.message), "manifest_signature": b64(signed.signature)}
    return forger, shown | _signed(app, forger, signed.message, request_id)


@pytest.mark.attack(22)
def test_changed_keys_are_shown_and_not_approved(world: World) -> None:
    """An app that was approved before and has other keys now: a warning, an error, no keys."""
    evil = Evil()
    owner, app = world.owner(transport=evil), world.app("Planner")
    owner.vault.remember("secret", tags=["t"])
    world.granted(owner, app, scopes=["read"], tags=["t"])
    request_id = ask(app, owner, scopes=["read"])
    _shown(evil, request_id, _new_keys(app, request_id)[1])
    evil.requests.clear()
    shown = {item.request_id: item for item in owner.vault.requests()}
    assert CHANGED_KEYS in shown[request_id].warnings
    assert [grant.state for grant in owner.vault.grants()] == ["revoked"]
    with pytest.raises(AppKeyChangedError, match="keys"):
        owner.vault.approve(request_id)
    assert writes(evil) == []
    evil.rewrite.clear()
    assert owner.vault.requests()[0].warnings == ()
    owner.vault.approve(request_id)


@pytest.mark.control(22)
def test_a_client_that_does_not_compare_keys_seals_to_the_server(world: World) -> None:
    """Control: without the comparison the server opens the grant's key."""
    evil = Evil()
    owner, app = world.owner(transport=evil), world.app("Planner")
    owner.vault.remember("secret", tags=["t"])
    world.granted(owner, app, scopes=["read"], tags=["t"])
    request_id = ask(app, owner, scopes=["read"])
    forger, shown = _new_keys(app, request_id)
    _shown(evil, request_id, shown)
    owner.vault.requests()
    with (
        patch("coffret.flows.approval._looked", return_value=Looked(b"", b"")),
        patch("coffret.flows.approval.confirm_app", return_value=()),
        pytest.raises(CoffretError),
    ):
        owner.vault.approve(request_id)
    grant = sent_grant(evil)
    assert forger.sealing.open(grant["sealed_key"], grant_key_info(grant["grant"]))


def _greedy(bad: App, good: App, request_id: str) -> dict[str, str]:
    """A request for everything by another app, under the id of a modest one."""
    state = bad._state
    shown = {
        "manifest": b64(state.file.manifest),
        "manifest_signature": b64(state.file.manifest_signature),
    }
    return shown | _signed(
        good,
        state.identity,
        state.file.manifest,
        request_id,
        app_id=state.manifest.app_id,
        scopes=frozenset(("read", "create", "update", "delete")),
        selector=Selector(everything=True),
    )


@pytest.mark.attack(36)
@pytest.mark.parametrize("looked", ["not at all", "before", "at another"])
def test_only_what_was_looked_at_is_approved(world: World, looked: str) -> None:
    """An id alone is not approved, nor a request that took the place of the one that was shown."""
    evil = Evil()
    owner, good, bad = world.owner(transport=evil), world.app("Good"), world.app("Bad")
    owner.vault.remember("secret")
    request_id = ask(good, owner, scopes=["read"], tags=["travel"])
    if looked == "at another":
        ask(bad, owner)
        evil.rewrite["/access-requests"] = lambda answer: [
            item for item in answer if item["request_id"] != request_id
        ]
    if looked != "not at all":
        owner.vault.requests()
    error: type[Exception] = TrustError if looked == "before" else InputError
    changed = _greedy(bad, good, request_id)
    evil.rewrite[f"/access-requests/{request_id}"] = updating(changed)
    evil.requests.clear()
    with pytest.raises(error):
        owner.vault.approve(request_id, words=bad.words)  # so that only the look is missing
    assert writes(evil) == []
    assert list(owner.vault.grants()) == []


@pytest.mark.control(36)
def test_a_client_that_approves_by_id_alone_gives_everything(world: World) -> None:
    """Control: without the look, the other app gets a grant of everything, and its key."""
    evil = Evil()
    owner, good, bad = world.owner(transport=evil), world.app("Good"), world.app("Bad")
    owner.vault.remember("secret")
    request_id = ask(good, owner, scopes=["read"], tags=["travel"])
    evil.rewrite[f"/access-requests/{request_id}"] = updating(_greedy(bad, good, request_id))
    with (
        patch("coffret.flows.approval._looked", return_value=Looked(b"", b"")),
        patch("coffret.flows.approval.confirm_app", return_value=()),
        pytest.raises(CoffretError),
    ):
        owner.vault.approve(request_id)
    grant = sent_grant(evil)
    signed = GRANT.parse(grant["grant"])
    assert signed.app_id == bad._state.manifest.app_id
    assert signed.selector.everything
    key = bad._state.identity.sealing.open(grant["sealed_key"], grant_key_info(grant["grant"]))
    assert len(key) == 32
