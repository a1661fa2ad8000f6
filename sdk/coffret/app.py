"""The developer's API, synchronous: an app that asks owners for access. No cryptography shows."""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Self

from coffret.arguments import changed, fields_of, listing_of, new_memories, search_of
from coffret.flows import access as access_flows
from coffret.flows import apps as app_flows
from coffret.flows.appstate import AppState, load_app
from coffret.flows.awaiting import Awaiting
from coffret.flows.creating import remember_many as create_many
from coffret.flows.memories import NewMemory
from coffret.flows.registering import register
from coffret.flows.state import Ambient
from coffret.flows.sync import silent
from coffret.localapp import LocalApp
from coffret.origins import check_url
from coffret.shelf import Shelf, ask_of
from coffret.transport import SyncDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta
    from types import TracebackType
    from typing import Unpack

    import httpx

    from coffret.arguments import Changes, Details, Listing, Wanted
    from coffret.finding import Found
    from coffret.flows.apps import Held
    from coffret.flows.sync import Progress
    from coffret.shelf import Asking
    from coffret_vault.records.memory import Memory
    from coffret_vault.search import Embedder


def register_developer(
    url: str, name: str, contact: str, *, transport: httpx.BaseTransport | None = None
) -> str:
    """Register as a developer, and give the key that registers apps. It is shown once."""
    driver = SyncDriver(check_url(url), transport=transport)
    try:
        return driver.run(app_flows.register_developer(name, contact, Ambient()))
    finally:
        driver.close()


class App(LocalApp):
    """A registered app. Its keys are in one file, which belongs where secrets belong."""

    def __init__(
        self,
        state: AppState,
        driver: SyncDriver,
        embedder: Callable[[], Embedder] | None = None,
    ) -> None:
        """Use :meth:`register` or :meth:`load` instead."""
        super().__init__(state, embedder)
        self._driver = driver

    @classmethod
    def register(  # noqa: PLR0913 - what an app is
        cls,
        url: str,
        developer_key: str,
        name: str,
        homepage: str,
        path: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.BaseTransport | None = None,
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
        driver = SyncDriver(origin, transport=transport)
        flow = register(origin, developer_key, name, homepage, Path(path), around)
        return cls(driver.begin(flow), driver, embedder)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        embedder: Callable[[], Embedder] | None = None,
        ambient: Ambient | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> Self:
        """An app that was registered before. No request is made.

        Raises:
            NotFoundError: there is no such file.
            ConflictError: its registration was not finished: :meth:`register` goes on with it.
            StoreDamagedError: it is no app's file.
        """
        file = load_app(Path(path))
        driver = SyncDriver(file.origin, transport=transport)
        return cls(AppState(Path(path), file, ambient or Ambient()), driver, embedder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._driver.close()

    def request_access(self, username: str, **asking: Unpack[Asking]) -> str:
        """Ask an owner for access, and give the request's id.

        Args:
            username: the owner's.
            asking: see ``Asking``: scopes, what for, for how long, and which memories.

        Raises:
            NotFoundError: there is no such owner.
            InputError: this cannot be asked for.
        """
        return self._driver.run(app_flows.request_access(self._state, ask_of(username, asking)))

    def status(self, request_id: str) -> str:
        """Where a request stands: ``pending``, ``approved``, ``denied``, ``cancelled``, …."""
        return self._driver.run(app_flows.status(self._state, request_id))

    def grant_status(self, request_id: str) -> str | None:
        """Where the grant stands: ``active``, ``paused``, ``revoked``, ``over``, ``activating``.

        None where the owner has not approved the request.

        Raises:
            TrustError: what the server shows is not the owner's answer.
        """
        return self._driver.run(app_flows.grant_status(self._state, request_id))

    def cancel(self, request_id: str) -> None:
        """Withdraw a request that is still pending."""
        self._driver.run(app_flows.cancel(self._state, request_id))

    def access(self, request_id: str, *, owner_words: str | None = None) -> Access:
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
        held = self._driver.run(app_flows.take_up(self._state, request_id, owner_words))
        return Access(self._state, self._driver, held, self._embedder)

    def wait(
        self,
        request_id: str,
        *,
        timeout: timedelta | float | None = None,
        owner_words: str | None = None,
    ) -> Access:
        """Wait until an owner has decided, and give what was granted, verified.

        It asks the server now and then: after a second at first, every half a minute in the end.
        Other threads can use this app meanwhile, and Ctrl-C ends the wait; the request
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
        while (held := self._driver.run(waiting.look())) is None:
            sleep(waiting.pause())
        return Access(self._state, self._driver, held, self._embedder)


class Access:
    """One owner's grant: read, search and write within it."""

    def __init__(
        self,
        state: AppState,
        driver: SyncDriver,
        held: Held,
        embedder: Callable[[], Embedder] | None,
    ) -> None:
        """Use :meth:`App.access` instead."""
        self._state = state
        self._driver = driver
        self._held = held
        self._shelf = Shelf(held, embedder)

    def __repr__(self) -> str:
        return f"<Access {self._shelf.grant_id}>"

    @property
    def scopes(self) -> frozenset[str]:
        """What the owner allowed: some of ``read``, ``create``, ``update``, ``delete``."""
        return self._held.grant.scopes

    def receipt(self) -> str:
        """The head of the owner's log as this app was shown it, signed by the owner.

        Give it to the owner, who can compare a new device with it: ``coffret confirm``.

        Raises:
            GrantError: the grant is paused, revoked or over.
            TrustError: the server shows an older or another log than before.
        """
        return self._driver.run(access_flows.receipt(self._state, self._held))

    def refresh(self) -> None:
        """Read again what the grant covers now.

        Raises:
            GrantError: the grant is paused, revoked or over.
            TrustError: the server shows an older or another log than before, or a memory that the
                owner's log does not name.
        """
        self._shelf.fill(self._driver.run(access_flows.read_all(self._state, self._held)))

    def memories(self, **wanted: Unpack[Listing]) -> Sequence[Memory]:
        """The memories that the grant covers now, most lately changed first.

        Of what this app wrote and the owner rejected only that is known: it has no content.

        Args:
            wanted: see ``Listing``: with all of ``tags``, of one of ``types``, and so on; every
                memory without them. The server is not told.

        Raises:
            InputError: one of them is of another kind, or out of its bounds.
            GrantError: the grant is paused, revoked or over.
            TrustError: as for :meth:`refresh`.
        """
        narrow = listing_of("memories", wanted)
        self.refresh()
        return narrow(self._shelf.memories())

    def get(self, memory_id: str) -> Memory:
        """One of them, as it is now.

        Raises:
            NotFoundError: the grant has no such memory.
        """
        self.refresh()
        return self._shelf.one(memory_id).memory

    def search(self, question: str, **wanted: Unpack[Wanted]) -> Sequence[Found]:
        """Search what the grant covers, by meaning and by words, in this process.

        Args:
            question: in plain words.
            wanted: see ``Wanted``: as for :meth:`memories`, and how a memory may match.

        Raises:
            InputError: the question is blank, or one of the others is out of its bounds.
            GrantError: the grant is paused, revoked or over.
            TrustError: as for :meth:`refresh`.
        """
        search = search_of(wanted)
        self.refresh()
        return self._shelf.search(question, search)

    def remember(
        self,
        content: str,
        *,
        created: datetime | None = None,
        memory_id: str | None = None,
        **details: Unpack[Details],
    ) -> Memory:
        """Write a memory into the owner's vault; others see it when the owner has accepted it.

        Args:
            content: Markdown.
            created: when it came to be, if not now.
            memory_id: a UUID of your own (``str(uuid.uuid4())``): called again with it, after a
                ``NetworkError`` or at any other time, this gives the memory that is there.
            details: see ``Details``: title, tags, and so on.

        Raises:
            GrantError: the grant does not include ``create``, or is not in force.
            InputError: this cannot be a memory (empty, too large, a bad tag, an id that is none).
            ConflictError: there is a memory with that id that is not this app's, or it says
                something else by now.
            QuotaError: the owner's vault takes no more from apps before its owner has decided.
        """
        new = NewMemory(fields_of(content, details), memory_id, created)
        (memory,) = self.remember_many([new])
        return memory

    def remember_many(
        self, memories: Iterable[NewMemory], progress: Progress = silent
    ) -> Sequence[Memory]:
        """Write many memories into the owner's vault, in the fewest requests.

        One request takes up to 1,000 memories and about 24 MiB, and each is kept whole or not at
        all. Called again with a ``memory_id`` in each, whenever and by whichever process of the
        app, it writes what is not there yet; without, what is not known to be written may be
        written twice.

        Args:
            memories: what to write.
            progress: told how many are written, after each request.

        Returns:
            The memories, in the order in which they were given.

        Raises:
            GrantError: the grant does not include ``create``, or is not in force.
            InputError: one of them cannot be a memory, or two have one id; nothing is written.
            ConflictError: there is a memory with the id of one that is not this app's, or it says
                something else by now. The requests before its own are kept.
            QuotaError: the owner's vault takes no more from apps before its owner has decided; the
                requests before are kept.
            NetworkError: an answer was lost; the requests before are kept, and its own may be.
        """
        flow = create_many(self._state, self._held, new_memories(memories), progress)
        return self._driver.run(flow)

    def update(self, memory_id: str, **changes: Unpack[Changes]) -> Memory:
        """Propose a change to a memory."""
        self.refresh()
        known = self._shelf.one(memory_id)
        flow = access_flows.update(self._state, self._held, known, changed(changes))
        return self._driver.run(flow)

    def forget(self, memory_id: str) -> None:
        """Propose to delete a memory."""
        self.refresh()
        known = self._shelf.one(memory_id)
        self._driver.run(access_flows.forget(self._state, self._held, known))
