"""Confirm a fresh device: a head seen elsewhere shows that the vault was not turned back.

docs/spec/5-log.md. A device that enters a vault has no past to compare; a hostile server could show
it an old state. Any head that the owner's key signed and that another place remembers (the recovery
kit, another device, an app's receipt) settles that, up to its size; where it does not fit, the two
heads are evidence.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from coffret.flows.evidence import conflict, folder_of, keep_evidence, known_steps, subject
from coffret.flows.state import covered, covered_note
from coffret_vault.envelope.signature import verify_head
from coffret_vault.errors import (
    BadSignatureError,
    FormatError,
    InputError,
    LockedError,
    NotFoundError,
    StoreAlteredError,
    StoreDamagedError,
    TrustError,
)
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.pae import u64
from coffret_vault.log import evidence
from coffret_vault.log.tree import inclusion_proof, leaf_hash, root_of
from coffret_vault.store import log_was_changed, open_note, seal_note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coffret.flows.state import VaultState
    from coffret_vault.formats.checkpoint import SignedHead

_AWAITED = "awaited head"
_READ = "read since"
_DIGEST, _U64 = 32, 8


def confirm(state: VaultState, note: str) -> int:
    """Compare this device's log with a head from elsewhere.

    Args:
        state: the vault.
        note: the head's text as ``status().head`` gives it, or a recovery kit with the head in it;
            spaces in front of its lines do not matter.

    Returns:
        The size of the log that is confirmed.

    Raises:
        InputError: that is not a head's text.
        NotFoundError: it is of a longer log than this device has read, and may be of today: sync,
            and compare it again.
        TrustError: it is of another vault, or this device was shown a log that does not contain
            it, also by a sync since it was compared first: the vault was turned back, or forked.
            The error names a file of evidence.
        StoreAlteredError: the log was changed on this device; the server is not to blame for it.
        LockedError: it does not fit; whether that is the server's doing, the vault's keys tell.
    """
    signed = _parsed(note)
    hashes = _verified(state)
    try:
        head = verify_head(state.account.signing_public(signed.head.size - 1), signed)
    except BadSignatureError as other:
        # It may be by a key that was not the owner's any more, or yet.
        _check_unlocked(state)
        _keep(state, signed, other, hashes)
        if signed.head.size > len(hashes):
            other.hint = _PERHAPS_LATER
        raise
    if head.account_id != state.account_id:
        message = "that head is of another vault"
        raise TrustError(message)
    if len(hashes) < head.size:
        _check_asked_since(state, signed)
    if len(hashes) < head.size or root_of(hashes[: head.size]) != head.root:
        _check_unlocked(state)
        message = "the server shows this device another log than the one that head was signed for"
        error = TrustError(message)
        _keep(state, signed, error, hashes)
        raise error
    if head.size > covered(state.store):
        state.store.set_meta(*covered_note(head.size))
    state.confirm()
    return head.size


def _parsed(note: str) -> SignedHead:
    try:
        return parse_head(head_within(note))
    except FormatError:
        message = "that is not a head: copy it with all its lines"
        raise InputError(message) from None


def _check_unlocked(state: VaultState) -> None:
    """Accuse nobody while the vault is locked: what is here may be what somebody put there.

    Raises:
        LockedError: it is.
    """
    if state.is_locked:
        raise LockedError(hint="Unlock the vault, and compare the head again.")


def _verified(state: VaultState) -> list[bytes]:
    """The hashes of the entries here, which are those under the head that this device has."""
    state.store.check_seals()
    hashes, own = list(map(leaf_hash, state.store.kept_leaves())), state.position().head
    if own is None:
        return hashes
    try:
        head = verify_head(state.account.signing_public(own.head.size - 1), own)
    except TrustError:
        raise log_was_changed() from None
    if len(hashes) < head.size or root_of(hashes[: head.size]) != head.root:
        raise log_was_changed()
    return hashes


def await_head(state: VaultState, note: str) -> None:
    """Note down a head that there is, before the log is read: a log that ends before it is a lie.

    It needs no seal: whoever else notes down a head has it, so there is one.

    Raises:
        InputError: that is not a head's text.
    """
    state.store.set_meta(_AWAITED, _parsed(note).digest)


def awaited(state: VaultState) -> bytes:
    """What :func:`read_since` takes when the log was read; asked for before that."""
    return state.store.meta(_AWAITED) or b""


def read_since(state: VaultState, before: bytes) -> None:
    """Note that the log was read to its end, and that nobody compared another head meanwhile.

    Sealed, and with how far it was read: it says that a server shows too little.
    """
    if before and not state.is_locked and awaited(state) == before:
        read = before + u64(state.position().size)
        note = seal_note(state.keys.keyring, _READ, read, random=state.ambient.random)
        state.store.set_meta(_READ, note)
        state.store.set_meta(_AWAITED, b"")


def _check_asked_since(state: VaultState, signed: SignedHead) -> None:
    """See that the server was asked after there was this head: else it may be of today.

    Raises:
        NotFoundError: it was not.
        LockedError: it may have been; the vault's keys tell.
    """
    digest, read = _read_to(state)
    # A log that ends before the place to which it was read was turned back here, by nobody else.
    if digest != signed.digest or state.position().size < read:
        state.store.set_meta(_AWAITED, signed.digest)
        message = "this device has not read the log up to that head"
        raise NotFoundError(message, hint="Sync it, and compare the head again.")


def _read_to(state: VaultState) -> tuple[bytes, int]:
    """The digest of the head since which the log was read, and to where; nothing if none was."""
    sealed = state.store.meta(_READ) or b""
    note: bytes | None = None
    if sealed:
        _check_unlocked(state)
        with suppress(StoreAlteredError):
            note = open_note(state.keys.keyring, _READ, sealed)
    return (b"", 0) if note is None else read_place(note)


def read_place(note: bytes) -> tuple[bytes, int]:
    """A head's digest, and to where the log was read since, as a note says it.

    Raises:
        StoreDamagedError: it is no such note.
    """
    if len(note) != _DIGEST + _U64:
        raise StoreDamagedError
    return note[:_DIGEST], int.from_bytes(note[_DIGEST:], "big")


def _keep(state: VaultState, other: SignedHead, error: TrustError, hashes: Sequence[bytes]) -> None:
    made = _contradiction(state, other, hashes)
    if made is not None:
        keep_evidence(folder_of(state.store.path), made, error)


def _contradiction(state: VaultState, other: SignedHead, hashes: Sequence[bytes]) -> bytes | None:
    """Evidence out of our own log and a head from elsewhere that does not fit it."""
    position, account, size = state.position(), state.account, other.head.size
    own = position.head
    about = None if own is None else subject(account, known_steps(account), own, other)
    if own is None or about is None:
        return None
    if size > position.size:
        return evidence.rolled_back(about, other, size, own, position.size)
    if size > own.head.size:
        return evidence.altered(about, own, position.frontier, other, position.tail)
    if size == own.head.size:
        return conflict(about, own, other)
    covered = hashes[: own.head.size]
    return evidence.fork(about, other, own, covered[size], inclusion_proof(covered, size))


def head_within(text: str) -> str:
    """The lines of a head, out of whatever stands around them."""
    lines = [line.strip() for line in text.splitlines()]
    first = next((at for at, line in enumerate(lines) if line.startswith(_FIRST)), 0)
    last = next(
        (at for at, line in enumerate(lines) if at > first and line.startswith("— ")), first
    )
    return "".join(f"{line}\n" for line in lines[first : last + 1])


_FIRST = "coffret/v1/vault/"
_PERHAPS_LATER = (
    "It may be signed after a change of keys that this device has not read: sync it, and compare "
    "the head again."
)
