"""The one connection that is not to the server: to an app's own website."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret.connection import certificates
from coffret.transport import AsyncDriver, SyncDriver
from coffret.wellknown import Web, is_public, look_up
from coffret_vault.errors import FormatError, NetworkError
from coffret_vault.grants.domain import MAX_DOCUMENT
from harness.website import HOST, Website, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """A website that is there."""
    with Website(tmp_path) as made:
        yield made


def test_what_is_asked_is_one_path_and_nothing_of_a_person(site: Website) -> None:
    """One connection, one GET of the fixed path, with no cookie, token, language or referrer."""
    site.answer = page(b"{}")
    answer = site.web()(HOST)
    assert (answer.status, answer.body, answer.headers) == (200, b"{}", {})
    (asked,) = site.asked
    assert asked.decode().split("\r\n") == [
        "GET /.well-known/coffret-app.json HTTP/1.1",
        f"Host: {HOST}",
        "User-Agent: coffret",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: close",
        "",
        "",
    ]
    assert site.connections == 1


def test_an_answer_in_chunks_is_put_together(site: Website) -> None:
    """A website may send its file in pieces."""
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    site.answer = head.encode() + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert site.web()(HOST).body == b"abc"


def test_redirects_are_given_back_and_not_followed(site: Website) -> None:
    """A redirect is an answer like another: nobody goes where it points."""
    site.answer = page(b"", "302 Found", f"Location: https://{HOST}/elsewhere")
    assert site.web()(HOST).status == 302
    assert site.connections == 1


def test_an_answer_that_is_none_is_refused(site: Website) -> None:
    """Too long, cut off, compressed, or no HTTP at all: a FormatError."""
    zipped = gzip.compress(b"{}")
    for wrong in (
        page(b" " * (MAX_DOCUMENT + (17 << 10))),
        page(b"abc")[:-1],
        page(zipped, "200 OK", "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n{}",
        *(
            b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n{}"
            for length in (b"9" * 18, b"9" * 30)
        ),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"",
    ):
        site.answer = wrong
        with pytest.raises(FormatError):
            site.web()(HOST)


def test_a_website_without_a_good_certificate_is_not_heard(site: Website, tmp_path: Path) -> None:
    """Another name, or an authority that nobody knows: unreachable, whatever it would say."""
    site.answer = page(b"{}")
    with pytest.raises(NetworkError):
        site.web()("other.example.com")
    with pytest.raises(NetworkError):
        Web(addresses=site.here, allowed=lambda _: True)(HOST)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    with Website(elsewhere, "other.example.com") as other:
        with pytest.raises(NetworkError):
            Web(addresses=other.here, allowed=lambda _: True, context=other.trusted)(HOST)
        assert other.asked == []
    assert site.asked == []


def test_without_certificates_a_website_is_unreachable(
    site: Website, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where those that were named cannot be read, the owner goes on without asking the website."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(NetworkError):
        Web(addresses=site.here, allowed=lambda _: True, context=certificates)(HOST)
    assert site.connections == 0


def test_a_client_that_verifies_nothing_hears_anybody(site: Website) -> None:
    """Control: without the verification the same website is heard under any name."""

    def careless() -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    site.answer = page(b"{}")
    web = Web(addresses=site.here, allowed=lambda _: True, context=careless)
    assert web("other.example.com").body == b"{}"


def test_addresses_of_this_machine_are_not_connected_to(site: Website) -> None:
    """A name at this machine, or at no address, gets no connection."""
    with pytest.raises(NetworkError):
        Web(addresses=site.here, context=site.trusted)(HOST)
    with pytest.raises(NetworkError):
        Web(addresses=lambda _: [], context=site.trusted)(HOST)
    assert site.connections == 0


def test_a_resolver_that_never_answers_is_not_waited_for(site: Website) -> None:
    """Not beyond the ten seconds in all; and however often it is tried, few threads hang there."""
    answered, before = threading.Event(), set(threading.enumerate())

    def silent(_host: str) -> list[tuple[str, int]]:
        answered.wait()
        return list(site.here(HOST))

    web = Web(addresses=silent, allowed=lambda _: True, context=site.trusted)
    with patch("coffret.wellknown._SECONDS", 0.01):
        for _ in range(20):
            with pytest.raises(NetworkError):
                web(HOST)
    hanging = [thread for thread in threading.enumerate() if thread.name == "coffret-name"]
    assert len(hanging) == 4
    assert set(threading.enumerate()) - before == set(hanging)
    assert all(thread.daemon for thread in hanging)
    assert site.connections == 0
    answered.set()
    for thread in hanging:
        thread.join()
    site.answer = page(b"{}")
    assert web(HOST).status == 200


def test_what_the_resolver_says_is_said(site: Website) -> None:
    """A name that is none is an error at once, as often as it is asked for."""

    def nowhere(_host: str) -> list[tuple[str, int]]:
        message = "no such name"
        raise NetworkError(message)

    web = Web(addresses=nowhere, context=site.trusted)
    for _ in range(10):
        with pytest.raises(NetworkError, match="no such name"):
            web(HOST)


def test_one_private_address_beside_a_good_one_is_too_many(site: Website) -> None:
    """All of a name's addresses have to be on the internet, not only the one that answers."""
    site.answer = page(b"{}")

    def two(host: str) -> list[tuple[str, int]]:
        return [*site.here(host), ("10.0.0.1", 443)]

    web = Web(addresses=two, allowed=lambda address: address != "10.0.0.1", context=site.trusted)
    with pytest.raises(NetworkError):
        web(HOST)
    assert site.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("64:ff9b:1::1", "2001:0:7f00:1::", "localhost", ""),
    ],
)
def test_which_addresses_are_nobodys(address: str) -> None:
    """Loopback, private, link-local, reserved, multicast, and IPv6 that stands for such an IPv4."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
)
def test_which_addresses_are_on_the_internet(address: str) -> None:
    """Public ones, also where IPv6 stands for a public IPv4."""
    assert is_public(address)


def test_the_deadline_is_over_the_whole_answer(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A website that drips its answer is unreachable when the time is over, whatever came."""
    site.answer = page(b"x" * (60 << 10))
    ticks = iter(range(6))  # of six looks at the clock the last is past the deadline
    monkeypatch.setattr("coffret.wellknown._SECONDS", 4.5)
    monkeypatch.setattr("coffret.wellknown._CHUNK", 1)
    monkeypatch.setattr("coffret.wellknown.monotonic", lambda: next(ticks))
    with pytest.raises(NetworkError):
        site.web()(HOST)
    assert list(ticks) == []


def test_nobody_is_looked_up_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a machine goes out through a proxy, no name is resolved and nothing is connected to."""
    monkeypatch.setattr("coffret.wellknown.getproxies", lambda: {"https": "http://proxy:3128"})
    monkeypatch.setattr("coffret.wellknown.proxy_bypass", lambda _: False)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(NetworkError, match="proxy"):
        look_up(HOST)


def test_a_name_is_looked_up_once_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's addresses are taken at port 443; a name it does not know is unreachable."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]
    monkeypatch.setattr("coffret.wellknown.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)
    assert look_up(HOST) == [("93.184.216.34", 443)]

    def unknown(*_args: object, **_more: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NetworkError):
        look_up(HOST)


@pytest.mark.parametrize("driver", [SyncDriver, AsyncDriver])
def test_drivers_resolve_judge_and_verify_for_real(driver: type[SyncDriver | AsyncDriver]) -> None:
    """What tests replace is in place otherwise: resolver, judge of addresses, certificates."""
    web = driver("https://vault.example").web
    assert isinstance(web, Web)
    assert (web._look_up._addresses, web._allowed) == (look_up, is_public)
    context = web._context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
