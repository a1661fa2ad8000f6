"""What an app may do under a grant, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from coffret.arguments import asked, changed, fields_of, listing_of, new_memories
from coffret.flows import access as access_flows
from coffret.flows.creating import remember_many as create_many
from coffret.flows.memories import NewMemory
from coffret.flows.sync import silent
from coffret.messages import conversation_of
from coffret.proposing import propose_messages
from coffret.shelf import Shelf
from coffret.threads import apart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Unpack

    from coffret.arguments import Changes, Details, Listing, Wanted
    from coffret.finding import Found
    from coffret.flows.apps import Held
    from coffret.flows.appstate import AppState
    from coffret.flows.http import Flow
    from coffret.flows.sync import Progress
    from coffret.indexes import GrantIndexes
    from coffret.messages import MessagesReport, Talk
    from coffret.transport import AsyncDriver
    from coffret_vault.records.memory import Memory

T = TypeVar("T")


class AsyncAccess:
    """One owner's grant: read, search and write within it."""

    def __init__(
        self,
        state: AppState,
        driver: AsyncDriver,
        held: Held,
        request_id: str,
        indexes: GrantIndexes,
    ) -> None:
        """Use :meth:`AsyncApp.access` instead."""
        self._state = state
        self._driver = driver
        self._held = held
        self._shelf = Shelf(held, request_id, indexes)

    def __repr__(self) -> str:
        return f"<AsyncAccess {self._shelf.grant_id}>"

    @property
    def scopes(self) -> frozenset[str]:
        """What the owner allowed: some of ``read``, ``create``, ``update``, ``delete``."""
        return self._held.grant.scopes

    async def receipt(self) -> str:
        """The head of the owner's log as this app was shown it, signed by the owner.

        Give it to the owner, who can compare a new device with it: ``coffret confirm``.

        Raises:
            GrantError: the grant is paused, revoked or over.
            TrustError: the server shows an older or another log than before.
        """
        with self._shelf.while_given():
            return await self._driver.run(access_flows.receipt(self._state, self._held))

    async def refresh(self) -> None:
        """Read again what the grant covers now.

        Raises:
            GrantError: the grant is paused, revoked or over.
            TrustError: the server shows an older or another log than before, or a memory that the
                owner's log does not name.
        """
        with self._shelf.while_given():
            self._shelf.fill(await self._driver.run(access_flows.read_all(self._state, self._held)))

    async def memories(self, **wanted: Unpack[Listing]) -> Sequence[Memory]:
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
        await self.refresh()
        return narrow(self._shelf.memories())

    async def get(self, memory_id: str) -> Memory:
        """One of them, as it is now.

        Raises:
            NotFoundError: the grant has no such memory.
        """
        await self.refresh()
        return self._shelf.one(memory_id).memory

    async def search(
        self, question: str, progress: Progress = silent, **wanted: Unpack[Wanted]
    ) -> Sequence[Found]:
        """Search what the grant covers, by meaning and by words, in this process.

        Args:
            question: in plain words.
            progress: told how many memories are embedded, of those that a first search, or one
                after changes, has to embed.
            wanted: see ``Wanted``: as for :meth:`memories`, and how a memory may match.

        Raises:
            InputError: the question is blank, or one of the others is out of its bounds.
            GrantError: the grant is paused, revoked or over.
            TrustError: as for :meth:`refresh`.
        """
        search = asked(question, wanted)
        await self.refresh()
        return await apart(self._shelf.search, question, search, progress)

    async def remember(
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
            created: when it came to be, if not now; kept as 1970 or as now where it lies beyond.
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
        (memory,) = await self.remember_many([new])
        return memory

    async def remember_many(
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
        return await self._write(flow)

    async def remember_messages(
        self,
        messages: Iterable[Mapping[str, object]],
        progress: Progress = silent,
        **talk: Unpack[Talk],
    ) -> MessagesReport:
        """Write a conversation into the owner's vault, as chat APIs have it; no model is asked.

        Arguments and errors are those of :meth:`coffret.Access.remember_messages`.
        """
        read, sealed = conversation_of(messages, talk), talk.get("sealed")
        flow = propose_messages(self._state, self._held, read, progress, sealed=sealed)
        return await self._write(flow)

    async def update(self, memory_id: str, **changes: Unpack[Changes]) -> Memory:
        """Propose a change to a memory."""
        await self.refresh()
        known = self._shelf.one(memory_id)
        flow = access_flows.update(self._state, self._held, known, changed(changes))
        return await self._write(flow)

    async def forget(self, memory_id: str) -> None:
        """Propose to delete a memory."""
        await self.refresh()
        known = self._shelf.one(memory_id)
        await self._write(access_flows.forget(self._state, self._held, known))

    async def _write(self, flow: Flow[T]) -> T:
        with self._shelf.while_given(writing=True):
            return await self._driver.run(flow)
