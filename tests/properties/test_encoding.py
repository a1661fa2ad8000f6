"""Encodings: one form for one value, and none for two."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coffret_vault.errors import CodeTypoError, FormatError
from coffret_vault.formats.codes import RECOVERY_CODE, SECRET_KEY, read_code, write_code
from coffret_vault.formats.layout import id_text, parse_id
from coffret_vault.formats.memory import Payload, parse_payload, serialize_payload
from coffret_vault.formats.padding import pad, padded_size, unpad
from coffret_vault.formats.pae import pack_list, pack_set, pae, read_list, read_pae, read_set
from vectors.making.samples import LAYOUTS, SAMPLES

bounded = settings(max_examples=100, deadline=None)
fields = st.lists(st.binary(max_size=12), max_size=6)
purposes = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,4})?", fullmatch=True)
kinds = st.sampled_from(sorted(SAMPLES))
CODES = {SECRET_KEY: 20, RECOVERY_CODE: 32}


@pytest.mark.attack(30)
@bounded
@given(purposes, fields, purposes, fields)
def test_two_tuples_never_encode_alike(
    purpose: str, values: list[bytes], other_purpose: str, others: list[bytes]
) -> None:
    """PAE is injective over purpose and fields together."""
    same = (purpose, values) == (other_purpose, others)
    assert (pae(purpose, *values) == pae(other_purpose, *others)) == same


@pytest.mark.attack(30)
@bounded
@given(st.lists(st.binary(max_size=12), min_size=2, max_size=6), st.data())
def test_bytes_moved_between_neighbours_change_the_encoding(
    values: list[bytes], data: st.DataObject
) -> None:
    """Fields with the same bytes in a row, cut elsewhere, encode differently."""
    at = data.draw(st.integers(0, len(values) - 2))
    joined = values[at] + values[at + 1]
    cut = data.draw(st.integers(0, len(joined)))
    assume(cut != len(values[at]))
    moved = [*values[:at], joined[:cut], joined[cut:], *values[at + 2 :]]
    assert b"".join(moved) == b"".join(values)
    assert pae("example", *moved) != pae("example", *values)


@pytest.mark.attack(30)
@bounded
@given(purposes, fields)
def test_pae_reads_back(purpose: str, values: list[bytes]) -> None:
    """What was encoded is read back, and only under its own purpose and count."""
    encoded = pae(purpose, *values)
    assert read_pae(purpose, len(values), encoded) == values
    with pytest.raises(FormatError):
        read_pae(purpose + "x", len(values), encoded)
    with pytest.raises(FormatError):
        read_pae(purpose, len(values) + 1, encoded)


@bounded
@given(st.binary(max_size=80))
def test_what_is_read_as_a_list_is_its_one_encoding(data: bytes) -> None:
    """Any bytes are refused, or are exactly the encoding of what was read from them."""
    for read, pack in ((read_list, pack_list), (read_set, pack_set)):
        try:
            items = read(data, most=100)
        except FormatError:
            continue
        assert pack(items) == data


@bounded
@given(st.lists(st.binary(max_size=8), max_size=10), st.integers(0, 10))
def test_sets_have_one_order_and_a_limit(items: list[bytes], most: int) -> None:
    """Sets come back sorted and distinct; one item over the limit is refused."""
    packed = pack_set(items)
    if len(set(items)) > most:
        with pytest.raises(FormatError):
            read_set(packed, most=most)
    else:
        assert read_set(packed, most=most) == sorted(set(items))


def _outcome(kind: str, data: bytes) -> Any:
    try:
        return LAYOUTS[kind].parse(data)
    except FormatError:
        return None


@pytest.mark.attack(30)
@settings(max_examples=400, deadline=None)
@given(kinds, st.data())
def test_a_changed_byte_is_refused_or_is_another_object(kind: str, data: st.DataObject) -> None:
    """No byte of an object can change without being noticed in what is parsed."""
    encoded = LAYOUTS[kind].serialize(SAMPLES[kind])
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = bytearray(encoded)
    changed[at] ^= data.draw(st.integers(1, 255))
    parsed = _outcome(kind, bytes(changed))
    if parsed is not None:
        assert parsed != SAMPLES[kind]
        assert LAYOUTS[kind].serialize(parsed) == bytes(changed)


@pytest.mark.attack(30)
@settings(max_examples=200, deadline=None)
@given(kinds, st.data())
def test_bytes_put_in_or_taken_out_are_refused(kind: str, data: st.DataObject) -> None:
    """An object with bytes more or fewer anywhere does not parse."""
    encoded = LAYOUTS[kind].serialize(SAMPLES[kind])
    at = data.draw(st.integers(0, len(encoded) - 1))
    extra = data.draw(st.binary(min_size=1, max_size=9))
    assert _outcome(kind, encoded[:at] + extra + encoded[at:]) is None
    gone = data.draw(st.integers(1, len(encoded) - at))
    assert _outcome(kind, encoded[:at] + encoded[at + gone :]) is None


@pytest.mark.attack(30)
@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_every_first_kilobyte_of_bits(kind: str) -> None:
    """Every bit of every object's beginning: refused, or parsed to exactly what it then says."""
    encoded = LAYOUTS[kind].serialize(SAMPLES[kind])
    accepted = 0
    for bit in range(8 * min(len(encoded), 600)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        parsed = _outcome(kind, bytes(changed))
        if parsed is not None:
            accepted += 1
            assert parsed != SAMPLES[kind]
            assert LAYOUTS[kind].serialize(parsed) == bytes(changed)
    assert accepted


@bounded
@given(st.integers(0, 1 << 22))
def test_padding_is_monotonous_and_cheap(size: int) -> None:
    """A frame is never shorter than its content, costs an eighth at most above 2 KiB, and grows."""
    padded = padded_size(size)
    assert padded_size(padded) == padded >= size
    assert padded <= padded_size(size + 1)
    assert size <= 2048 or (padded - size) * 8 <= size


@bounded
@given(st.binary(max_size=5000), st.data())
def test_frames_read_back_and_no_other_form_does(content: bytes, data: st.DataObject) -> None:
    """A frame gives back its content; a byte of it changed gives an error or other content."""
    frame = pad(content)
    assert unpad(frame) == content
    at = data.draw(st.integers(0, len(frame) - 1))
    changed = frame[:at] + bytes([frame[at] ^ data.draw(st.integers(1, 255))]) + frame[at + 1 :]
    try:
        other = unpad(changed)
    except FormatError:
        return
    assert other != content
    assert pad(other) == changed


@pytest.mark.attack(51)
@pytest.mark.parametrize("low", [0, 249, 505, 1017])
def test_sizes_of_a_bucket_look_alike(low: int) -> None:
    """All contents of one bucket have frames of one length."""
    high = {0: 248, 249: 504, 505: 1016, 1017: 2040}[low]
    assert {len(pad(bytes(size))) for size in range(low, high + 1)} == {high + 8}


@bounded
@given(st.sampled_from(sorted(CODES)), st.data())
def test_codes_read_back_as_people_type_them(kind: str, data: st.DataObject) -> None:
    """A code is read however it is cased and spaced."""
    secret = data.draw(st.binary(min_size=CODES[kind], max_size=CODES[kind]))
    code = write_code(kind, secret)
    spaced = "".join(data.draw(st.sampled_from((c, c.lower(), f" {c}", f"{c}-"))) for c in code)
    assert read_code(kind, spaced) == secret


@pytest.mark.parametrize("kind", sorted(CODES))
def test_a_code_with_one_symbol_changed_is_refused(kind: str) -> None:
    """Each of the symbols behind the beginning, replaced by each other one, is a typing mistake."""
    code = write_code(kind, bytes(range(CODES[kind])))
    for at in range(4, len(code)):
        if code[at] == "-":
            continue
        for symbol in set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") - {code[at]}:
            with pytest.raises(CodeTypoError):
                read_code(kind, code[:at] + symbol + code[at + 1 :])


@bounded
@given(st.sampled_from(sorted(CODES)), st.text(max_size=80))
def test_any_text_is_no_code(kind: str, text: str) -> None:
    """Whatever a person types is refused with the one error, or is the code of its secret."""
    try:
        secret = read_code(kind, text)
    except CodeTypoError:
        return
    assert read_code(kind, write_code(kind, secret)) == secret


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@bounded
@given(
    st.text(min_size=1, max_size=300),
    st.dictionaries(st.text(max_size=5), plain, max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.none() | st.floats(0, 1),
)
def test_payloads_read_back(
    content: str, metadata: dict[str, Any], labels: dict[str, str], confidence: float | None
) -> None:
    """A payload is read back as it was written, metadata of every kind included."""
    payload = Payload(
        format=1, content=content, metadata=metadata, labels=labels, confidence=confidence
    )
    data = serialize_payload(payload)
    assert parse_payload(data) == payload
    assert serialize_payload(parse_payload(data)) == data


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_payload_is_refused_or_another(data: st.DataObject) -> None:
    """A payload with a byte changed is refused with the one error, or is in its one encoding."""
    encoded = serialize_payload(
        Payload(format=1, content="Café", metadata={"a": [1, 2.5, None]}, tags=("a", "b"))
    )
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:at] + bytes([data.draw(st.integers(0, 255))]) + encoded[at + 1 :]
    try:
        parsed = parse_payload(changed)
    except FormatError:
        assert changed != encoded
        return
    assert serialize_payload(parsed) == changed


@bounded
@given(st.binary(max_size=200))
def test_noise_is_no_payload(noise: bytes) -> None:
    """Any bytes give a payload or the one error, nothing else."""
    try:
        parsed = parse_payload(noise)
    except FormatError:
        return
    assert serialize_payload(parsed) == noise


@bounded
@given(st.binary(min_size=16, max_size=16))
def test_ids_have_one_written_form(identifier: bytes) -> None:
    """An id is read back from its text, and from no other spelling of it."""
    text = id_text(identifier)
    assert parse_id(text) == identifier
    for spelling in (text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}", ""):
        if spelling != text:
            with pytest.raises(FormatError):
                parse_id(spelling)
