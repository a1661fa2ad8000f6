"""Cards, keyslots, manifests, requests, selectors: what is refused."""

import pytest

from coffret_server.problems import ProblemError
from coffret_server.wire import apps, identity
from server import forge

OWNER, APP = forge.Owner(), forge.App()


def refused(read: object, data: bytes) -> str:
    """The code with which a reader refuses bytes."""
    assert callable(read)
    with pytest.raises(ProblemError) as caught:
        read(data)
    return caught.value.code


NAMES = ["ab", "a" * 65, "Ada", "-ada", "ada!", "ada lovelace", "adä", ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_username_of_another_form_is_refused(name: str) -> None:
    """Names are 3 to 64 of a few characters."""
    assert refused(identity.check_username, name) == "malformed"  # type: ignore[arg-type]


class OddSlot(forge.Keyslot):
    """A keyslot whose KDF is whatever a test says."""

    odd: bytes | None = None

    def kdf(self) -> bytes:
        """The KDF's parameters."""
        return super().kdf() if self.odd is None else self.odd


def keyslot(**changes: object) -> bytes:
    """A keyslot with changes."""
    slot = OddSlot(OWNER.account)
    for name, value in changes.items():
        setattr(slot, name, value)
    return slot.raw()


KEYSLOTS = {
    "unknown kind": (keyslot(kind="biometric"), "malformed"),
    "generation zero": (keyslot(generation=0), "malformed"),
    "passphrase without KDF": (keyslot(odd=forge.listing()), "malformed"),
    "another algorithm": (
        keyslot(odd=forge.listing(b"pbkdf2xx", bytes(16), *[forge.u64(1)] * 3)),
        "malformed",
    ),
    "a short salt": (
        keyslot(odd=forge.listing(b"argon2id", bytes(8), *[forge.u64(1)] * 3)),
        "malformed",
    ),
    "four parameters": (
        keyslot(odd=forge.listing(b"argon2id", bytes(16), *[forge.u64(1)] * 2)),
        "malformed",
    ),
    "a short wrap": (keyslot(wrap=b"\1"), "malformed"),
    "a wrap of another suite": (keyslot(wrap=b"\2" + bytes(112)), "unknown-suite"),
}


@pytest.mark.parametrize("name", KEYSLOTS)
def test_a_wrong_keyslot_is_refused(name: str) -> None:
    """Each defect has its class."""
    data, expected = KEYSLOTS[name]
    assert refused(identity.parse_keyslot, data) == expected


def test_a_recovery_slot_has_no_kdf() -> None:
    """A recovery slot is read without parameters, and refused with them."""
    slot = forge.Keyslot(OWNER.account, "recovery")
    assert identity.parse_keyslot(slot.raw()).kdf is None
    parameters = forge.Keyslot(OWNER.account).kdf()
    assert refused(identity.parse_keyslot, keyslot(kind="recovery", odd=parameters)) == "malformed"


def chosen(*parts: bytes) -> bytes:
    """A selector of these fields."""
    return forge.pae("selector", *parts)


NONE = forge.listing()
SELECTORS = {
    "nothing": chosen(b"\0", NONE, NONE, NONE, NONE, NONE),
    "everything and a tag": chosen(b"\1", forge.sorted_set("a"), NONE, NONE, NONE, NONE),
    "an id of ten bytes": chosen(b"\0", NONE, NONE, forge.listing(bytes(10)), NONE, NONE),
    "unsorted tags": chosen(b"\0", forge.listing(b"b", b"a"), NONE, NONE, NONE, NONE),
    "importance above one": chosen(
        b"\0", NONE, NONE, NONE, forge.listing(forge.u64(1_000_001)), NONE
    ),
    "since of seven bytes": chosen(b"\0", NONE, NONE, NONE, NONE, forge.listing(bytes(7))),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_a_wrong_selector_is_malformed(name: str) -> None:
    """A selector says everything, or names something, in one form."""
    assert refused(apps.check_selector, SELECTORS[name]) == "malformed"


def test_right_selectors_are_accepted() -> None:
    """Everything, or any dimension."""
    apps.check_selector(forge.selector(1))
    apps.check_selector(chosen(b"\0", NONE, NONE, NONE, NONE, forge.listing(forge.u64(1))))
    apps.check_selector(
        chosen(b"\0", NONE, NONE, forge.sorted_set(bytes(16)), forge.listing(forge.u64(1)), NONE)
    )


def test_an_app_needs_a_name() -> None:
    """A manifest without a name, or with one too long, is malformed."""
    for name in ("", "x" * 81):
        assert refused(apps.parse_manifest, forge.App(name).manifest()) == "malformed"
    assert apps.parse_manifest(APP.manifest()).app == APP.app
