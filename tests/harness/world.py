"""People at a server: owners with their devices, developers with their apps."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from coffret.flows.state import Ambient
from coffret_vault.errors import NetworkError
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS
from harness.faces import SyncFace
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from coffret import Access, App, RecoveryKit, Vault
    from coffret.flows.http import Response
    from coffret_vault.search import Embedder
    from harness.faces import Face

PASSPHRASE = "correct horse battery staple"
MONTH = timedelta(days=30)
_names = count(1)


class Clock:
    """A clock that can be moved; microseconds since 1970."""

    def __init__(self) -> None:
        """Begin at the present."""
        self.offset = timedelta()

    def now(self) -> int:
        """The time it shows."""
        return time.time_ns() // 1_000 + self.offset // timedelta(microseconds=1)

    def forward(self, **by: float) -> None:
        """Move it on."""
        self.offset += timedelta(**by)


class Watch(Clock):
    """A clock of somebody's own: it goes wrong by its offset from one that goes right."""

    def __init__(self, right: Clock) -> None:
        """Begin right."""
        super().__init__()
        self._right = right

    def now(self) -> int:
        """The time it shows."""
        return self._right.now() + self.offset // timedelta(microseconds=1)


def embedder() -> Embedder:
    """A model that is exact and instant, so that tests do not load the real one."""
    return HashingEmbedder()


def ambient(clock: Clock | None = None, web: Callable[[str], Response] | None = None) -> Ambient:
    """Real randomness, passphrases that are hardly stretched, and the clock that is given.

    ``web`` answers for the domains of apps; without it none of them can be reached.
    """
    now = (clock or Clock()).now
    return Ambient(random=os.urandom, now=now, limits=CHEAPEST_FOR_TESTS, web=web or _nowhere)


def _nowhere(_host: str) -> Response:
    raise NetworkError


@dataclass
class Owner:
    """A person with a vault, as the tests know them; their first device is ``vault``."""

    username: str
    vault: Vault = field(repr=False)
    kit: RecoveryKit = field(repr=False)
    passphrase: str = field(default=PASSPHRASE, repr=False)

    @property
    def secret_key(self) -> str:
        """The Secret Key's code."""
        return self.kit.secret_key_code()


class World:
    """Makes owners, devices and apps at one server, and closes them all."""

    def __init__(self, url: str, folder: Path, face: Face | None = None) -> None:
        """Everything goes to ``folder``; ``face`` is the synchronous one unless it is given."""
        self.url = url
        self.folder = folder
        self.face: Face = face or SyncFace()
        self.clock = Clock()
        self.embedder: Callable[[], Embedder] = embedder
        self.web: Callable[[str], Response] | None = None
        self._numbers = count(1)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.face.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def closing(self, thing: Any) -> Any:
        """Close it with the rest."""
        self._stack.callback(thing.close)
        return thing

    def place(self) -> Path:
        """A folder for one more device."""
        return self.folder / f"device-{next(self._numbers)}"

    def around(self, **options: Any) -> dict[str, Any]:
        """The keyword arguments of whoever is made here."""
        return {"ambient": ambient(self.clock, self.web), "embedder": self.embedder, **options}

    def owner(self, **options: Any) -> Owner:
        """A new owner, on their first device."""
        name = f"owner-{next(_names)}"
        vault, kit = self.face.create(
            self.url, name, PASSPHRASE, self.place(), **self.around(**options)
        )
        return Owner(name, self.closing(vault), kit)

    def device(self, owner: Owner, **options: Any) -> Vault:
        """One more device of an owner, logged in and synced."""
        vault: Vault = self.closing(
            self.face.login(
                self.url,
                owner.username,
                owner.passphrase,
                owner.secret_key,
                self.place(),
                **self.around(**options),
            )
        )
        return vault

    def app(
        self, name: str = "Planner", homepage: str = "https://planner.example", **options: Any
    ) -> App:
        """A new app of a new developer."""
        key = self.face.register_developer(self.url, "Dev", "dev@example.org")
        path = self.folder / f"app-{next(self._numbers)}.json"
        app: App = self.closing(
            self.face.register_app(self.url, key, name, homepage, path, **self.around(**options))
        )
        return app

    def granted(self, owner: Owner, app: App, **asking: Any) -> tuple[str, Access]:
        """A grant, asked for and approved as asked: its id, and the app's access."""
        standing = asking.pop("approve_standing", False)
        automatic = asking.pop("auto_accept", False)
        request_id = ask(app, owner, **asking)
        owner.vault.requests(None)
        grant_id = owner.vault.approve(
            request_id, standing=standing, auto_accept=automatic, words=app.words
        )
        return grant_id, app.access(request_id)


def ask(app: App, owner: Owner, **asking: Any) -> str:
    """Ask an owner for everything, for all scopes, for a month, unless told otherwise."""
    every = {"read", "create", "update", "delete"}
    wanted: dict[str, Any] = {"scopes": every, "purpose": "plan trips", "duration": MONTH, **asking}
    if not {"tags", "types", "memories", "importance", "since", "everything"} & wanted.keys():
        wanted["everything"] = True
    return app.request_access(owner.username, **wanted)
