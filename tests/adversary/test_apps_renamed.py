"""A server and whoever has an app's keys, who show it as another app than the one approved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from adversary.test_approvals import sent_grant
from coffret.cli.showing import request_parts
from coffret.flows.http import b64
from coffret.flows.pins import app_keys, pinned
from coffret_vault.errors import AppUnconfirmedError, CoffretError, TrustError
from coffret_vault.formats.sharing import GRANT, MANIFEST
from coffret_vault.grants.apps import sign_manifest, sign_request
from harness.manifests import digest_of
from harness.network import Evil, updating
from harness.world import ask

if TYPE_CHECKING:
    from coffret import AccessRequestInfo, App
    from coffret.flows.state import VaultState
    from coffret_vault.formats.sharing import Manifest
    from harness.world import Owner, World

BANK: dict[str, Any] = {"name": "My Bank", "homepage": "https://my-bank.example"}


class Known:
    """An owner at a hostile server, and an app that was approved once and asks for more."""

    def __init__(self, world: World, name: str = "Weather") -> None:
        """Nothing is shown otherwise than it is yet."""
        self.evil = Evil()
        self.owner: Owner = world.owner(transport=self.evil)
        self.owner.vault.remember("secret")
        self.app: App = world.app(name, "https://weather.example")
        world.granted(self.owner, self.app, scopes=["read"], tags=["w"])
        self.request_id = ask(self.app, self.owner, scopes=["read"])

    def show(self, *, asks_by_it: bool = True, **changed: Any) -> Manifest:
        """Have the server show another manifest by the app's own keys, and a request by it."""
        state = self.app._state
        manifest = msgspec.structs.replace(state.manifest, **changed)
        other = sign_manifest(state.identity, manifest)
        shown = {"manifest": b64(other.message), "manifest_signature": b64(other.signature)}
        if asks_by_it:
            asked = msgspec.structs.replace(
                state.asked(self.request_id).parse(), manifest_digest=digest_of(manifest)
            )
            request = sign_request(state.identity, asked)
            shown |= {"request": b64(request.message), "signature": b64(request.signature)}

        def swapped(answer: Any) -> None:
            for row in answer if isinstance(answer, list) else [answer]:
                if row["request_id"] == self.request_id:
                    row.update(shown)

        for path in ("/access-requests", f"/access-requests/{self.request_id}"):
            self.evil.rewrite[path] = swapped
        return manifest

    def look(self) -> AccessRequestInfo:
        """The request as its owner sees it."""
        (found,) = self.owner.vault.requests()
        return found


@pytest.fixture
def known(world: World) -> Known:
    """The two, and the app that is known."""
    return Known(world)


@pytest.mark.attack(22)
@pytest.mark.attack(25)
@pytest.mark.parametrize("other", [BANK, {"name": "My Bank"}, {"homepage": BANK["homepage"]}])
def test_a_known_app_under_another_name_is_an_unknown_one(
    known: Known, other: dict[str, Any]
) -> None:
    """It needs words or a website, shows no words of its own, and is told from what it was."""
    known.show(**other)
    request = known.look()
    assert request.app.fingerprint == ""
    (warning,) = request.warnings
    assert '"Weather"' in warning
    assert "name or homepage" in warning
    screen = "\n".join(f"{name}: {text}" for name, text in request_parts(request))
    assert warning in screen
    assert "never approved it as it is now" in screen
    with pytest.raises(AppUnconfirmedError):
        known.owner.vault.approve(known.request_id)
    with pytest.raises(AppUnconfirmedError):
        known.owner.vault.approve(known.request_id, website="weather.example")
    assert [grant.app.name for grant in known.owner.vault.grants()] == ["Weather"]
    known.evil.rewrite.clear()
    assert known.look().warnings == ()
    known.owner.vault.approve(known.request_id)


@pytest.mark.control(22)
def test_a_client_that_compares_the_keys_alone_approves_it_without_a_word(known: Known) -> None:
    """Control: where the keys are the pin, the owner signs a grant under the bank's name."""

    def by_keys(state: VaultState, manifest: Manifest) -> bool:
        before = pinned(state).get(manifest.app_id)
        return before is not None and app_keys(before) == app_keys(manifest)

    bank = known.show(**BANK)
    with (
        patch("coffret.flows.appcheck.is_pinned", by_keys),
        patch("coffret.flows.requests.is_pinned", by_keys),
    ):
        assert known.look().app.fingerprint == known.app.words
        with pytest.raises(CoffretError):  # the harness's own server has another manifest
            known.owner.vault.approve(known.request_id)
    assert GRANT.parse(sent_grant(known.evil)["grant"]).manifest_digest == digest_of(bank)


@pytest.mark.attack(36)
def test_what_is_approved_is_by_the_manifest_that_was_looked_at(known: Known) -> None:
    """A manifest that is exchanged after the look is refused, though its words are right."""
    known.look()
    known.show(**BANK)
    with pytest.raises(TrustError, match="another request"):
        known.owner.vault.approve(known.request_id, words=known.app.words)
    assert [grant.app.name for grant in known.owner.vault.grants()] == ["Weather"]


@pytest.mark.attack(36)
def test_a_request_is_by_the_manifest_that_the_app_asked_with(known: Known) -> None:
    """Another manifest by the app's own keys beside its request is another app's: not approved."""
    known.show(asks_by_it=False, **BANK)
    with pytest.raises(TrustError, match="another app"):
        known.look()
    with pytest.raises(TrustError):
        known.owner.vault.approve(known.request_id, words=known.app.words)
    assert [grant.app.name for grant in known.owner.vault.grants()] == ["Weather"]


@pytest.mark.attack(22)
@pytest.mark.attack(25)
def test_no_device_is_shown_a_granted_app_by_another_name(known: Known, world: World) -> None:
    """A device that did not approve an app takes its grant with the approved manifest only."""
    state, evil = known.app._state, Evil()
    other = sign_manifest(state.identity, msgspec.structs.replace(state.manifest, **BANK))
    (grant,) = known.owner.vault.grants()
    evil.rewrite[f"/grants/{grant.grant_id}"] = updating(
        {"manifest": b64(other.message), "manifest_signature": b64(other.signature)}
    )
    assert MANIFEST.parse(other.message).signing_public == state.manifest.signing_public
    with pytest.raises(TrustError, match="names another app"):
        world.device(known.owner, transport=evil)
    evil.rewrite.clear()
    assert [item.app.name for item in world.device(known.owner).grants()] == ["Weather"]


SAME = ("PLAN\u200dNER\u202e", "Planner\u3164", "\xa0Plan ner.", "Pl\u034fanner", "Plännér")


@pytest.mark.attack(36)
@pytest.mark.parametrize("name", SAME)
def test_an_app_under_another_s_name_is_shown_with_a_warning(world: World, name: str) -> None:
    """Who asks under the name or homepage of an app that was approved is not shown without it."""
    owner = world.owner()
    world.granted(owner, world.app("Planner"))
    ask(world.app(name), owner)
    (request,) = owner.vault.requests()
    assert [warning.partition(" app ")[2] for warning in request.warnings] == [
        "that you approved has this name",
        "that you approved names this homepage",
    ]


def test_the_name_of_before_is_no_more_than_a_name(world: World) -> None:
    """What an app was approved as stands between two quotes in the warning, whatever is in it."""
    known = Known(world, 'Weather": all is well. "')
    known.show(**BANK)
    (warning, *_) = known.look().warnings
    assert warning.count('"') == 2
