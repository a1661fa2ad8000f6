"""What a running server is made of, and how it is set up and taken down."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from sqlalchemy import select

from coffret_server import tokens
from coffret_server.erasing import Eraser
from coffret_server.limits import DAY, AddressLimiter, Allowance, Limiter, network
from coffret_server.principals import AppCaller, Owner, Principals
from coffret_server.proofs import Proofs
from coffret_server.schema import Setting
from coffret_server.settings import Settings
from coffret_server.storage import Storage, open_storage
from coffret_server.storage.tables import Tables
from coffret_server.storage.trouble import Readiness
from coffret_server.turns import Pages, Room, Turns

READY_SECONDS: Final = 3.0
_JWT_KEY: Final = "jwt-key"
_NONCE_KEY: Final = "nonce-key"


def system_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


class Secrets:
    """The server's own secrets: worth nothing for opening anything."""

    def __init__(self, jwt_key: bytes, nonce_key: bytes) -> None:
        self.jwt_key = jwt_key
        self.nonce_key = nonce_key


class Services:
    """Everything a request may need."""

    def __init__(
        self, settings: Settings, storage: Storage, secrets: Secrets, clock: Callable[[], int]
    ) -> None:
        self.settings = settings
        self.storage = storage
        self.secrets = secrets
        self.clock = clock
        self.origins = settings.origins
        self.principals = Principals(storage, secrets.jwt_key, secrets.nonce_key, clock)
        self.proofs = Proofs(settings.origins, secrets.nonce_key, clock)
        self.readiness = Readiness(READY_SECONDS)
        self.tables = Tables(storage)
        self.eraser = Eraser(storage, clock, self.tables)

    async def ping(self) -> None:
        """Raise if the database does not answer, is not ours any more, or takes no change."""
        await self.tables.look()
        self.tables.check()
        await self.storage.ping()


class Tally(NamedTuple):
    """One caller's count under one limit."""

    limiter: Limiter
    caller: object

    def check(self) -> None:
        """Refuse who has used it up.

        Raises:
            ProblemError: `rate-limited`.
        """
        self.limiter.check(self.caller)

    def take(self) -> Allowance:
        """Count one.

        Raises:
            ProblemError: `rate-limited`.
        """
        return self.limiter.take(self.caller)


class Limits:
    """The limits of one process; they exist before the database is open."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self.auth = AddressLimiter("auth", settings.auth_rate, monotonic)
        self.open = AddressLimiter("address", settings.open_rate, monotonic)
        self.failed = AddressLimiter("failed", settings.failure_rate, monotonic)
        self.account = Limiter("account", settings.account_rate, monotonic)
        self.lookups = Limiter("lookups", settings.lookup_rate, monotonic)
        self.lookups_from = AddressLimiter("lookups", settings.lookup_rate, monotonic)
        self.registered = AddressLimiter("new", settings.registration_rate, monotonic, DAY)
        self.unproved = Limiter("unproved", settings.account_rate, monotonic)
        # What this server gave out is nobody's guess: it is counted by itself, at no address.
        self.keys = Limiter("auth", settings.auth_rate, monotonic)
        self.over = Limiter("failed", settings.failure_rate, monotonic)
        self.turns = Turns()
        self.pages = Pages()
        self.room = Room(settings.kept_bytes)

    def look_up(self, caller: object, address: str) -> Allowance:
        """Count a username that is looked up: by who asks, and by address, for apps cost nothing.

        Raises:
            ProblemError: `rate-limited`.
        """
        self.lookups.check(caller)
        self.lookups_from.take(address)
        return self.lookups.take(caller)

    def calls(self, caller: Owner | AppCaller) -> Tally:
        """Where the calls of an owner or an app are counted that are proved to be theirs.

        Ids are their holders' choice: an app with an owner's id must not use up what is the
        owner's.
        """
        if isinstance(caller, Owner):
            return Tally(self.account, ("owner", caller.account))
        return Tally(self.account, ("app", caller.app))

    def guesses(self, token: str, address: str) -> Tally:
        """Where calls are counted that came with a token and turned out to be proved by nothing.

        By themselves, and where they came from: who has a token alone uses nothing up for its
        holder, and holds up nothing that its holder does elsewhere.
        """
        return Tally(self.unproved, (tokens.digest(token), network(address)))

    def failures(self, token: str, address: str, *, ours: bool) -> Tally:
        """Where it is counted that a token is good for nothing.

        A guess is counted by its address. A token of ours that is over is counted by itself, so
        that whoever guesses beside it, or has it too, keeps nobody from a token that is good.
        """
        if ours:
            return Tally(self.over, tokens.digest(token))
        return Tally(self.failed, address)


async def _secrets(storage: Storage, settings: Settings) -> Secrets:
    """Read the server's secrets, making them at the first start."""
    async with storage.write() as session:
        found = {row.name: row.value for row in await session.scalars(select(Setting))}
        for name in (_JWT_KEY, _NONCE_KEY):
            if name not in found:
                found[name] = tokens.new_secret()
                session.add(Setting(name=name, value=found[name]))
    given = bytes.fromhex(settings.jwt_key)
    return Secrets(given or found[_JWT_KEY], found[_NONCE_KEY])


@contextlib.asynccontextmanager
async def opened(settings: Settings, clock: Callable[[], int]) -> AsyncIterator[Services]:
    """Services on an open database, for a command."""
    async with contextlib.AsyncExitStack() as stack:
        storage = await open_storage(settings.database)
        stack.push_async_callback(storage.close)
        services = Services(settings, storage, await _secrets(storage, settings), clock)
        stack.push_async_callback(services.readiness.close)
        yield services


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Callable[[], int]) -> AsyncIterator[Services]:
    """The same for a server, which erases what is left of deleted accounts meanwhile."""
    async with opened(settings, clock) as services:
        services.tables.start()
        services.eraser.start()
        try:
            yield services
        finally:
            await services.eraser.close()
            await services.tables.close()
