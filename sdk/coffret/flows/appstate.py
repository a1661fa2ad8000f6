"""An app's own state: its identity, its API key, and what it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coffret.flows.files import write_whole
from coffret.flows.heads import Heads
from coffret.flows.proof import Prover
from coffret_vault.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    StoreDamagedError,
    StoreError,
)
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import ACCESS_REQUEST, MANIFEST, AccessRequest, Manifest
from coffret_vault.formats.unshown import Unshown
from coffret_vault.keyring.keyring import identity_from_seeds

if TYPE_CHECKING:
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


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AppFile).decode


def load_app(path: Path) -> AppFile:
    """Read an app's file.

    Raises:
        NotFoundError: there is none.
        StoreDamagedError: it is not one.
    """
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        message = "there is no app here; register one first"
        raise NotFoundError(message) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "the app's file cannot be read"
        raise StoreDamagedError(message) from None


def check_unused(path: Path) -> None:
    """See that there is room for an app's keys, before there are any.

    Raises:
        ConflictError: there is a file already; it may hold keys that are nowhere else.
    """
    if path.exists() or path.is_symlink():
        message = f"there is a file already at {path.name}: App.load opens an app that it holds"
        raise ConflictError(message)


def save_app(path: Path, file: AppFile) -> None:
    """Write an app's file in one step, readable by its user only.

    Raises:
        StoreError: it cannot be written; the older one stays.
    """
    try:
        write_whole(path, _encode(file))
    except OSError:
        message = "the app's file cannot be written"
        raise StoreError(message) from None


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
        self.newest: dict[tuple[bytes, str], int] = {}
        """The entry that each memory was last read by: by its grant and its id."""
        self.prover = Prover(self.identity.signing, ambient)

    def __repr__(self) -> str:
        return f"<AppState {id_text(self.manifest.app_id)}>"

    def keep(self, request_id: bytes, asked: Asked) -> None:
        """Remember what was asked: a grant is compared with it when it comes."""
        everything = {**self.file.asked, id_text(request_id): asked}
        self.file = msgspec.structs.replace(self.file, asked=everything)
        self.save()

    def keep_owner(self, username: str, keys: bytes) -> None:
        """Remember by which keys an owner is known."""
        everyone = {**self.file.owners, username: keys}
        self.file = msgspec.structs.replace(self.file, owners=everyone)
        self.save()

    def use_api_key(self, api_key: str) -> None:
        """Keep and use another API key. Errors as :func:`save_app`, or ``InputError``."""
        if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
            message = "that is not an API key: it has characters that no key has"
            raise InputError(message)
        file = msgspec.structs.replace(self.file, api_key=api_key)
        save_app(self.path, file)
        self.file, self.token = file, ""

    def save(self) -> None:
        """Write the app's file. Errors as :func:`save_app`."""
        save_app(self.path, self.file)

    def asked(self, request_id: str) -> Asked:
        """What was asked.

        Raises:
            NotFoundError: this app made no such request.
        """
        found = self.file.asked.get(request_id.strip().lower())
        if found is None:
            message = "this app made no such request"
            raise NotFoundError(message)
        return found
