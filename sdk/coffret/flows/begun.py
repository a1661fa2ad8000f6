"""A sign-up that is under way: kept on the disk, sealed, until its owner has the recovery kit.

Were its answer lost, the server might have the account: with a name that is taken from then on, and
keys that nobody was shown. So before it leaves, what is sent and what its recovery kit says are put
into the vault's folder, under a key of the passphrase alone, and go once it is answered and the kit
handed out. The same call again goes on with it: the very same bytes, and the same kit
(docs/adr/0037, docs/spec/3-keys.md).
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.aside import aside
from coffret.flows.files import erase, sync_folder, write_whole
from coffret.flows.session import answer_challenge, challenge
from coffret.flows.signup import Prepared, TakenError, register_vault, unlock_with_passphrase
from coffret.flows.state import AccountFile
from coffret.flows.unsent import REFUSED
from coffret.kit import RecoveryKit
from coffret_vault.errors import (
    CredentialsError,
    NetworkError,
    ServerError,
    StoreError,
    TrustError,
)
from coffret_vault.formats.account import Kdf
from coffret_vault.formats.checkpoint import parse_head
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.words import fingerprint
from coffret_vault.keyslots.sign_ups import open_sign_up, seal_sign_up, sign_up_header, sign_up_key
from coffret_vault.keyslots.slots import Place
from coffret_vault.log.settled import Settled, settle
from coffret_vault.log.tree import Frontier
from coffret_vault.log.verify import Position, Verifier
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.store import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.proof import Session
    from coffret.flows.state import Ambient

BEGUN_FILE = "sign-up.sealed"
_MOST = 1 << 20
_UNREADABLE = f"the file {BEGUN_FILE} in that folder cannot be read"
_ANOTHER_PASSPHRASE = (
    "A sign-up of that name was begun in this folder with another passphrase, and the server may "
    f"have it: say that one, or take another name. To give it up, remove {BEGUN_FILE} there."
)
STANDS = (
    "A sign-up was begun in this folder and not finished: do it again, with the name and the "
    f"passphrase of then. If you can unlock the vault that is here, remove {BEGUN_FILE} instead."
)
NOT_HANDED_OUT = (
    "Do the same again, with that name and that passphrase: it goes on in this folder, with the "
    "same recovery kit."
)
UNFINISHED = f"Whether the server took the sign-up is not known. {NOT_HANDED_OUT}"


class _File(Unshown, msgspec.Struct, frozen=True, array_like=True):
    origin: str
    username: str
    account_id: bytes
    kdf: Kdf
    sealed: bytes


class _Said(Unshown, msgspec.Struct, frozen=True, array_like=True):
    once: bytes
    secret_key: bytes
    recovery_code: bytes
    body: bytes


class _Identity(msgspec.Struct, frozen=True):
    generation: int
    envelope: bytes


class _Append(msgspec.Struct, frozen=True):
    leaves: tuple[bytes, ...]
    head: str


class _Body(msgspec.Struct, frozen=True):
    """What a sign-up says to the server (docs/spec/7-http.md)."""

    username: str
    account_card: bytes
    card_signature: bytes
    keyslots: tuple[bytes, ...]
    identity: _Identity
    append: _Append


class Begun(Unshown, msgspec.Struct, frozen=True):
    """A sign-up, the key with which it is sent each time, and whether it was sent before."""

    prepared: Prepared
    once: bytes
    again: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode_file = msgspec.msgpack.Decoder(_File).decode
_decode_said = msgspec.msgpack.Decoder(_Said).decode
_decode_body = msgspec.json.Decoder(_Body).decode


def read_begun(
    folder: Path, origin: str, username: str, passphrase: str, ambient: Ambient
) -> Flow[Begun | None]:
    """The sign-up of that name that was begun in a folder; None where there is none.

    One of another name or at another server is its owner's to give up: what follows replaces it.

    Raises:
        CredentialsError: it was begun with another passphrase.
        StoreDamagedError: the file is damaged.
    """
    return (yield from aside(partial(_read, folder, origin, username, passphrase, ambient)))


def _read(
    folder: Path, origin: str, username: str, passphrase: str, ambient: Ambient
) -> Begun | None:
    file = _file(folder)
    if file is None or (file.origin, file.username) != (origin, username):
        return None
    place = Place(origin, file.account_id)
    key = sign_up_key(passphrase, place, file.kdf, limits=ambient.limits)
    header = sign_up_header(place, username, file.kdf)
    try:
        opened = open_sign_up(key, header, file.sealed)
    except CredentialsError:
        raise CredentialsError(hint=_ANOTHER_PASSPHRASE) from None
    said = decoded(_decode_said, opened)
    body = decoded(_decode_body, said.body)
    return Begun(_prepared(place, passphrase, said, body, ambient), said.once, again=True)


def _prepared(
    place: Place, passphrase: str, said: _Said, body: _Body, ambient: Ambient
) -> Prepared:
    """The vault as it was made then."""
    secret_key, recovery_code = SecretBytes(said.secret_key), SecretBytes(said.recovery_code)
    account = AccountFile(
        origin=place.origin,
        username=body.username,
        account_id=place.account_id,
        card=body.account_card,
        card_signature=body.card_signature,
        keyslots=body.keyslots,
        generation=body.identity.generation,
        identity=body.identity.envelope,
        confirmed=True,
    )
    keys = unlock_with_passphrase(account, passphrase, secret_key, ambient)
    start = Position(place.account_id, keys.identity.signing.public, None, Frontier())
    verifier = Verifier(start, lambda _: None, lambda _: None)
    entries = [verifier.take(leaf).entry for leaf in body.append.leaves]
    kit = RecoveryKit(
        origin=place.origin,
        username=body.username,
        account_id=place.account_id,
        secret_key=secret_key,
        recovery_code=recovery_code,
        fingerprint=fingerprint(keys.identity.keys_hash),
        head=body.append.head,
    )
    verified = verifier.finish(parse_head(body.append.head))
    settled = settle(Settled(), entries)
    return Prepared(place, account, keys, kit, verified, settled, said.body)


def _file(folder: Path) -> _File | None:
    path = folder / BEGUN_FILE
    if not os.path.lexists(path):
        return None
    if not path.is_file():  # a pipe would be waited for
        raise StoreError(_UNREADABLE)
    try:
        with path.open("rb") as file:
            return read_file(file.read(_MOST))
    except OSError:
        raise StoreError(_UNREADABLE) from None


def read_file(data: bytes) -> _File:
    """What such a file holds, before anything of it is opened.

    Raises:
        StoreDamagedError: it is none.
    """
    return decoded(_decode_file, data)


def is_begun(folder: Path) -> bool:
    """Whether a sign-up was begun in a folder, and not finished."""
    return (folder / BEGUN_FILE).exists()


def keep_begun(folder: Path, begun: Begun, passphrase: str, ambient: Ambient) -> Flow[None]:
    """Put a sign-up on the disk, before it is sent.

    Raises:
        StoreError: it cannot be written.
    """
    yield from aside(partial(_write, folder, begun, passphrase, ambient))


def _write(folder: Path, begun: Begun, passphrase: str, ambient: Ambient) -> None:
    prepared = begun.prepared
    place, username = prepared.place, prepared.account.username
    kdf = ambient.limits.choose(ambient.random(16))
    key = sign_up_key(passphrase, place, kdf, limits=ambient.limits)
    kit = prepared.kit
    said = _Said(begun.once, kit.secret_key.reveal(), kit.recovery_code.reveal(), prepared.body)
    header = sign_up_header(place, username, kdf)
    sealed = seal_sign_up(key, header, _encode(said), random=ambient.random)
    file = _File(place.origin, username, place.account_id, kdf, sealed)
    try:
        write_whole(folder / BEGUN_FILE, _encode(file))
    except OSError:
        message = f"nothing can be written to the folder {folder}"
        raise StoreError(message) from None


def drop_begun(folder: Path) -> None:
    """Let go of it: its owner has the kit, or it is given up. No power cut brings it back."""
    with suppress(OSError):
        erase(folder / BEGUN_FILE)
        sync_folder(folder)


def submit(begun: Begun, ambient: Ambient) -> Flow[Session | None]:
    """Tell the server of it; a session, where it turns out that the server had it before.

    A server keeps what it answered for a while only. After that the name is taken, and whether by
    this very account, a login tells.

    Raises:
        TakenError: the username is somebody else's.
    """
    try:
        yield from register_vault(begun.prepared, begun.once)
    except TakenError:
        session = (yield from _own_session(begun.prepared, ambient)) if begun.again else None
        if session is None:
            raise
        return session
    return None


def _own_session(prepared: Prepared, ambient: Ambient) -> Flow[Session | None]:
    place, keys, username = prepared.place, prepared.keys, prepared.account.username
    try:
        asked = yield from challenge(username, keys.login.kind)
        if (asked.account_id, asked.slot_id) != (place.account_id, keys.login.slot_id):
            return None
        return (
            yield from answer_challenge(
                place, username, asked, keys.login, ambient, keyring=keys.keyring
            )
        )
    except CredentialsError:
        return None


@contextmanager
def kept_unless_refused(folder: Path, begun: Begun) -> Iterator[None]:
    """Let go of a sign-up that was refused; keep it where nobody knows what became of it.

    Within, the vault is kept here and the server told of it. What an earlier call sent may have
    been taken then, whatever fails now: only that the name is somebody else's says it was not.
    """
    try:
        yield
    except (*REFUSED, TrustError, StoreError) as refused:
        if not begun.again or isinstance(refused, TakenError):
            drop_begun(folder)
        raise
    except (NetworkError, ServerError) as error:
        error.hint = error.hint or UNFINISHED
        raise
