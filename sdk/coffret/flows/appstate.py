"""An app's own state: its identity and its API key, and what it knows of owners."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from coffret.flows.files import held, write_whole
from coffret.flows.ids import given_id
from coffret.flows.lastread import LastRead
from coffret.flows.ownersfile import OwnersFile
from coffret.flows.proof import Prover
from coffret.origins import check_url
from coffret_vault.errors import (
    ConflictError,
    FormatError,
    InputError,
    NotFoundError,
    StoreDamagedError,
    StoreError,
    TrustError,
)
from coffret_vault.formats.account import ACCOUNT_CARD
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import MANIFEST, Manifest
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.apps import Signed, verify_manifest
from coffret_vault.keyring.keyring import identity_from_seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from coffret.flows.ownersfile import Asked
    from coffret.flows.state import Ambient
    from coffret_vault.keyring import Identity


class AppFile(Unshown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who an app is, its private keys included, in one file that only its user can read."""

    origin: str
    manifest: bytes
    manifest_signature: bytes
    seeds: bytes
    api_key: str


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


NOT_WRITTEN = "the app's file cannot be written"
_NOT_READ = "the app's file cannot be read"
_OTHER = "It is damaged, or of another version of Coffret: restore a copy, or register anew."
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AppFile).decode
_decode_begun = msgspec.json.Decoder(Begun).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, FormatError)


def load_app(path: Path) -> AppFile:
    """Read an app's file. One with a field that we do not know is not read in part.

    Raises:
        NotFoundError: there is none.
        ConflictError: there is a registration that was not finished.
        StoreDamagedError: it is not one, or of another version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        message = "there is no app here; register one first"
        raise NotFoundError(message) from None
    except OSError:
        raise StoreDamagedError(_NOT_READ) from None
    try:
        return _checked(_decode(data))
    except _UNREADABLE:
        if _begun(data) is None:
            raise StoreDamagedError(_NOT_READ, hint=_OTHER) from None
    message = "the registration of this app was not finished"
    hint = "Register it again with the same file, name and homepage: that goes on."
    raise ConflictError(message, hint=hint)


def _checked(file: AppFile) -> AppFile:
    """The file, if it names an origin to which a registration may have gone.

    So its API key goes over plain http to no other machine, whatever was written into the file.

    Raises:
        FormatError: it does not.
    """
    with suppress(InputError):
        if check_url(file.origin) == file.origin:
            return file
    message = "an app's file names no server's address"
    raise FormatError(message)


def _own(file: AppFile) -> tuple[Identity, Manifest]:
    """The keys of an app and its manifest, if they are of one another, and whole.

    Raises:
        StoreDamagedError: they are not.
    """
    with suppress(FormatError, TrustError):
        identity = identity_from_seeds(file.seeds)
        manifest = verify_manifest(Signed(file.manifest, file.manifest_signature))
        mine = identity.signing.public, identity.sealing.public
        if mine == (manifest.signing_public, manifest.sealing_public):
            return identity, manifest
    raise StoreDamagedError(_NOT_READ, hint=_OTHER)


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
        """Work from what is kept at ``path``, and beside it.

        Raises:
            StoreDamagedError: the keys are not those of the manifest, or what the app knows of
                owners is not beside them.
            StoreError: that cannot be used.
        """
        self.path = path
        self.file = file
        self.ambient = ambient
        self.identity, self.manifest = _own(file)
        self.token = ""
        self.owners = OwnersFile(path, self.manifest.app_id)
        self.owners.check()
        self.last_read = LastRead()
        self.prover = Prover(self.identity.signing, ambient)

    def __repr__(self) -> str:
        return f"<AppState {id_text(self.manifest.app_id)}>"

    def use_api_key(self, api_key: str) -> None:
        """Keep and use another API key. Errors as :func:`save_app`, or ``InputError``."""
        if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
            message = "that is not an API key: it has characters that no key has"
            raise InputError(message)
        self._change(lambda file: replace(file, api_key=api_key))
        self.token = ""

    def forget_log(self, request_id: str) -> None:
        """Forget how far the log of the owner of a request had come. Errors as :meth:`asked`."""
        asked = self.asked(request_id)
        whose = ACCOUNT_CARD.parse(asked.card).username, asked.parse().account_id
        self.owners.forget_head(*whose)
        self.last_read.forget(*whose)

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
        found = self.owners.asked(given_id(request_id))
        if found is None:
            message = "this app made no such request"
            raise NotFoundError(message)
        return found
