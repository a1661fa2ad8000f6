"""A server that puts its own keys in place of an app's."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import pytest

from coffret.flows.http import b64
from coffret.flows.state import Looked
from coffret_vault.errors import (
    AppDomainError,
    AppKeyChangedError,
    AppUnconfirmedError,
    CoffretError,
    OpenError,
    TrustError,
    WordsError,
)
from coffret_vault.formats.account import keys_hash
from coffret_vault.formats.sharing import MANIFEST, grant_key_info
from coffret_vault.grants.apps import Signed, sign_manifest, sign_request
from coffret_vault.grants.domain import app_document
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyring.keyring import identity_from_seeds
from harness.manifests import digest_of
from harness.network import Evil, updating
from harness.website import HOST, Website, page
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from coffret_vault.keyring.keyring import Identity
    from harness.world import World

HOMEPAGE = f"https://{HOST}"
EVIL_HOST = "evil.example.com"
_MLKEM = 1_184  # bytes of the ML-KEM half of an X-Wing public key


class Meeting:
    """An owner at a hostile server, and an honest app that asks for the first time."""

    def __init__(self, world: World, site: Website) -> None:
        """The app's website is up, and names the app."""
        world.web = site.web()
        self.evil = Evil()
        self.owner = world.owner(transport=self.evil)
        self.owner.vault.remember("secret", tags=["t"])
        self.app = world.app(homepage=HOMEPAGE)
        self.request_id = ask(self.app, self.owner, scopes=["read"])
        self.forger = identity_from_seeds(os.urandom(64))
        self.shown = b""
        site.answer = page(self.app.manifest_file())

    def swap(self, sealing: bytes | None = None, **changed: Any) -> Signed:
        """Have the server show the app's manifest under its own keys, and a request to fit."""
        public = self.forger.sealing.public if sealing is None else sealing
        manifest = msgspec.structs.replace(
            self.app._state.manifest,
            signing_public=self.forger.signing.public,
            sealing_public=public,
            **changed,
        )
        request = msgspec.structs.replace(
            self.app._state.asked(self.request_id).parse(),
            app_id=manifest.app_id,
            manifest_digest=digest_of(manifest),
        )
        signed, asked = sign_manifest(self.forger, manifest), sign_request(self.forger, request)
        self.shown = keys_hash(manifest.signing_public, manifest.sealing_public)
        self.show(signed, asked)
        return signed

    def swap_to(self, site: Website) -> None:
        """The same, with a homepage at a website of the server's own, which names the app."""
        site.answer = page(app_document([self.swap(homepage=f"https://{EVIL_HOST}")]))
        self.owner.vault._driver.web = site.web()

    def show(self, manifest: Signed, request: Signed) -> None:
        """Have the server show these."""
        changed = {
            "manifest": b64(manifest.message),
            "manifest_signature": b64(manifest.signature),
            "request": b64(request.message),
            "signature": b64(request.signature),
        }

        def swapped(answer: list[dict[str, Any]]) -> None:
            for item in answer:
                if item["request_id"] == self.request_id:
                    item.update(changed)

        self.evil.rewrite["/access-requests"] = swapped
        self.evil.rewrite[f"/access-requests/{self.request_id}"] = updating(changed)

    def approve(self, **given: Any) -> None:
        """Look at the request, then approve it."""
        self.owner.vault.requests()
        self.owner.vault.approve(self.request_id, **given)

    def nothing_left(self) -> bool:
        """Whether no decision went to the server, and no grant was made."""
        paths = [item.url.path for item in self.evil.requests]
        return not any(path.endswith("/decision") for path in paths) and not list(
            self.owner.vault.grants()
        )

    def sent_key(self, identity: Identity) -> bytes:
        """The key of the grant that went out, opened by somebody."""
        sent = next(item for item in self.evil.requests if item.url.path.endswith("/decision"))
        grant = msgspec.json.decode(sent.content)["grant"]
        statement, sealed = (base64.b64decode(grant[name]) for name in ("grant", "sealed_key"))
        return identity.sealing.open(sealed, grant_key_info(statement)).reveal()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """The website of planner.example.com."""
    folder = tmp_path / "site"
    folder.mkdir()
    with Website(folder) as made:
        yield made


@pytest.fixture
def evil_site(tmp_path: Path) -> Iterator[Website]:
    """A website of the server's."""
    folder = tmp_path / "evil"
    folder.mkdir()
    with Website(folder, EVIL_HOST) as made:
        yield made


@pytest.fixture
def meeting(world: World, site: Website) -> Meeting:
    """The two, at the hostile server."""
    return Meeting(world, site)


# -- keys in place of an app's, at first sight --------------------------------------------------


@pytest.mark.attack(22)
@pytest.mark.attack(25)
@pytest.mark.parametrize("app_id", [None, b"a new app id 16b"], ids=["same id", "new id"])
def test_the_words_and_the_website_of_the_app_refuse_other_keys(
    meeting: Meeting, app_id: bytes | None
) -> None:
    """What the owner types from the real app, or the real app's website, tells of the swap."""
    meeting.swap(app_id=app_id or meeting.app._state.manifest.app_id)
    with pytest.raises(WordsError):
        meeting.approve(words=meeting.app.words, check_domain=False)
    with pytest.raises(AppDomainError):
        meeting.approve(website=HOST)
    with pytest.raises(AppDomainError):
        meeting.approve(words=fingerprint(meeting.shown))
    with pytest.raises(AppUnconfirmedError):
        meeting.approve(check_domain=False)
    assert meeting.nothing_left()


@pytest.mark.attack(22)
def test_a_website_of_the_server_s_own_is_not_the_one_the_owner_named(
    meeting: Meeting, evil_site: Website
) -> None:
    """A swapped app whose own website confirms it is not the app whose website was typed."""
    meeting.swap_to(evil_site)
    with pytest.raises(AppUnconfirmedError, match="another website"):
        meeting.approve(website=HOST)
    with pytest.raises(WordsError):
        meeting.approve(words=meeting.app.words)
    assert meeting.owner.vault.check_app(meeting.request_id).state == "confirmed"
    assert meeting.nothing_left()


@pytest.mark.attack(3)
@pytest.mark.attack(22)
def test_the_website_that_is_asked_is_never_the_server_s_choice(
    meeting: Meeting, site: Website
) -> None:
    """Fields beside the signed manifest name no host: only what the app signed is asked."""
    meeting.owner.vault.requests()
    hosts: list[str] = []
    web = site.web()

    def noting(host: str) -> Any:
        hosts.append(host)
        return web(host)

    meeting.owner.vault._driver.web = noting
    path = f"/access-requests/{meeting.request_id}"
    meeting.evil.rewrite[path] = updating(
        {"homepage": "https://evil.example.com", "host": "evil.example.com", "domain": "evil"}
    )
    assert meeting.owner.vault.check_app(meeting.request_id).state == "confirmed"
    assert hosts == [HOST]
    altered = MANIFEST.serialize(
        msgspec.structs.replace(meeting.app._state.manifest, homepage="https://evil.example.com")
    )
    meeting.evil.rewrite[path] = updating({"manifest": b64(altered)})
    with pytest.raises(TrustError):
        meeting.owner.vault.check_app(meeting.request_id)
    assert hosts == [HOST]


@pytest.mark.control(22)
@pytest.mark.control(25)
def test_an_owner_who_ticks_the_words_on_the_screen_seals_to_the_server(meeting: Meeting) -> None:
    """Control: words that are copied from the request fit the server's keys, which get the key."""
    meeting.swap()
    with pytest.raises(CoffretError):  # the honest server behind knows the app's real keys
        meeting.approve(words=fingerprint(meeting.shown), check_domain=False)
    assert len(meeting.sent_key(meeting.forger)) == 32


@pytest.mark.control(22)
def test_a_client_that_takes_any_website_seals_to_the_server(
    meeting: Meeting, evil_site: Website
) -> None:
    """Control: were it enough that some website names the app, the server's would."""
    meeting.swap_to(evil_site)
    with (
        patch("coffret.flows.appcheck._host", return_value=EVIL_HOST),
        pytest.raises(CoffretError),  # the honest server behind knows the app's real keys
    ):
        meeting.approve(website=HOST)
    assert len(meeting.sent_key(meeting.forger)) == 32


# -- keys in place of an app's, later -----------------------------------------------------------


@pytest.mark.attack(22)
def test_changed_keys_need_the_new_words_and_an_owner_who_says_so(
    meeting: Meeting, world: World
) -> None:
    """After a change the old grants are over; new keys pass only by their own words, on purpose."""
    meeting.approve(words=meeting.app.words)
    meeting.request_id = ask(meeting.app, meeting.owner, scopes=["read"])
    other = world.device(meeting.owner)
    meeting.swap()
    for given in ({}, {"website": HOST}, {"words": meeting.app.words}):
        with pytest.raises(AppKeyChangedError):
            meeting.approve(**given)
    assert [grant.state for grant in meeting.owner.vault.grants()] == ["revoked"]
    other.sync()
    assert [grant.state for grant in other.grants()] == ["revoked"]
    with pytest.raises(WordsError):
        meeting.approve(words=meeting.app.words, new_keys=True)
    with pytest.raises(AppUnconfirmedError):
        meeting.approve(new_keys=True, check_domain=False)
    with pytest.raises(AppDomainError):
        meeting.approve(words=fingerprint(meeting.shown), new_keys=True)


@pytest.mark.attack(22)
def test_keys_that_change_after_the_look_are_not_approved_either(meeting: Meeting) -> None:
    """A device that has shown the request ends the grants when the keys change at the approval."""
    meeting.approve(words=meeting.app.words)
    meeting.request_id = ask(meeting.app, meeting.owner, scopes=["read"])
    meeting.owner.vault.requests()
    meeting.swap()
    with pytest.raises(TrustError):
        meeting.owner.vault.approve(meeting.request_id)
    with (
        patch("coffret.flows.approval._looked", return_value=Looked(b"", b"")),
        pytest.raises(AppKeyChangedError),
    ):
        meeting.owner.vault.approve(meeting.request_id)
    assert [grant.state for grant in meeting.owner.vault.grants()] == ["revoked"]


@pytest.mark.attack(22)
def test_another_developer_s_claim_to_a_homepage_ends_nothing(
    meeting: Meeting, world: World, site: Website
) -> None:
    """Anybody can sign a manifest with any homepage: it is warned of, refused, and no more."""
    meeting.approve(words=meeting.app.words)
    stranger = world.app("Planner", homepage=HOMEPAGE)
    request_id = ask(stranger, meeting.owner)
    (request,) = meeting.owner.vault.requests()
    assert len(request.warnings) == 2
    assert request.app.fingerprint == ""
    for words, website in ((None, None), (None, HOST), (stranger.words, None)):
        with pytest.raises(AppDomainError):
            meeting.owner.vault.approve(request_id, words=words, website=website)
    assert [grant.state for grant in meeting.owner.vault.grants()] == ["active"]
    assert site.connections == 2


# -- half of a key ------------------------------------------------------------------------------


def _first_half(ours: bytes, theirs: bytes) -> bytes:
    return theirs[:_MLKEM] + ours[_MLKEM:]


def _second_half(ours: bytes, theirs: bytes) -> bytes:
    return ours[:_MLKEM] + theirs[_MLKEM:]


HALVES = pytest.mark.parametrize("half", [_first_half, _second_half], ids=["ML-KEM", "X25519"])


@HALVES
@pytest.mark.attack(23)
def test_half_a_key_is_another_key(meeting: Meeting, half: Callable[..., bytes]) -> None:
    """Either half of the hybrid key swapped: the app's signature breaks, or its words differ."""
    manifest = meeting.app._state.manifest
    mixed = half(manifest.sealing_public, meeting.forger.sealing.public)
    kept = meeting.app._state.file.manifest_signature
    altered = MANIFEST.serialize(msgspec.structs.replace(manifest, sealing_public=mixed))
    asked = meeting.app._state.asked(meeting.request_id).parse()
    meeting.show(Signed(altered, kept), sign_request(meeting.app._state.identity, asked))
    with pytest.raises(TrustError):
        meeting.owner.vault.requests()
    meeting.swap(sealing=mixed)
    with pytest.raises(WordsError):
        meeting.approve(words=meeting.app.words, check_domain=False)
    with pytest.raises(AppDomainError):
        meeting.approve(website=HOST)
    assert meeting.nothing_left()


@HALVES
@pytest.mark.control(23)
def test_a_client_whose_words_skip_a_half_seals_to_it(
    meeting: Meeting, half: Callable[..., bytes]
) -> None:
    """Control: were the words of the other half alone, the mixed key would pass, the app's lost."""
    manifest = meeting.app._state.manifest
    mixed = half(manifest.sealing_public, meeting.forger.sealing.public)
    meeting.swap(sealing=mixed)
    with (
        patch("coffret.flows.appcheck.check_words"),  # blind to the half that differs
        pytest.raises(CoffretError),
    ):
        meeting.approve(words=meeting.app.words, check_domain=False)
    with pytest.raises(OpenError):
        meeting.sent_key(meeting.app._state.identity)


# -- another identity for one owner only --------------------------------------------------------


@pytest.mark.attack(25)
def test_owners_who_are_shown_different_keys_of_an_app_see_it(
    meeting: Meeting, world: World
) -> None:
    """One app, two owners, other keys for one of them: the same words pass for one owner only."""
    second = world.owner()
    request_id = ask(meeting.app, second, scopes=["read"])
    meeting.swap()
    second.vault.requests()
    second.vault.approve(request_id, words=meeting.app.words)
    with pytest.raises(WordsError):
        meeting.approve(words=meeting.app.words, check_domain=False)
    with pytest.raises(AppDomainError):
        meeting.approve(website=HOST)
    (grant,) = second.vault.grants()
    assert grant.app.fingerprint == meeting.app.words != fingerprint(meeting.shown)
