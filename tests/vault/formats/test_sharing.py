"""Selectors, requests and grants, on the writer's side."""

from typing import Any

import msgspec
import pytest

from coffret_vault.errors import FormatError
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    GRANT,
    MANIFEST,
    SEALED_KEY_SIZE,
    SELECTOR,
    Selector,
    grant_approval,
    grant_key_info,
)
from coffret_vault.primitives.identity import seal_to
from coffret_vault.primitives.secret import SecretBytes
from vectors.making.samples import (
    APP_KEYS,
    GRANT_SAMPLE,
    MANIFEST_SAMPLE,
    REQUEST_SAMPLE,
)


@pytest.mark.parametrize(
    "selector",
    [
        Selector(),
        Selector(everything=True, tags=frozenset("a")),
        Selector(everything=True, since=0),
        Selector(importance=1_000_001),
        Selector(tags=frozenset(map(str, range(257)))),
        Selector(ids=frozenset((b"short",))),
    ],
)
def test_what_cannot_be_a_selector_is_not_written(selector: Selector) -> None:
    """A selector names everything or something, never both, never nothing."""
    with pytest.raises(FormatError):
        SELECTOR.serialize(selector)


@pytest.mark.parametrize("selector", [Selector(importance=0), Selector(since=0)])
def test_a_dimension_of_zero_is_a_dimension(selector: Selector) -> None:
    """At least 0 and since the epoch are said, not left out."""
    assert SELECTOR.parse(SELECTOR.serialize(selector)) == selector


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": frozenset()},
        {"scopes": frozenset(("admin",))},
        {"seconds": 3_599},
        {"seconds": 316_224_001},
        {"purpose": " \n"},
        {"purpose": "p" * 1001},
        {"selector": Selector()},
        {"nonce": b"short"},
    ],
)
def test_what_cannot_be_a_request_is_not_written(changes: dict[str, Any]) -> None:
    """Each rule of a request holds for its writer too."""
    with pytest.raises(FormatError):
        ACCESS_REQUEST.serialize(msgspec.structs.replace(REQUEST_SAMPLE, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"scopes": frozenset()}, {"expires": GRANT_SAMPLE.created}, {"selector": Selector()}],
)
def test_what_cannot_be_a_grant_is_not_written(changes: dict[str, Any]) -> None:
    """Each rule of a grant holds for its writer too."""
    with pytest.raises(FormatError):
        GRANT.serialize(msgspec.structs.replace(GRANT_SAMPLE, **changes))


def test_an_app_has_a_name() -> None:
    """A manifest with a blank name is refused."""
    with pytest.raises(FormatError):
        MANIFEST.serialize(msgspec.structs.replace(MANIFEST_SAMPLE, name="\u2003"))


def _another(value: object) -> object:
    """A value of the same type that is another one."""
    if isinstance(value, bytes):
        return bytes(len(value))
    if isinstance(value, frozenset):
        return frozenset(("delete",))
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else Selector(everything=True)


def test_every_field_of_a_grant_is_in_what_the_owner_signs_and_seals_with() -> None:
    """A grant with any field changed has another approval and another info."""
    statement = GRANT.serialize(GRANT_SAMPLE)
    for name in GRANT_SAMPLE.__struct_fields__:
        change = {name: _another(getattr(GRANT_SAMPLE, name))}
        changed = GRANT.serialize(msgspec.structs.replace(GRANT_SAMPLE, **change))
        assert grant_approval(changed, b"key") != grant_approval(statement, b"key")
        assert grant_key_info(changed) != grant_key_info(statement)
    assert grant_approval(statement, b"other") != grant_approval(statement, b"key")


def test_a_sealed_key_has_its_published_size() -> None:
    """Encapsulation, 32 bytes and a tag."""
    sealed = seal_to(APP_KEYS.sealing.public, SecretBytes(bytes(32)), b"")
    assert len(sealed) == SEALED_KEY_SIZE
