"""Who an app is: by its words, by its website, by a pin; and who an owner is, for an app."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from coffret_vault.errors import (
    AppDomainError,
    AppUnconfirmedError,
    FormatError,
    InputError,
    NotFoundError,
    WordsError,
)
from coffret_vault.grants.apps import sign_manifest
from coffret_vault.grants.domain import app_document
from coffret_vault.keyring.keyring import identity_from_seeds
from harness.website import HOST, Website, page
from harness.world import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import App
    from harness.world import Owner, World

HOMEPAGE = f"https://{HOST}/planner"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """The website of planner.example.com."""
    folder = tmp_path / "site"
    folder.mkdir()
    with Website(folder) as made:
        yield made


def asking(world: World, site: Website) -> tuple[Owner, App, str]:
    """An owner who looked at the first request of an app with a website."""
    world.web = site.web()
    owner, app = world.owner(), world.app(homepage=HOMEPAGE)
    request_id = ask(app, owner)
    owner.vault.requests()
    return owner, app, request_id


def test_a_website_that_names_the_app_confirms_it(either: World, site: Website) -> None:
    """The owner gives the website's name, the website names the app: it is approved."""
    owner, app, request_id = asking(either, site)
    site.answer = page(app.manifest_file())
    check = owner.vault.check_app(request_id)
    assert (check.state, check.host, check.ended) == ("confirmed", HOST, ())
    owner.vault.approve(request_id, website=f" HTTPS://{HOST.upper()}/ ")
    assert app.access(request_id).memories() == []
    assert site.connections == 1


def test_the_website_is_asked_only_by_who_looks(either: World, site: Website) -> None:
    """Listing asks no website; neither does an app that is pinned, nor an owner who declines."""
    owner, app, request_id = asking(either, site)
    either.device(owner).requests(None)
    assert owner.vault.check_app(request_id, check_domain=False).state == "unchecked"
    owner.vault.approve(request_id, words=app.words, check_domain=False)
    assert site.connections == 0
    again = ask(app, owner)
    owner.vault.requests()
    owner.vault.approve(again)
    assert site.connections == 0


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (page(b"", "404 Not Found"), "absent"),
        (page(b"", "302 Found", f"Location: https://{HOST}/other"), "absent"),
        (page(b"<html>"), "absent"),
        (b"", "absent"),
        (page(b'{"apps": []}'), "differs"),
    ],
    ids=["not found", "redirect", "a page", "nothing", "no app"],
)
def test_what_a_website_can_say(either: World, site: Website, answer: bytes, state: str) -> None:
    """Nothing usable leaves the words; a file that names others blocks, right words or not."""
    owner, app, request_id = asking(either, site)
    site.answer = answer
    assert owner.vault.check_app(request_id).state == state
    error = AppDomainError if state == "differs" else AppUnconfirmedError
    for website in (None, HOST):
        with pytest.raises(error):
            owner.vault.approve(request_id, website=website)
    if state == "differs":
        with pytest.raises(AppDomainError):
            owner.vault.approve(request_id, words=app.words)
    else:
        owner.vault.approve(request_id, words=app.words)
    assert site.connections == 1


@pytest.mark.parametrize("status", ["404 Not Found", "302 Found", "203 Non-Authoritative"])
def test_a_file_beside_another_status_is_none(either: World, site: Website, status: str) -> None:
    """Whatever a page of errors repeats of what somebody sent there, it confirms no app."""
    owner, app, request_id = asking(either, site)
    site.answer = page(app.manifest_file(), status)
    assert owner.vault.check_app(request_id).state == "absent"
    with pytest.raises(AppUnconfirmedError):
        owner.vault.approve(request_id, website=HOST)


def test_a_website_that_cannot_be_reached_leaves_the_words(either: World) -> None:
    """No website: the owner is told so, and types the words."""
    owner, app = either.owner(), either.app(homepage=HOMEPAGE)
    request_id = ask(app, owner)
    owner.vault.requests()
    assert owner.vault.check_app(request_id).state == "unreachable"
    with pytest.raises(AppUnconfirmedError, match="unreachable"):
        owner.vault.approve(request_id, website=HOST)
    owner.vault.approve(request_id, words=app.words.upper().replace(" ", "-"))
    assert len(owner.vault.grants()) == 1


def test_the_owner_names_the_website(either: World, site: Website) -> None:
    """That some website names the app is not enough: it has to be the one that the owner means."""
    owner, app, request_id = asking(either, site)
    site.answer = page(app.manifest_file())
    for website in (None, "", "planner.example", f"www.{HOST}", f"{HOST}.evil.example", "a b"):
        with pytest.raises(AppUnconfirmedError):
            owner.vault.approve(request_id, website=website)
    assert app.status(request_id) == "pending"


def test_wrong_words_are_never_passed_over(either: World, site: Website) -> None:
    """Words that were given have to be right, for a confirmed and for a pinned app too."""
    owner, app, request_id = asking(either, site)
    site.answer = page(app.manifest_file())
    wrong = " ".join(reversed(app.words.split()))
    with pytest.raises(WordsError):
        owner.vault.check_app(request_id, words=wrong)
    with pytest.raises(WordsError):
        owner.vault.approve(request_id, words=wrong, website=HOST)
    owner.vault.approve(request_id, words=app.words)
    again = ask(app, owner)
    owner.vault.requests()
    with pytest.raises(WordsError):
        owner.vault.approve(again, words=wrong)


def test_a_pin_is_on_every_device(either: World) -> None:
    """An app that was approved on one device is known on another, which shows its words."""
    owner, app = either.owner(), either.app()
    either.granted(owner, app)
    request_id = ask(app, owner)
    other = either.device(owner)
    (request,) = other.requests()
    assert request.app == app.info
    other.approve(request_id)
    assert len(other.grants()) == 2


def test_what_is_not_known_shows_nothing_to_copy(either: World) -> None:
    """The words of an app that nothing confirmed are not in the request."""
    owner, app = either.owner(), either.app()
    ask(app, owner)
    (request,) = owner.vault.requests()
    assert request.app.fingerprint == ""
    assert app.words not in repr(request)


def test_two_apps_of_one_website_do_not_end_each_other(either: World, site: Website) -> None:
    """A website that names both keeps both; one that names the first no longer ends its grants."""
    owner, first, request_id = asking(either, site)
    owner.vault.approve(request_id, words=first.words)
    second, third = (either.app(name, homepage=HOMEPAGE) for name in ("Second", "Third"))
    both = second.manifest_file(first.manifest_file())
    assert len(json.loads(both)["apps"]) == 2
    assert second.manifest_file(both) == both
    site.answer = page(both)
    request_id = ask(second, owner)
    (request,) = owner.vault.requests()
    assert "names this homepage" in request.warnings[0]
    assert owner.vault.check_app(request_id).ended == ()
    owner.vault.approve(request_id, words=second.words)
    assert {grant.state for grant in owner.vault.grants()} == {"active"}
    site.answer = page(third.manifest_file(second.manifest_file()))
    request_id = ask(third, owner)
    owner.vault.requests()
    assert owner.vault.check_app(request_id).ended == ("Planner",)
    assert [grant.state for grant in owner.vault.grants()] == ["revoked", "active"]


def test_a_website_that_names_other_keys_of_an_app_ends_its_grants(
    either: World, site: Website
) -> None:
    """It confirms a second app, and names the first by its id with keys that are another's."""
    owner, first, request_id = asking(either, site)
    owner.vault.approve(request_id, words=first.words)
    second, forger = either.app("Second", homepage=HOMEPAGE), identity_from_seeds(os.urandom(64))
    other = msgspec.structs.replace(
        first._state.manifest,
        signing_public=forger.signing.public,
        sealing_public=forger.sealing.public,
    )
    both = second.manifest_file(app_document([sign_manifest(forger, other)]))
    assert len(json.loads(both)["apps"]) == 2
    site.answer = page(both)
    request_id = ask(second, owner)
    owner.vault.requests()
    assert owner.vault.check_app(request_id).ended == ("Planner",)


def test_a_homepage_is_at_a_host(world: World) -> None:
    """An app without a homepage that can be asked is not registered."""
    for homepage in ("", "http://a.example", "https://127.0.0.1", "https://a.example:8443"):
        with pytest.raises(InputError, match="homepage"):
            world.app(homepage=homepage)
    with pytest.raises(FormatError):
        world.app().manifest_file(b"<html>")


def test_a_check_of_no_request_is_not_found(either: World) -> None:
    """Only a request can be looked at."""
    with pytest.raises(NotFoundError):
        either.owner().vault.check_app("00000000-0000-7000-8000-000000000000")


def test_an_app_can_make_sure_of_its_owner(either: World) -> None:
    """With the owner's words, asked for and taken up; with wrong ones, neither."""
    owner, app = either.owner(), either.app()
    assert owner.vault.words == owner.vault.status().fingerprint == owner.kit.fingerprint
    with pytest.raises(WordsError):
        ask(app, owner, owner_words=app.words)
    assert app.requests() == []
    request_id = ask(app, owner, owner_words=owner.vault.words.title())
    owner.vault.requests()
    owner.vault.approve(request_id, words=app.words)
    with pytest.raises(WordsError):
        app.access(request_id, owner_words=app.words)
    assert app.access(request_id, owner_words=owner.vault.words).memories() == []
    assert app.access(request_id).memories() == []
