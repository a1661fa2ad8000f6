"""The owner's API for asyncio: ``Vault``, awaited, over the same flows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from coffret import opening
from coffret.arguments import approval_of, asked, changed, fields_of, many, new_memories
from coffret.async_keykeeping import AsyncKeyKeeping
from coffret.devices import AsyncDevices
from coffret.flows import entrance, serverview
from coffret.flows import grants as grant_flows
from coffret.flows import history as history_flows
from coffret.flows import memories as memory_flows
from coffret.flows import requests as request_flows
from coffret.flows.approval import approve as approve_request
from coffret.flows.grantfeed import ACTIVE, PAUSED, REVOKED
from coffret.flows.many import remember_many
from coffret.flows.same import chosen_id
from coffret.flows.state import Ambient
from coffret.flows.sync import silent
from coffret.intake import AsyncIntake
from coffret.origins import check_url
from coffret.reviewing import AsyncReviewing
from coffret.settling import AsyncSettling
from coffret.transport import AsyncDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Unpack

    import httpx

    from coffret.arguments import Approving, Changes, Details, Wanted
    from coffret.finding import Found
    from coffret.flows.history import Version
    from coffret.flows.memories import NewMemory
    from coffret.flows.state import VaultState
    from coffret.flows.sync import Progress, SyncReport
    from coffret.kit import RecoveryKit
    from coffret.sharing import AccessRequestInfo, AppCheck, Requested
    from coffret_vault.records.memory import Memory
    from coffret_vault.search import Embedder


class AsyncVault(AsyncKeyKeeping, AsyncDevices, AsyncSettling, AsyncReviewing, AsyncIntake):
    """As :class:`coffret.Vault`; what needs the server, or takes long, is awaited.

    Calls that are awaited together are made one after another. Errors are those of the method of
    the same name there. Where a passphrase is taken, keys are derived from it in a thread.
    """

    def __init__(
        self,
        state: VaultState,
        folder: Path,
        driver: AsyncDriver,
        embedder: Callable[[], Embedder] | None = None,
    ) -> None:
        """Use the class methods instead."""
        super().__init__(state, folder, embedder)
        self._driver = driver
        if state.ambient.web is not None:
            driver.web = state.ambient.web

    @classmethod
    async def create(  # noqa: PLR0913 - what a person gives, and keywords
        cls,
        url: str,
        username: str,
        passphrase: str,
        folder: Path | str,
        *,
        sealed: bool = False,
        hand_out: Callable[[RecoveryKit], None] | None = None,
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> tuple[Self, RecoveryKit]:
        """Make a new vault on a server and on this device.

        Args:
            url: the server's address.
            username: 3 to 64 of ``a-z 0-9 . _ -``.
            passphrase: asked for whenever the vault is unlocked.
            folder: where this device keeps the vault; made if it is not there.
            sealed: as for :meth:`set_settings`, from the first entry of the log on.
            hand_out: gives the kit to the owner, as for :meth:`coffret.Vault.create`.
            embedder: makes the model for search; the built-in one when None.
            ambient: randomness, clock and limits, for tests.
            transport: replaces the network, for tests.

        Returns:
            The vault, unlocked, and the recovery kit, which is nowhere else: show it to the owner.

        Raises:
            InputError: the address or username cannot be used, or is not the server's by its word.
            ConflictError: the username is taken, or a vault is in this folder, or being made.
            CredentialsError: it was begun in this folder with another passphrase.
        """
        place, around, origin = Path(folder), ambient or Ambient(), check_url(url)
        driver = AsyncDriver(origin, transport=transport)
        make = partial(entrance.create, sealed=sealed, hand_out=hand_out)
        state, kit = await driver.begin(make(origin, username, passphrase, place, around))
        return cls(state, place, driver, embedder), kit

    @classmethod
    async def login(  # noqa: PLR0913 - what a person knows and has
        cls,
        url: str,
        username: str,
        passphrase: str,
        secret_key: str,
        folder: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """Enter an existing vault on a new device, and sync it.

        Raises:
            CodeTypoError: the Secret Key was mistyped.
            InputError: the address cannot be used, as for :meth:`create`.
            CredentialsError: username, passphrase and Secret Key do not belong together.
            TrustError: the server shows something that cannot be true.
        """
        place, around = Path(folder), ambient or Ambient()
        key = opening.read_secret_key(secret_key)
        driver = AsyncDriver(check_url(url), transport=transport)
        flow = entrance.login(check_url(url), username, passphrase, key, place, around)
        return cls(await driver.begin(flow), place, driver, embedder)

    @classmethod
    async def recover(  # noqa: PLR0913 - what a person knows and has
        cls,
        url: str,
        username: str,
        recovery_code: str,
        new_passphrase: str,
        folder: Path | str,
        *,
        kit: str = "",
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> tuple[Self, str]:
        """Enter a vault with the recovery code alone, and give it a new passphrase.

        Args:
            url: the server's address.
            username: the owner's.
            recovery_code: as the kit has it.
            new_passphrase: from now on.
            folder: where this device keeps the vault.
            kit: the whole kit's text, so that the account and the log are compared with it before
                anything is changed; then the device is confirmed.
            embedder: as for :meth:`create`, like what follows.
            ambient: randomness, clock and limits.
            transport: replaces the network.

        Returns:
            The vault, and its new Secret Key's code; the old passphrase and Secret Key open
            nothing from now on. The recovery code stays as it is.

        Raises:
            CodeTypoError: the recovery code was mistyped.
            InputError: the address cannot be used, as for :meth:`create`.
            CredentialsError: it is not this vault's, or of before a key change.
            TrustError: the kit is another vault's, or the server shows an older state than it.
        """
        place, around = Path(folder), ambient or Ambient()
        code = opening.read_recovery_code(recovery_code)
        driver = AsyncDriver(check_url(url), transport=transport)
        flow = entrance.recover(check_url(url), username, code, new_passphrase, place, around, kit)
        state, secret_key = await driver.begin(flow)
        return cls(state, place, driver, embedder), secret_key

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A vault that is on this device already, locked. No request is made.

        Raises:
            NotFoundError: there is none in this folder.
            StoreDamagedError: its store is damaged.
        """
        place = Path(folder)
        state = opening.reopen(place, ambient or Ambient())
        return cls(state, place, AsyncDriver(state.place.origin, transport=transport), embedder)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lock the vault and close its store and connection; any use raises ``StoreError`` then."""
        self._close_store()
        await self._driver.close()

    async def sync(self, progress: Progress = silent) -> SyncReport:
        """Bring this device up to date; see ``docs/spec/5-log.md`` for what is verified.

        Raises:
            TrustError: the server dropped, changed, reordered, forged or rolled back something.
        """
        return await self._driver.run(entrance.sync_all(self._state, progress))

    async def remember(
        self,
        content: str,
        *,
        created: datetime | None = None,
        memory_id: str | None = None,
        **details: Unpack[Details],
    ) -> Memory:
        """Write a memory; it is durable on the server on return.

        At a ``NetworkError`` it is kept on this device, and goes out with the next sync or memory
        that gets through. The same call again, right after, gives that memory, not a second one.

        Args:
            content: Markdown.
            created: when it came to be, if not now; kept as 1970 or as now where it lies beyond.
            memory_id: a UUID of your own (``str(uuid.uuid4())``): called again with it, whenever
                and wherever, this gives the memory that is there.
            details: see ``Details``: title, tags, and so on.

        Raises:
            InputError: this cannot be a memory (empty, too large, a bad tag, an id that is none).
            ConflictError: there is a memory with that id, and it says something else.
        """
        identifier = chosen_id(memory_id)
        fields = fields_of(content, details)
        made = memory_flows.NewMemory(fields, memory_id=identifier, created=created)
        (new,) = new_memories([made])
        return await self._driver.run(memory_flows.remember(self._state, new))

    async def remember_many(
        self, memories: Iterable[NewMemory], progress: Progress = silent
    ) -> Sequence[Memory]:
        """Write many memories in batches, each of which is kept whole.

        Called again with a ``memory_id`` in each, whenever and wherever, it writes what is not
        there yet, and gives all of them.

        Raises:
            InputError: one of them cannot be a memory, or two have one id.
            ConflictError: there is a memory with the id of one that says something else.
        """
        return await self._driver.run(remember_many(self._state, new_memories(memories), progress))

    async def update(
        self, memory_id: str, *, version: int | None = None, **changes: Unpack[Changes]
    ) -> Memory:
        """Change what is named of a memory; the older version stays in its history.

        Raises:
            NotFoundError: there is no such memory.
            ConflictError: it has moved on since ``version``.
        """
        flow = memory_flows.update(self._state, memory_id, changed(changes), version=version)
        return await self._driver.run(flow)

    async def forget(self, memory_id: str, *, version: int | None = None) -> None:
        """Delete a memory with all its versions, as it is here or at this one; else a conflict."""
        await self._driver.run(memory_flows.forget(self._state, memory_id, version))

    async def index(self, progress: Progress = silent) -> None:
        """Bring the search index up to date now, so that the next search need not.

        Raises:
            LockedError: the vault is locked.
        """
        await self._driver.alone(self._finder.ready, progress)

    async def search(
        self, question: str, progress: Progress = silent, **wanted: Unpack[Wanted]
    ) -> Sequence[Found]:
        """Search by meaning and by words, on this device. No request is made.

        Raises:
            InputError: the question is blank.
        """
        found = self._finder.find
        return await self._driver.alone(found, question, asked(question, wanted), progress)

    async def history(self, memory_id: str) -> Sequence[Version]:
        """Every version of a memory, oldest first, compared with the log."""
        return await self._driver.run(history_flows.history(self._state, memory_id))

    async def requests(self, state: str | None = "pending") -> Sequence[AccessRequestInfo]:
        """What apps ask for, verified, in one state or all (None), of what is here: sync first."""
        return await self._driver.run(request_flows.requests(self._state, state))

    async def request(self, request_id: str) -> AccessRequestInfo:
        """One request by its id, verified, in whatever state; it is looked at then."""
        return await self._driver.run(request_flows.request(self._state, request_id))

    async def approve(
        self, request: Requested, *, progress: Progress = silent, **how: Unpack[Approving]
    ) -> str:
        """Approve a request that was looked at, as asked or narrower, and give the grant's id.

        Args:
            request: as the owner was shown it; or its id, for what was last shown by that.
            progress: told how many keys are handed over.
            how: see ``Approving``: what it is narrowed to, and by what the app is known.

        Raises:
            ConflictError: the request was decided or withdrawn. Or some was left out: as it says.
            GrantRevokedError: the grant was revoked on another device before it had all its keys.
            GrantExpiredError: the grant was over before it had all its keys.
            InputError: the narrowing cannot be.
            AppUnconfirmedError: neither words nor website tell that it is the app that was meant.
            WordsError: the words are not those of the app that asks.
            AppKeyChangedError: it has other keys than when it was approved; its grants were ended.
            AppDomainError: its website names other apps, and not this one.
            TrustError: it is not what the app signed, or was shown; or would be widened.
        """
        flow = approve_request(self._state, request, *approval_of(how), progress)
        return await self._driver.run(flow)

    async def check_app(
        self, request: Requested, *, words: str | None = None, check_domain: bool = True
    ) -> AppCheck:
        """Ask the website of the app that made a request whether the app is its own.

        The one connection that is not to the server: the website learns this device's address.

        Args:
            request: which request, or its id.
            words: the eight words that the app itself shows, to compare them before approving.
            check_domain: whether the website may be asked.

        Raises:
            NotFoundError: there is no such request.
            WordsError: the words are not those of the app that asks.
        """
        flow = request_flows.check_app(self._state, request, words, check_domain=check_domain)
        return await self._driver.run(flow)

    async def deny(self, request: Requested) -> None:
        """Turn a request down."""
        await self._driver.run(request_flows.deny(self._state, request))

    async def pause(self, grant_id: str) -> None:
        """Shut an app out for a while."""
        await self._driver.run(grant_flows.move(self._state, grant_id, PAUSED))

    async def resume(self, grant_id: str) -> None:
        """Let a paused app in again."""
        await self._driver.run(grant_flows.move(self._state, grant_id, ACTIVE))

    async def narrow(self, grant_id: str, remove: Collection[str]) -> int:
        """Take memories out of a grant, and give how many it lost; they get fresh keys."""
        return await self._driver.run(
            grant_flows.narrow(self._state, grant_id, many("remove", remove))
        )

    async def revoke(self, grant_id: str) -> None:
        """End a grant. The server stops serving at once; what was read cannot be unread."""
        await self._driver.run(grant_flows.move(self._state, grant_id, REVOKED))

    async def rotate(self, grant_id: str | None = None, progress: Progress = silent) -> int:
        """Give fresh keys now to what ended grants may have; see ``docs/spec/6-grants.md``."""
        return await self._driver.run(grant_flows.rotate(self._state, grant_id, progress))

    async def server_view(self, rows: int | None = None) -> dict[str, Any]:
        """Everything that the server keeps about this account, or so many rows of each table.

        Beside the rows with records is ``readable``: what the server can read in each.
        """
        return await self._driver.run(serverview.server_view(self._state, rows))
