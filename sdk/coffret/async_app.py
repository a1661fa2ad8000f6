"""The developer's API for asyncio: ``App`` and ``Access``, awaited, over the same flows."""

from __future__ import annotations

from asyncio import sleep
from pathlib import Path
from typing import TYPE_CHECKING, Self

from coffret.async_access import AsyncAccess
from coffret.flows import apps as app_flows
from coffret.flows.appstate import AppState, load_app
from coffret.flows.awaiting import Awaiting
from coffret.flows.ids import given_id
from coffret.flows.registering import register
from coffret.flows.state import Ambient
from coffret.localapp import LocalApp
from coffret.origins import check_url
from coffret.shelf import ask_of
from coffret.transport import AsyncDriver

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import TracebackType
    from typing import Unpack

    import httpx

    from coffret.sharing import GrantStatus, RequestStatus
    from coffret.shelf import Asking
    from coffret_vault.search import Embedder


async def register_developer_async(
    url: str, name: str, contact: str, *, transport: httpx.AsyncBaseTransport | None = None
) -> str:
    """Register as a developer, and give the key that registers apps. It is shown once."""
    driver = AsyncDriver(check_url(url), transport=transport)
    try:
        return await driver.run(app_flows.register_developer(name, contact, Ambient()))
    finally:
        await driver.close()


class AsyncApp(LocalApp):
    """As :class:`coffret.App`, awaited. Errors are those of the method of the same name there."""

    def __init__(
        self,
        state: AppState,
        driver: AsyncDriver,
        embedder: Callable[[], Embedder] | None = None,
        *,
        keep_indexes: bool = False,
    ) -> None:
        """Use :meth:`register` or :meth:`load` instead."""
        super().__init__(state, embedder, keep_indexes=keep_indexes)
        self._driver = driver

    @classmethod
    async def register(  # noqa: PLR0913 - what an app is
        cls,
        url: str,
        developer_key: str,
        name: str,
        homepage: str,
        path: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        keep_indexes: bool = False,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """Make an app's keys, keep them in a file, and register it.

        They are in the file before the server knows of them. Called again with that file after an
        error, or after the program was ended, it goes on, and the app is registered once.

        Args:
            url: the server's address.
            developer_key: from :func:`register_developer`.
            name: what owners are shown, at most 80 bytes.
            homepage: the app's address, ``https://`` and a host name; at most 200 bytes.
            path: the file for the app's keys; only its user can read it.
            embedder: makes the model for search; the built-in one when None.
            keep_indexes: see :meth:`load`.
            ambient: randomness and clock, for tests.
            transport: replaces the network, for tests.

        Raises:
            InputError: name or homepage cannot be used.
            SessionError: the server knows no such developer key.
            ConflictError: the file holds an app already, which :meth:`load` opens; or a
                registration of another server, name, homepage or developer.
            StoreError: the file cannot be written.
            NetworkError: the answer was lost; the file is kept for the next call.
        """
        around, origin = ambient or Ambient(), check_url(url)
        driver = AsyncDriver(origin, transport=transport)
        flow = register(origin, developer_key, name, homepage, Path(path), around)
        return cls(await driver.begin(flow), driver, embedder, keep_indexes=keep_indexes)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        keep_indexes: bool = False,
        ambient: Ambient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """An app that was registered before. No request is made.

        Args:
            path: the file with the app's keys.
            embedder: makes the model for search; the built-in one when None.
            keep_indexes: keep what is embedded to search a grant for the next process as well, in
                a folder beside the app's file, sealed under a key that follows from the grant's.
                It goes when the server says that the grant is paused or over.
            ambient: randomness and clock, for tests.
            transport: replaces the network, for tests.

        Raises:
            NotFoundError: there is no such file.
            ConflictError: its registration was not finished: :meth:`register` goes on with it.
            StoreDamagedError: it is no app's file; or what the app knows of owners, which is in
                the file ``.owners`` beside it, is missing or does not read.
        """
        file = load_app(Path(path))
        driver = AsyncDriver(file.origin, transport=transport)
        state = AppState(Path(path), file, ambient or Ambient())
        return cls(state, driver, embedder, keep_indexes=keep_indexes)

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
        """Close the connection, and let go of what was embedded to search it.

        What asks the server or searches raises ``StoreError`` from then on, of an ``Access`` too.
        """
        self._indexes.clear()
        await self._driver.close()

    async def request_access(self, username: str, **asking: Unpack[Asking]) -> str:
        """Ask an owner for access, and give the request's id.

        Args:
            username: the owner's.
            asking: see ``Asking``: scopes, what for, for how long, and which memories.

        Raises:
            NotFoundError: there is no such owner.
            InputError: this cannot be asked for.
        """
        return await self._driver.run(
            app_flows.request_access(self._state, ask_of(username, asking))
        )

    async def status(self, request_id: str) -> RequestStatus:
        """Where a request stands: ``pending``, ``approved``, ``denied``, ``cancelled``, ….

        By the server's word: only ``access()`` shows the owner's, where the request was approved.
        """
        found = await self._driver.run(app_flows.status(self._state, request_id))
        self._indexes.heed(given_id(request_id), found)
        return found

    async def grant_status(self, request_id: str) -> GrantStatus | None:
        """Where the grant stands: ``active``, ``paused``, ``revoked``, ``over``, ``activating``.

        ``gone`` where the owner has deleted their account; None where the owner has not approved
        the request.

        Raises:
            TrustError: what the server shows is not the owner's answer.
        """
        found = await self._driver.run(app_flows.grant_status(self._state, request_id))
        self._indexes.heed(given_id(request_id), found)
        return found

    async def cancel(self, request_id: str) -> None:
        """Withdraw a request that is still pending."""
        await self._driver.run(app_flows.cancel(self._state, request_id))

    async def access(self, request_id: str, *, owner_words: str | None = None) -> AsyncAccess:
        """What an owner granted, verified.

        Args:
            request_id: which request.
            owner_words: the eight words that the owner's vault shows, to be sure who granted it.

        Raises:
            WordsError: another owner was asked than the one whose words these are.
            OwnerKeyChangedError: another owner was asked than the one that this app knows.
            RequestPendingError: the owner has not decided about it; see :meth:`wait`.
            RequestEndedError: it was denied, withdrawn, superseded, or has lapsed: ``error.state``.
            GrantError: the grant is paused, revoked or over, or not ready yet.
            TrustError: what the server shows is not the owner's answer.
        """
        name = given_id(request_id)
        with self._indexes.while_given(name):
            held = await self._driver.run(app_flows.take_up(self._state, name, owner_words))
        return AsyncAccess(self._state, self._driver, held, name, self._indexes)

    async def wait(
        self,
        request_id: str,
        *,
        timeout: timedelta | float | None = None,  # noqa: ASYNC109 - as on the other face
        owner_words: str | None = None,
    ) -> AsyncAccess:
        """Wait until an owner has decided, and give what was granted, verified.

        It asks the server now and then: after a second at first, every half a minute in the end.
        Other tasks can use this app meanwhile, and it can be cancelled; the request
        stays as it is.

        Args:
            request_id: which request.
            timeout: how long at most, as a ``timedelta`` or in seconds; 0 looks once. None for as
                long as it takes: a request that nobody decides about lapses after a week.
            owner_words: as for :meth:`access`.

        Raises:
            RequestPendingError: the owner has not decided in that time; it can be called again.
            GrantActivatingError: the owner's device did not hand all keys over in that time.
            RequestEndedError: it was denied, withdrawn, superseded, or has lapsed: ``error.state``.
            GrantError: the grant is paused, revoked or over by now.
            NetworkError: the server cannot be reached, or not any more for five minutes or until
                the time is over. It may be any other error of the last look then.
            InputError: that is no length of time.
            NotFoundError: this app made no such request.
            WordsError: another owner was asked than the one whose words these are.
            OwnerKeyChangedError: another owner was asked than the one that this app knows.
            TrustError: what the server shows is not the owner's answer.
        """
        waiting = Awaiting(self._state, request_id, owner_words, timeout)
        name = given_id(request_id)
        with self._indexes.while_given(name):
            while (held := await self._driver.run(waiting.look())) is None:  # noqa: ASYNC110 - no event tells
                await sleep(waiting.pause())
        return AsyncAccess(self._state, self._driver, held, name, self._indexes)
