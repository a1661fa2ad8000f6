"""Requests that a server took and a device cannot read, as one of a newer Unicode cannot."""

from __future__ import annotations

import unicodedata
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import pytest

from cli_harness import Cli
from coffret.flows import requests as flow
from coffret.flows.http import b64
from coffret.sharing import UNREADABLE
from coffret_vault.errors import FormatError, TrustError
from harness.network import Evil, updating
from harness.world import MONTH, ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret import App
    from harness.world import Owner, World

NEWER = "cafe\u0301"
"""To us this is not in NFC. Whoever does not know the accent yet sees nothing to compose."""


class _Older:
    """The Unicode of whoever does not know the accent."""

    category = staticmethod(unicodedata.category)

    @staticmethod
    def normalize(_form: str, text: str) -> str:
        return text

    @staticmethod
    def is_normalized(_form: str, _text: str) -> bool:
        return True


@contextmanager
def older() -> Iterator[None]:
    """Apps and server are of an older Unicode meanwhile."""
    with ExitStack() as stack:
        for module in ("coffret_vault.formats.layout", "coffret_server.wire.pae"):
            stack.enter_context(patch(f"{module}.unicodedata", _Older))
        yield


class Asked(NamedTuple):
    """An owner whom two apps ask, one of them in a way that no newer device reads."""

    owner: Owner
    honest: App
    request: str
    bad: str


WAYS = pytest.mark.parametrize("way", ["purpose", "retention", "tag", "name"])


def asked(world: World, way: str, **options: object) -> Asked:
    """The honest app asks first."""
    owner, honest = world.owner(**options), world.app("Honest")
    owner.vault.remember("a trip")
    request = ask(honest, owner, scopes={"read"})
    with older():
        bad = world.app(NEWER if way == "name" else "Bad")
        more = {"tags": [NEWER]} if way == "tag" else {way: NEWER} if way != "name" else {}
        found = ask(bad, owner, **more)
    return Asked(owner, honest, request, found)


@WAYS
@pytest.mark.attack(30)
def test_a_request_that_does_not_parse_keeps_no_other_from_its_owner(
    world: World, way: str
) -> None:
    """The others are listed and decided; of this one there is an id, and it can be denied."""
    found = asked(world, way)
    vault = found.owner.vault
    for which in ("pending", None):
        shown = {item.request_id: item for item in vault.requests(which)}
        assert shown.keys() == {found.request, found.bad}
        assert [shown[name].readable for name in (found.request, found.bad)] == [True, False]
    alone = vault.request(found.bad)
    assert (alone.request_id, alone.readable) == (found.bad, False)
    assert alone.warnings == (UNREADABLE,)
    with pytest.raises(FormatError, match="denied"):
        vault.approve(found.bad, check_domain=False)
    with pytest.raises(FormatError, match="denied"):
        vault.check_app(found.bad)
    vault.deny(found.bad)
    assert [item.request_id for item in vault.requests()] == [found.request]
    vault.approve(found.request, words=found.honest.words)


@pytest.mark.control(30)
def test_a_list_that_has_to_parse_as_a_whole_is_lost_to_one_app(world: World) -> None:
    """Control: where a request that does not parse is an error, no list is read any more."""
    found = asked(world, "purpose")
    with patch.object(flow, "_read", flow._checked), pytest.raises(FormatError):
        found.owner.vault.requests()


@pytest.mark.attack(30)
def test_what_was_looked_at_is_not_approved_when_it_cannot_be_read(world: World) -> None:
    """A server that exchanges a request for one that does not parse gets nothing approved."""
    network = Evil()
    owner, app = world.owner(transport=network), world.app()
    request_id = ask(app, owner)
    owner.vault.requests()
    path = f"/access-requests/{request_id}"
    network.rewrite[path] = updating({"request": b64(b"nothing")})
    with pytest.raises(FormatError):
        owner.vault.approve(request_id, words=app.words)
    network.rewrite[path] = updating(
        {"request": b64(b"nothing"), "request_id": "01a20000-0000-7000-8000-000000000000"}
    )
    with pytest.raises(TrustError, match="another request"):
        owner.vault.request(request_id)
    assert not any(item.url.path.endswith("/decision") for item in network.requests)


def test_the_command_line_lists_it_and_turns_it_down(tmp_path: Path, world: World) -> None:
    """It is a line of the list with a warning, is not approved, and is denied by its id's end."""
    cli = Cli(tmp_path / "owner")
    cli.init(world.url, "cannot-read")
    with older():
        bad = world.app("Bad").request_access(
            "cannot-read", everything=True, scopes={"read"}, purpose=NEWER, duration=MONTH
        )
    listed = cli("requests")
    assert "(cannot be read)" in listed.out
    assert UNREADABLE in listed.err
    (shape,) = cli("requests", "--json").data()
    assert (shape["request_id"], shape["readable"]) == (bad, False)
    assert "it can only be denied" in cli("approve", bad, "--yes", code=2).err
    cli("deny", bad[-8:])
    assert cli("requests", "--json").data() == []
