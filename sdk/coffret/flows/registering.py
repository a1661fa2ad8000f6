"""Register an app: its keys are on the disk before a server is told of them.

Until the server's answer is there, the app's file holds a registration that was begun, which is no
app: with it the same registration is sent again, as often as that takes, and the app is registered
once. So nothing that ends a program in between loses an app, or its API key.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from coffret.flows.apikeys import SCOPES, check_developer_key, make_key
from coffret.flows.apps import usable
from coffret.flows.appstate import (
    NOT_WRITTEN,
    AppFile,
    AppState,
    Begun,
    load_app,
    read_begun,
    save_app,
    save_begun,
)
from coffret.flows.files import held, make_folder
from coffret.flows.http import Bearer, Request, decode_json, encode_json, succeed
from coffret.flows.ownersfile import OwnersFile, owners_path
from coffret_vault.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    SessionError,
    StoreDamagedError,
    StoreError,
    TrustError,
)
from coffret_vault.formats.layout import id_text
from coffret_vault.formats.sharing import MANIFEST, Manifest
from coffret_vault.formats.unshown import Unshown
from coffret_vault.grants.apps import sign_manifest
from coffret_vault.grants.domain import homepage_host
from coffret_vault.keyring.keyring import identity_from_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from coffret.flows.http import Flow
    from coffret.flows.state import Ambient

_SEEDS = 64


class _AppAnswer(Unshown, msgspec.Struct, frozen=True):
    app_id: str
    api_key: Bearer


def register(
    origin: str, developer_key: str, name: str, homepage: str, path: Path, ambient: Ambient
) -> Flow[AppState]:
    """Make an app's keys here, then register it; or go on with what was begun in that file.

    Raises:
        InputError: name or homepage cannot be in a manifest, or the developer key is not one.
        SessionError: the server knows no such developer key.
        ConflictError: the file holds something else, or what another developer registered; or
            what another app knows of owners is beside it.
        StoreError: the file cannot be written.
    """
    check_developer_key(developer_key)
    begun, is_new = _begin(_made(origin, name, homepage, ambient), path)
    try:
        api_key = yield from _submit(begun, developer_key)
    except (InputError, SessionError, ForbiddenError):
        # Refused, and so would an earlier try of this call have been: nobody knows these keys. What
        # an earlier call began may have been taken at the time, so that is kept.
        if is_new:
            _drop(begun, path)
        raise
    return AppState(path, _finish(begun, path, api_key), ambient)


def _made(origin: str, name: str, homepage: str, ambient: Ambient) -> Begun:
    given: tuple[object, ...] = (name, homepage)
    if not all(isinstance(text, str) for text in given):
        message = "an app's name and homepage are texts"
        raise InputError(message)
    if homepage_host(homepage) is None:
        message = "an app's homepage is https:// and a host name, without a port"
        raise InputError(message)
    seeds = ambient.random(_SEEDS)
    identity = identity_from_seeds(seeds)
    manifest = Manifest(
        app_id=ambient.new_id(),
        name=name,
        homepage=homepage,
        signing_public=identity.signing.public,
        sealing_public=identity.sealing.public,
        created=ambient.now(),
    )
    signed = usable(lambda: sign_manifest(identity, manifest))
    once = ambient.new_id(), ambient.new_id()
    return Begun(origin, signed.message, signed.signature, seeds, *once)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Work at an app's file, one process after the other.

    Raises:
        StoreError: that cannot be.
    """
    try:
        make_folder(path.parent)
        with held(path):
            yield
    except OSError:
        raise StoreError(NOT_WRITTEN) from None


def _begin(made: Begun, path: Path) -> tuple[Begun, bool]:
    """Put what was made on the disk; or take what was begun there. And whether it is new."""
    with _alone(path):
        begun = read_begun(path)
        if begun is None:
            _check_unmet(path)
            save_begun(path, made)
            return made, True
    if _what(begun) != _what(made):
        message = f"{path.name} holds another registration, which was begun and not finished"
        hint = "Register with the server, name and homepage of before, or remove the file."
        raise ConflictError(message, hint=hint)
    return begun, False


def _check_unmet(path: Path) -> None:
    """Begin no app beside what another one knows of owners, which that one still needs.

    Raises:
        ConflictError: there is such a file.
    """
    beside = owners_path(path)
    if beside.exists() or beside.is_symlink():
        message = f"{beside.name} holds what another app knows of owners, whose keys are not here"
        hint = f"Restore {path.name} beside it; or, if that app is gone for good, remove it."
        raise ConflictError(message, hint=hint)


def _what(begun: Begun) -> tuple[str, str, str]:
    manifest = MANIFEST.parse(begun.manifest)
    return begun.origin, manifest.name, manifest.homepage


def _drop(begun: Begun, path: Path) -> None:
    with suppress(StoreError, ConflictError, OSError), _alone(path):
        if read_begun(path) == begun:
            path.unlink()


def _submit(begun: Begun, developer_key: str) -> Flow[str]:
    """Tell the server of the app, and give its API key."""
    body = encode_json({"manifest": begun.manifest, "signature": begun.manifest_signature})
    headers = {"Idempotency-Key": id_text(begun.once)}
    request = Request("POST", "/apps", body, token=developer_key, headers=headers)
    app_id = id_text(MANIFEST.parse(begun.manifest).app_id)
    try:
        answer = decode_json(succeed((yield request)), _AppAnswer)
    except SessionError:
        message = "the server knows no such developer key"
        raise SessionError(message) from None
    except ConflictError:
        return (yield from _another_key(begun, developer_key, app_id))
    if answer.app_id != app_id:
        message = "the server registered another app than ours"
        raise TrustError(message)
    return answer.api_key


def _another_key(begun: Begun, developer_key: str, app_id: str) -> Flow[str]:
    """An API key of an app that was registered so long ago that its first answer is forgotten."""
    try:
        made = yield from make_key(developer_key, app_id, SCOPES, None, begun.key_once)
    except NotFoundError:
        message = "the app was registered by another developer, or you have too many apps"
        hint = "Use the developer key of before, delete an app of yours where there are many"
        hint += " (a server may take 1,000), or remove the file and register anew."
        raise ConflictError(message, hint=hint) from None
    return made.api_key


def _finish(begun: Begun, path: Path, api_key: str) -> AppFile:
    """Let the file hold an app; another process that registered it too may have been quicker."""
    seeds, signature = begun.seeds, begun.manifest_signature
    file = AppFile(begun.origin, begun.manifest, signature, seeds, api_key)
    with _alone(path):
        there = _app_at(path)
        if there is not None and there.seeds == seeds:
            return there
        if there is not None or read_begun(path) not in {None, begun}:
            message = f"{path.name} was replaced by another app's file meanwhile"
            raise ConflictError(message)
        # First: an app without it is damaged.
        OwnersFile(path, MANIFEST.parse(file.manifest).app_id).make()
        save_app(path, file)
    return file


def _app_at(path: Path) -> AppFile | None:
    with suppress(NotFoundError, ConflictError, StoreDamagedError):
        return load_app(path)
    return None
