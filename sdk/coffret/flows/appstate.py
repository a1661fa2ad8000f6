"""An app's own state: its identity, its API key, and what it asked for."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from coffret.flows.files import held, write_whole
from coffret.flows.heads import Heads
from coffret.flows.ids import given_id
from coffret.flows.proof import Prover
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    InputError,
    NotFoundError,
    OwnerKeyChangedError,
    StoreDamagedError,
    StoreError,
)
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import ACCESS_REQUEST, MANIFEST, AccessRequest, Manifest
from coffret_vault.formats.unshown import Unshown
from coffret_vault.keyring.keyring import identity_from_seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret.flows.state import Ambient
    from coffret_vault.keyring import Identity


class Asked(msgspec.Struct, frozen=True):
    """A request this app made, and the owner's card that it made it to."""

    request: bytes
    card: bytes
    card_signature: bytes

    def parse(self) -> AccessRequest:
        """The request."""
        return ACCESS_REQUEST.parse(self.request)

    @property
    def id(self) -> str:
        """The request's id, as paths have it."""
        return id_text(self.parse().request_id)


class AppFile(Unshown, msgspec.Struct, frozen=True):
    """What an app keeps, its private keys included, in one file that only its user can read."""

    origin: str
    manifest: bytes
    manifest_signature: bytes
    seeds: bytes
    api_key: str
    asked: dict[str, Asked] = {}
    owners: dict[str, bytes] = {}
    """The hash over both public keys of each owner, by username: no other keys pass for theirs."""


class Begun(Unshown, msgspec.Struct, frozen=True):
    """A registration that was begun, in the app's file until the server has answered.

    ``once`` and ``key_once`` tell the server that what is sent again is the same. No field of an
    app's file is missing but the API key: so neither is ever taken for the other.
    """

    origin: str
    manifest: bytes
    manifest_signature: bytes
    seeds: bytes
    once: bytes
    key_once: bytes


ASK_FOR_WORDS = "Ask the owner for the words that their vault shows."
NOT_WRITTEN = "the app's file cannot be written"
_NOT_READ = "the app's file cannot be read"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AppFile).decode
_decode_begun = msgspec.json.Decoder(Begun).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, FormatError)


def load_app(path: Path) -> AppFile:
    """Read an app's file.

    Raises:
        NotFoundError: there is none.
        ConflictError: there is a registration that was not finished.
        StoreDamagedError: it is not one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        message = "there is no app here; register one first"
        raise NotFoundError(message) from None
    except OSError:
        raise StoreDamagedError(_NOT_READ) from None
    try:
        return _decode(data)
    except _UNREADABLE:
        if _begun(data) is None:
            raise StoreDamagedError(_NOT_READ) from None
    message = "the registration of this app was not finished"
    hint = "Register it again with the same file, name and homepage: that goes on."
    raise ConflictError(message, hint=hint)


def _begun(data: bytes) -> Begun | None:
    with suppress(*_UNREADABLE):
        found = _decode_begun(data)
        MANIFEST.parse(found.manifest)
        return found
    return None


def read_begun(path: Path) -> Begun | None:
    """The registration that was begun in a file; None if there is no file.

    Raises:
        ConflictError: there is anything else; it may hold keys that are nowhere else.
    """
    try:
        found = _begun(path.read_bytes())
    except OSError:
        if not path.exists() and not path.is_symlink():
            return None
        found = None
    if found is None:
        message = f"there is a file already at {path.name}: App.load opens an app that it holds"
        raise ConflictError(message)
    return found


def save_begun(path: Path, begun: Begun) -> None:
    """Write a registration that is begun. Errors as :func:`save_app`."""
    try:
        write_whole(path, _encode(begun))
    except OSError:
        raise StoreError(NOT_WRITTEN) from None


def save_app(path: Path, file: AppFile) -> None:
    """Write an app's file in one step, readable by its user only.

    Raises:
        StoreError: it cannot be written; the older one stays.
    """
    try:
        write_whole(path, _encode(file))
    except OSError:
        raise StoreError(NOT_WRITTEN) from None


class AppState:
    """A registered app, at work."""

    def __init__(self, path: Path, file: AppFile, ambient: Ambient) -> None:
        """Work from what is kept at ``path``."""
        self.path = path
        self.file = file
        self.ambient = ambient
        self.identity: Identity = identity_from_seeds(file.seeds)
        self.manifest: Manifest = MANIFEST.parse(file.manifest)
        self.token = ""
        self.heads = Heads(path)
        self.newest: dict[bytes, dict[str, int]] = {}
        """The entry that each memory was last read by: by its account and its id."""
        self.prover = Prover(self.identity.signing, ambient)

    def __repr__(self) -> str:
        return f"<AppState {id_text(self.manifest.app_id)}>"

    def keep(self, request_id: bytes, asked: Asked) -> None:
        """Remember what was asked: a grant is compared with it when it comes."""
        name = id_text(request_id)
        self._change(lambda file: replace(file, asked={**file.asked, name: asked}))

    def keep_owner(
        self, username: str, keys: bytes, instead_of: bytes | None = None, *, sure: bool = False
    ) -> None:
        """Remember by which keys an owner is known, where it is not known by others by now.

        Where that is ``sure``, by the owner's words, these keys take the place of any.

        Raises:
            OwnerKeyChangedError: another process of this app met them by other keys meanwhile.
        """

        def met(file: AppFile) -> AppFile:
            if not sure and file.owners.get(username) not in {instead_of, keys}:
                raise OwnerKeyChangedError(hint=ASK_FOR_WORDS)
            return replace(file, owners={**file.owners, username: keys})

        self._change(met)

    def use_api_key(self, api_key: str) -> None:
        """Keep and use another API key. Errors as :func:`save_app`, or ``InputError``."""
        if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
            message = "that is not an API key: it has characters that no key has"
            raise InputError(message)
        self._change(lambda file: replace(file, api_key=api_key))
        self.token = ""

    def forget_log(self, request_id: str) -> None:
        """Forget how far the log of the owner of a request had come. Errors as :meth:`asked`."""
        account_id = self.asked(request_id).parse().account_id
        self.heads.forget(account_id)
        self.newest.pop(account_id, None)

    def _change(self, change: Callable[[AppFile], AppFile]) -> None:
        """Change what is in the file now: other processes of the app write it too.

        Raises:
            StoreError: it cannot be written; what is there stays.
            StoreDamagedError: what is there is not an app's file, and stays.
            ConflictError: what is there is a registration that was not finished, and stays.
        """
        try:
            with held(self.path):
                file = change(self._newest())
                save_app(self.path, file)
        except OSError:
            raise StoreError(NOT_WRITTEN) from None
        self.file = file

    def _newest(self) -> AppFile:
        try:
            return load_app(self.path)
        except NotFoundError:
            return self.file  # taken away: what this process holds is all there is

    def reread(self) -> None:
        """Take over what other processes of the app have written; what cannot be read is none."""
        with suppress(StoreDamagedError, ConflictError):
            self.file = self._newest()

    def asked(self, request_id: str) -> Asked:
        """What was asked.

        Raises:
            InputError: the id is no text.
            NotFoundError: this app made no such request.
        """
        name = given_id(request_id)
        if name not in self.file.asked:
            self.reread()
        found = self.file.asked.get(name)
        if found is None:
            message = "this app made no such request"
            raise NotFoundError(message)
        return found
