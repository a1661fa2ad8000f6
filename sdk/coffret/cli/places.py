"""Where the command keeps things: the platform's folders, or one home that was named."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs

from coffret_vault.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LONGEST_SOCKET = 100  # bytes; the kernel's own limit is 104 or 108, with the final zero
DEFAULT = "default"


def check_name(name: str) -> str:
    """The name of a vault or an app on this device, if it can be a file's.

    Raises:
        InputError: it cannot.
    """
    if not _NAME.fullmatch(name):
        message = "a name is of a-z, 0-9, dot, hyphen and underscore, at most 64 of them"
        raise InputError(message)
    return name


class Places(msgspec.Struct, frozen=True):
    """Three folders: what was set, what is kept, and what lives as long as the session."""

    config: Path
    data: Path
    runtime: Path

    def vault(self, name: str) -> Path:
        """The folder of a vault's local store and index."""
        return self.data / "vaults" / name

    def profile(self, name: str) -> Path:
        """What was set for a vault."""
        return self.config / "vaults" / name / "profile.json"

    def secret_key(self, name: str) -> Path:
        """The Secret Key of a vault, where there is no keyring."""
        return self.config / "vaults" / name / "secret-key"

    def app(self, name: str) -> Path:
        """The keys of an app that was registered here."""
        return self.config / "apps" / f"{name}.json"

    def server_database(self) -> Path:
        """What ``coffret serve`` keeps, unless told otherwise."""
        return self.data / "server" / "coffret.db"

    def socket(self, name: str) -> Path:
        """Where the agent of a vault answers.

        One folder per user. Paths of sockets are short: with a deep home, it is below the
        system's temporary folder.
        """
        text = os.fsencode(self.vault(name).absolute())
        leaf = hashlib.sha256(text).hexdigest()[:16] + ".sock"
        path = self.runtime / leaf
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        user = os.getuid() if hasattr(os, "getuid") else 0
        return Path(tempfile.gettempdir()) / f"coffret-{user}" / leaf


def find_places(home: str | None, environment: Mapping[str, str]) -> Places:
    """The folders: below ``home`` if there is one, else the platform's.

    Raises:
        InputError: ``home`` begins with somebody's home, and there is nobody of that name.
    """
    if home:
        try:
            root = Path(home).expanduser().absolute()
        except RuntimeError:
            message = "COFFRET_HOME, or --home, begins with the home of a user who is not there"
            raise InputError(message) from None
        return Places(root / "config", root / "data", root / "run")
    found = platformdirs.PlatformDirs("coffret", appauthor=False)
    data = found.user_data_path
    session = environment.get("XDG_RUNTIME_DIR", "")
    runtime = Path(session) / "coffret" if Path(session).is_absolute() else data / "run"
    return Places(found.user_config_path, data, runtime)
