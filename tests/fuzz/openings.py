"""What secrets open and what signatures stand for: an account, and an approval, with parts changed.

An input is a list of parts with a byte in front that says what is signed anew: so what is behind a
signature is reached too, as a hostile owner or app would sign it.
"""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from coffret.flows.signup import open_account, unlock_with_passphrase
from coffret.flows.state import AccountFile, Ambient
from coffret_vault.envelope.signature import sign_statement
from coffret_vault.errors import CredentialsError, FormatError, OpenError, TrustError
from coffret_vault.formats.account import ACCOUNT_CARD, KEYSLOT, Kdf
from coffret_vault.formats.pae import u64
from coffret_vault.formats.sharing import (
    ACCESS_REQUEST,
    GRANT,
    MANIFEST,
    grant_approval,
    grant_key_info,
)
from coffret_vault.grants.approve import (
    CheckedRequest,
    MadeGrant,
    Terms,
    check_request,
    make_grant,
    open_owner_wrap,
    verify_own_grant,
)
from coffret_vault.grants.apps import Signed, SignedGrant, open_grant
from coffret_vault.keyring import Keyring
from coffret_vault.keyring.keyring import seal_identity
from coffret_vault.keyslots.kdf import KdfLimits
from coffret_vault.keyslots.slots import (
    Place,
    SlotPlan,
    derive_passphrase_keys,
    derive_recovery_keys,
    make_keyslot,
)
from fuzz.shaping import join, mutate_fields, split
from fuzz.target import Target
from vectors.making.book import Steady, steady
from vectors.making.samples import (
    ACCOUNT_ID,
    APP_KEYS,
    CARD,
    CREATED,
    GRANT_ID,
    GRANT_SAMPLE,
    MANIFEST_SAMPLE,
    ORIGIN,
    OWNER_KEYS,
    REQUEST_SAMPLE,
    SLOT_ID,
    UPDATED,
    secret,
    seeds,
)
from vectors.verifier.hpke import hpke_seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret.flows.state import Unlocked
    from coffret_vault.primitives.secret import SecretBytes

_LIMITS = KdfLimits(64, 128, 1, 2, 2, memory=64, passes=1, lanes=1)
"""Little work: what is mutated is the object, and limits like the published ones are checked."""

_PLACE = Place(ORIGIN, ACCOUNT_ID)
_PASSPHRASE = "correct horse battery staple"
_SECRET_KEY, _CODE = secret("Secret Key", 20), secret("recovery code")
_ACCOUNT_KEY = secret("account key")
_REFUSALS = (FormatError, CredentialsError, TrustError)


class _Account(NamedTuple):
    """The parts of what a server keeps of an account."""

    signs: bytes
    card: bytes
    signature: bytes
    generation: bytes
    identity: bytes
    by_passphrase: bytes
    by_code: bytes

    def read(self) -> AccountFile:
        """As a device reads it, with the card signed anew if it is to be."""
        signature = self.signature
        if self.signs[:1] == b"\1":
            signature = sign_statement(OWNER_KEYS.signing, "account", self.card)
        return AccountFile(
            origin=ORIGIN,
            username=CARD.username,
            account_id=ACCOUNT_ID,
            card=self.card,
            card_signature=signature,
            keyslots=(self.by_passphrase, self.by_code),
            generation=int.from_bytes(self.generation[:8], "big"),
            identity=self.identity,
        )


@cache
def _account() -> _Account:
    ring = Keyring(ACCOUNT_ID, 1, _ACCOUNT_KEY)
    kdf = _LIMITS.choose(bytes(16))
    ways = (
        derive_passphrase_keys(_PASSPHRASE, _SECRET_KEY, _PLACE, kdf, limits=_LIMITS),
        derive_recovery_keys(_CODE, _PLACE),
    )
    plan = SlotPlan(SLOT_ID, 1, CREATED)
    slots = [
        make_keyslot(keys, _PLACE, plan, _ACCOUNT_KEY, random=Steady(keys.kind)) for keys in ways
    ]
    card = ACCOUNT_CARD.serialize(CARD)
    signature = sign_statement(OWNER_KEYS.signing, "account", card)
    sealed = seal_identity(ring, OWNER_KEYS, seeds("owner"), random=Steady("identity"))
    return _Account(b"\0", card, signature, u64(1), sealed, *map(KEYSLOT.serialize, slots))


def _by_passphrase(account: AccountFile) -> Unlocked:
    return unlock_with_passphrase(account, _PASSPHRASE, _SECRET_KEY, Ambient(limits=_LIMITS))


def _by_code(account: AccountFile) -> Unlocked:
    return open_account(_PLACE, account, derive_recovery_keys(_CODE, _PLACE))


def _check_account(data: bytes) -> None:
    """With the right secrets an account opens to its own keys, or is refused.

    What opened is the keyslot that was made and the very identity; and the card, or one that its
    owner signed.
    """
    parts = split(data)
    if parts is None or len(parts) != len(_Account._fields):
        return
    given, made = _Account(*parts), _account()
    ways: tuple[tuple[Callable[[AccountFile], Unlocked], int], ...] = (
        (_by_passphrase, 5),
        (_by_code, 6),
    )
    for way, slot in ways:
        try:
            found = way(given.read())
        except _REFUSALS:
            continue
        assert found.keyring.account_key().reveal() == _ACCOUNT_KEY.reveal()
        assert found.identity.keys_hash == OWNER_KEYS.keys_hash
        assert (made[slot], made.identity) == (_used(given, found), given.identity)
        assert given.signs[:1] == b"\1" or given[1:3] == made[1:3]


def _used(given: _Account, found: Unlocked) -> bytes:
    """The keyslot that was opened, which may have changed its place.

    When it was made is not in the header of its wrap: the log names the digest of all of it.
    """
    slots = map(KEYSLOT.parse, (given.by_passphrase, given.by_code))
    used = next(slot for slot in slots if slot.login_public == found.login.key.public)
    return KEYSLOT.serialize(msgspec.structs.replace(used, created=CREATED))


def _account_seeds() -> Iterator[bytes]:
    made = _account()
    yield join(made)
    yield join(made._replace(signs=b"\1"))
    yield join(made._replace(by_passphrase=made.by_code, by_code=made.by_passphrase))
    yield join(made._replace(generation=u64(2)))
    slot = KEYSLOT.parse(made.by_passphrase)
    for kdf in (Kdf(bytes(16), 128, 2, 2), Kdf(bytes(16), 1 << 40, 1, 1), None):
        other = msgspec.structs.replace(slot, kdf=kdf, kind="passphrase" if kdf else "recovery")
        yield join(made._replace(by_passphrase=KEYSLOT.serialize(other)))


class _Approval(NamedTuple):
    """The parts of a request and of what answers it."""

    signs: bytes
    manifest: bytes
    by_app: bytes
    request: bytes
    asked: bytes
    grant: bytes
    sealed: bytes
    granted: bytes
    owner_wrap: bytes

    def signed(self) -> _Approval:
        """The same with those statements signed anew that are to be."""
        signs = self.signs[0] if self.signs else 0
        app, owner = APP_KEYS.signing, OWNER_KEYS.signing
        new = self
        if signs & 1:
            new = new._replace(by_app=sign_statement(app, "app-manifest", new.manifest))
        if signs & 2:
            new = new._replace(asked=sign_statement(app, "access-request", new.request))
        if signs & 4:
            approval = grant_approval(new.grant, new.sealed)
            new = new._replace(granted=sign_statement(owner, "grant", approval))
        return new


_RING = Keyring(ACCOUNT_ID, 1, _ACCOUNT_KEY)


def _granted(asked: CheckedRequest) -> MadeGrant:
    """What an owner's device makes of a request that it leaves as it is."""
    request = asked.request
    terms = Terms(request.scopes, request.selector, request.seconds, request.standing)
    random = Steady("approval")
    return make_grant(
        _RING, OWNER_KEYS, asked, terms, grant_id=GRANT_ID, now=UPDATED, random=random
    )


@cache
def _approval() -> tuple[_Approval, SecretBytes]:
    manifest, request = (
        MANIFEST.serialize(MANIFEST_SAMPLE),
        ACCESS_REQUEST.serialize(REQUEST_SAMPLE),
    )
    asked = CheckedRequest(REQUEST_SAMPLE, MANIFEST_SAMPLE, request, manifest)
    made = _granted(asked)
    # Sealed by the definition and not by the library, which draws what nobody can repeat.
    info = grant_key_info(made.signed.message)
    public, draws = APP_KEYS.sealing.public, steady("approval", 64)
    sealed = hpke_seal(public, draws, made.key.reveal(), info)
    parts = _Approval(
        b"\7", manifest, b"", request, b"", made.signed.message, sealed, b"", made.owner_wrap,
    )  # fmt: skip
    return parts.signed()._replace(signs=b"\0"), made.key


def _check_approval(data: bytes) -> None:
    """A request is by its app, and an approval by its owner; no part of either is another's."""
    parts = split(data)
    if parts is None or len(parts) != len(_Approval._fields):
        return
    given, (made, key) = _Approval(*parts).signed(), _approval()
    signs = given.signs[0] if given.signs else 0
    _check_asked(given, made, signs)
    _check_answer(given, made, key, signs)
    with contextlib.suppress(OpenError):
        opened = open_owner_wrap(_RING, GRANT_ID, 1, given.owner_wrap)
        assert given.owner_wrap == made.owner_wrap
        assert opened.reveal() == key.reveal()


def _check_asked(given: _Approval, made: _Approval, signs: int) -> None:
    try:
        asked = check_request(
            Signed(given.request, given.asked),
            Signed(given.manifest, given.by_app),
            ACCOUNT_ID,
            OWNER_KEYS.keys_hash,
        )
    except (FormatError, TrustError):
        return
    assert signs & 1 or given[1:3] == made[1:3]
    assert signs & 2 or given[3:5] == made[3:5]
    assert asked.request.app_id == asked.manifest.app_id
    with contextlib.suppress(FormatError, TrustError):
        answer = _granted(asked)
        if asked.manifest.sealing_public == APP_KEYS.sealing.public:
            grant, opened = open_grant(APP_KEYS, asked.request, CARD, answer.signed)
            assert (grant, opened.reveal()) == (answer.grant, answer.key.reveal())


def _check_answer(given: _Approval, made: _Approval, key: SecretBytes, signs: int) -> None:
    signed = SignedGrant(given.grant, given.sealed, given.granted)
    try:
        grant = verify_own_grant(OWNER_KEYS.signing.public, signed)
    except (FormatError, TrustError):
        return
    assert signs & 4 or given[5:8] == made[5:8]
    try:
        taken, opened = open_grant(APP_KEYS, REQUEST_SAMPLE, CARD, signed)
    except (FormatError, TrustError, OpenError):
        return
    digest = hashlib.sha256(ACCESS_REQUEST.serialize(REQUEST_SAMPLE)).digest()
    assert (taken, taken.request_digest) == (grant, digest)
    # The statement is bound into the seal, so that only the very one that was made opens.
    assert (given.grant, given.sealed) == (made.grant, made.sealed)
    assert opened.reveal() == key.reveal()


def _approval_seeds() -> Iterator[bytes]:
    made, _ = _approval()
    for signs in (0, 1, 2, 3, 4, 7):
        yield join(made._replace(signs=bytes((signs,))))
    yield join(made._replace(signs=b"\4", grant=_other_grant()))


def _other_grant() -> bytes:
    """A grant of the vectors: another than the one that was made here."""
    return GRANT.serialize(GRANT_SAMPLE)


TARGETS = (
    Target("account-open", _check_account, _account_seeds, 3072, mutate_fields),
    Target("approval", _check_approval, _approval_seeds, 8192, mutate_fields),
)
