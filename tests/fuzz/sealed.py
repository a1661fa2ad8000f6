"""What is sealed: envelopes, frames, payloads, streams, keys sealed to an identity."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

from coffret_vault.envelope import OVERHEAD, open_envelope, seal
from coffret_vault.errors import FormatError, OpenError
from coffret_vault.formats.padding import pad, unpad
from coffret_vault.primitives.identity import SealingKey
from coffret_vault.primitives.stream import open_stream, seal_stream
from coffret_vault.records.seal import open_version
from fuzz.choosing import Choices, short
from fuzz.target import Target, agreed, given_of
from vectors.making.book import Steady, steady
from vectors.making.samples import secret
from vectors.verifier import aes
from vectors.verifier.refusal import Refused
from vectors.verifier.stream import open_stream as open_stream_by_definition

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = secret("fuzzed")
_CONTEXT = b"fuzzed"


def _check_payload(data: bytes) -> None:
    """Both readers agree on a payload; what is read is written as it was."""
    agreed("payload", {"bytes": data.hex()})


def _check_frame(data: bytes) -> None:
    """Both readers agree on a frame, given with its filling left out; it is framed as it was."""
    choices = Choices(data)
    frame = choices.short()
    frame += bytes(choices.number(2)) + choices.rest()
    if agreed("unpad", {"frame": frame.hex()}) is not None:
        assert pad(unpad(frame)) == frame


def _frame_seeds() -> Iterator[bytes]:
    for given in given_of("padding", "unpad"):
        frame = bytes.fromhex(given["frame"])
        begin = frame.rstrip(b"\0")
        yield short(begin) + (len(frame) - len(begin)).to_bytes(2, "big")


def _check_envelope(data: bytes) -> None:
    """Both readers agree on an envelope: as it is, or really sealed, or that with bytes changed."""
    choices = Choices(data)
    kind, header, content = choices.number() % 3, choices.short(), choices.short()
    envelope = content
    if kind:
        envelope = seal("memory", _KEY, header, content, random=Steady("fuzz"))
    if kind == 2:
        at, byte = choices.number(2) % len(envelope), choices.number()
        envelope = envelope[:at] + bytes([envelope[at] ^ byte]) + envelope[at + 1 :]
    given = {"purpose": "memory", "key": _KEY.reveal().hex(), "header": header.hex()}
    found = agreed("open", given | {"envelope": envelope.hex()})
    assert kind != 1 or found == {"plaintext": content.hex()}
    with contextlib.suppress(OpenError):
        open_version(header, envelope, _KEY)


def _envelope_seeds() -> Iterator[bytes]:
    for given in given_of("envelope", "open"):
        header, envelope = bytes.fromhex(given["header"]), bytes.fromhex(given["envelope"])
        if len(envelope) < 512:
            yield b"\0" + short(header) + short(envelope)
    yield b"\1" + short(b"header") + short(pad(b"\x82\xa6format\x01\xa7content\xa1x"))
    yield b"\2" + short(b"header") + short(b"content") + b"\0\x21\1"


def _check_stream(data: bytes) -> None:
    """A stream opens as its definition says: as it is, or really sealed, or with a byte changed."""
    choices = Choices(data)
    kind, content, zeros = choices.number() % 3, choices.short(), choices.number(2)
    sealed = content
    if kind:
        content += bytes(zeros)
        sealed = seal_stream(_KEY, _CONTEXT, content)
    if kind == 2:
        at, byte = choices.number(2) % len(sealed), choices.number()
        sealed = sealed[:at] + bytes([sealed[at] ^ byte]) + sealed[at + 1 :]
        assert not byte or _opened(sealed) is None
    assert kind != 1 or _opened(sealed) == content
    if len(sealed) < 600:
        assert _opened(sealed) == _opened_by_definition(sealed)


def _opened(sealed: bytes) -> bytes | None:
    try:
        return open_stream(_KEY, _CONTEXT, sealed)
    except OpenError:
        return None


def _opened_by_definition(sealed: bytes) -> bytes | None:
    try:
        return open_stream_by_definition(_KEY.reveal(), _CONTEXT, sealed, "sha512", aes.gcm_open)
    except Refused:
        return None


def _stream_seeds() -> Iterator[bytes]:
    yield b"\0" + short(steady("stream", 100)) + b"\0\0"
    for size in (0, 100, 16_384, 16_385):
        yield b"\1" + short(b"") + size.to_bytes(2, "big")
        yield b"\2" + short(b"some") + size.to_bytes(2, "big") + b"\0\x39\1"


_SEALING = SealingKey(secret("sealing"))


def _check_sealed_key(data: bytes) -> None:
    """A key sealed to an identity opens, or there is the one error."""
    choices = Choices(data)
    info, sealed = choices.short(), choices.rest()
    with contextlib.suppress(OpenError):
        _SEALING.open(sealed, info)


def _sealed_key_seeds() -> Iterator[bytes]:
    for given in given_of("hpke", "hpke-open"):
        yield short(bytes.fromhex(given["info"])) + bytes.fromhex(given["sealed"])


def _bytes(file: str, operation: str, name: str) -> Iterator[bytes]:
    found = (bytes.fromhex(given[name]) for given in given_of(file, operation))
    return (data for data in found if len(data) <= 2048)


def _check_raw(data: bytes) -> None:
    """Bytes that were never sealed do not open, and a frame of them is refused or is one."""
    try:
        open_envelope("memory", _KEY, b"", data)
    except OpenError:
        pass
    else:
        message = "what nobody sealed opens"
        raise AssertionError(message)
    with contextlib.suppress(FormatError):
        assert pad(unpad(data)) == data


def _raw_seeds() -> Iterator[bytes]:
    yield b"\1" + bytes(OVERHEAD)
    yield pad(b"x")


TARGETS = (
    Target("payload", _check_payload, partial(_bytes, "payload", "payload", "bytes"), 2048),
    Target("frame", _check_frame, _frame_seeds, 4096),
    Target("envelope", _check_envelope, _envelope_seeds, 1024),
    Target("raw", _check_raw, _raw_seeds, 1024),
    Target("stream", _check_stream, _stream_seeds, 1024),
    Target("sealed-key", _check_sealed_key, _sealed_key_seeds, 2048),
)
