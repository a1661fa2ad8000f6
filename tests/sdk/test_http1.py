"""HTTP/1.1 without sockets: what is sent, and what an answer may be."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from coffret.http1 import HEAD_LIMIT, Address, Answer, Outgoing, WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Address("http", "127.0.0.1", 80, "127.0.0.1", "/api/v1/x?from=1", b"from=1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def feed(answer: Answer, parts: Iterable[bytes]) -> None:
    """Let these parts come."""
    for part in parts:
        answer.feed(part)


def fed(*parts: bytes) -> Answer:
    """An answer that came in these parts."""
    answer = Answer()
    feed(answer, parts)
    return answer


def test_a_request_is_its_lines_and_its_body() -> None:
    """Head and body are one piece, as RFC 9112 has it."""
    request = Outgoing("POST", HERE, {"Host": "127.0.0.1", "Content-Length": "2"}, b"\0\n")
    lines = b"POST /api/v1/x?from=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"
    assert request.wire() == lines + b"\0\n"


@pytest.mark.parametrize("trick", ["\r\nX: 1", "\n", "\r", "\0", "é", "\udce9", "\u2028"])
def test_no_header_makes_a_line_of_its_own(trick: str) -> None:
    """A value with a line break, half of one, or what nobody reads alike, is never sent."""
    with pytest.raises(WireError):
        Outgoing("GET", HERE, {"Host": "a", "Accept": f"b{trick}"}, b"").wire()


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(OK)])
def test_an_answer_is_the_same_in_any_pieces(size: int) -> None:
    """Wherever the network cuts it."""
    answer = fed(*[OK[at : at + size] for at in range(0, len(OK), size)])
    assert (answer.status, answer.is_whole, answer.may_go_on) == (200, True, True)
    assert answer.headers == {"content-length": "2", "x-a": "1, 2"}
    assert b"".join(answer.taken()) == b"ok"
    assert answer.taken() == []


def test_chunks_are_joined_and_what_follows_them_is_left() -> None:
    """The body of a chunked answer is what its chunks hold; trailers become no headers."""
    answer = fed(CHUNKED, b"2;ext=1\r\nok\r\n", b"1\r\n!\r\n0\r\nContent-Encoding: x\r\n\r\n")
    assert answer.is_whole
    assert b"".join(answer.taken()) == b"ok!"
    assert "content-encoding" not in answer.headers


def test_interim_answers_are_passed_over() -> None:
    """What comes before the answer proper is none, and its headers are not the answer's."""
    answer = fed(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Go\r\n\r\n", OK)
    assert (answer.status, answer.is_whole, "link" in answer.headers) == (200, True, False)


@pytest.mark.parametrize(
    "after", [OK, b"HTTP/1.1 200 OK\r\n", b"garbage", b"\0"], ids=["twice", "more", "noise", "zero"]
)
def test_what_follows_an_answer_makes_the_connection_worthless(after: bytes) -> None:
    """The answer stands as it was; nothing else is read on that connection."""
    for parts in ((OK, after), (OK + after,)):
        answer = fed(*parts)
        assert answer.is_whole
        assert not answer.may_go_on
        assert b"".join(answer.taken()) == b"ok"
        assert answer.headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    "text",
    [b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", OK.replace(b"X-A: 1", b"Connection: close")],
)
def test_a_server_may_end_the_connection(text: bytes) -> None:
    """Where it says so, or speaks an old HTTP, nothing more is sent on it."""
    answer = fed(text)
    assert (answer.is_whole, answer.may_go_on) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        b"?\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok" + OK,
        b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\nok" + OK,
        b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 101 Other\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n",
        CHUNKED + b"g\r\n",
        CHUNKED + b"fffffffffffffffffff\r\n",
        OK[:-1],
        OK[:20],
        b"",
    ],
)
def test_what_is_no_answer_is_refused(text: bytes) -> None:
    """Other protocols, two lengths, folded lines, an end too early: an error, and no answer."""
    answer = Answer()
    with pytest.raises(WireError):
        feed(answer, (text, b""))
    assert not answer.is_whole


def test_without_a_length_nothing_is_whole() -> None:
    """Where only the connection's end would end the body, its end is an error."""
    answer = fed(b"HTTP/1.1 200 OK\r\n\r\n", b"half")
    with pytest.raises(WireError):
        answer.feed(b"")
    assert not answer.is_whole


@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nA: ", CHUNKED + b"0\r\nT: ", CHUNKED + b"1;"],
    ids=["headers", "one header", "a trailer", "an extension"],
)
def test_a_head_has_an_end(begin: bytes) -> None:
    """Headers, trailers and extensions that go on are refused before they fill the memory."""
    answer, line = fed(begin), b"A: b\r\n" if begin.endswith(b"\n") else b"a" * 8
    with pytest.raises(WireError):
        feed(answer, repeat(line * 100, HEAD_LIMIT))
    assert not answer.is_whole


@pytest.mark.parametrize("status", [b"000", b"099", b"100", b"103", b"199"])
def test_no_body_comes_before_an_answer(status: bytes) -> None:
    """What would be the body of an interim answer is not kept: it could go on without end."""
    head = b"HTTP/1.1 " + status + b" Wait\r\nContent-Length: 99999999\r\n\r\n"
    answer = Answer()
    with pytest.raises(WireError):
        feed(answer, (head, b"x" * HEAD_LIMIT))
    assert answer.taken() == []


def test_interim_answers_have_an_end() -> None:
    """A server that only ever says that it is going to answer is left."""
    answer = Answer()
    with pytest.raises(WireError):
        feed(answer, repeat(b"HTTP/1.1 100 Go\r\n\r\n", HEAD_LIMIT))
