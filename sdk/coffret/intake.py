"""Bring memories in: the part of ``Vault`` and ``AsyncVault`` that imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.sync import silent
from coffret.importing import take_in
from coffret.local import LocalVault
from coffret.messages import conversation_of, remember_messages
from coffret.sources import read_paths, take_in_sources
from coffret.threads import apart
from coffret.undoing import undo_import

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Unpack

    from coffret.flows.sync import Progress
    from coffret.importing import Consent, ImportReport
    from coffret.messages import MessagesReport, Talk
    from coffret.sources import Judge
    from coffret.transport import AsyncDriver, SyncDriver
    from coffret.undoing import ImportUndone
    from coffret_vault.ingest import Draft, ImportSkipped


class Intake(LocalVault):
    """What :class:`coffret.Vault` imports."""

    _driver: SyncDriver

    def import_paths(
        self,
        paths: Iterable[Path],
        progress: Progress = silent,
        *,
        namespace: str | None = None,
        sealed: bool | None = None,
        judge: Judge | None = None,
        consent: Consent | None = None,
    ) -> ImportReport:
        """Import what is at these paths; run again, it goes on, and takes what has changed.

        A folder is known again by its place on this device, and else by what it holds: of what the
        vault has under the same names at least half is unchanged. Otherwise it is another folder of
        that name, and is kept apart under ``name (2)``; the report says so.

        Args:
            paths: folders and files of Markdown or text, chat exports, exports of Coffret.
            progress: told how much is written.
            namespace: what the folder is to be called, in place of all this; for one folder.
            sealed: for all of it; None is as the vault has it, and as each memory is already.
            judge: asked whether a folder is the one of its name that it is somewhat like.
            consent: given the memories here that exports of Coffret would change, as they are; if
                it says no, they stay, and the report names them. Whoever wrote such a file named
                them as their own.

        Raises:
            InputError: a namespace is given for what is neither a folder nor a text file.
            IngestError: one of its subclasses, if a source as a whole cannot be imported.
        """
        found = read_paths(paths)
        flow = take_in_sources(
            self._state,
            found,
            progress,
            namespace=namespace,
            sealed=sealed,
            judge=judge,
            consent=consent,
        )
        return self._driver.run(flow)

    def import_drafts(
        self,
        items: Iterable[Draft | ImportSkipped],
        progress: Progress = silent,
        *,
        sealed: bool | None = None,
    ) -> ImportReport:
        """Import what ``coffret_vault.ingest`` reads; run again, it goes on where it stopped.

        ``sealed`` is for all of it; None is as the vault has it, and as each memory is already.
        Which folder of a name is which is for the caller to say: see :meth:`import_paths`.
        """
        return self._driver.run(take_in(self._state, items, progress, sealed=sealed))

    def undo_import(
        self,
        which: str | Path,
        progress: Progress = silent,
        *,
        changed: bool = False,
        dry_run: bool = False,
    ) -> ImportUndone:
        """Delete what an import created, with all its versions; run again, it goes on.

        What it created and was changed since, by hand or by an app, is named and kept. What it
        found there and wrote anew stays, and so does what was imported before under its name.

        Args:
            which: an import's id (``ImportReport.id``, :meth:`imports`); or a folder, by its place
                on this device or by its name here, a file in it, or a kind of export
                (``chatgpt``): then all imports of that.
            progress: told how much is deleted.
            changed: also what was changed since.
            dry_run: delete nothing, and say what would be.

        Raises:
            NotFoundError: nothing that is here was created by it.
            InputError: it names nothing, or two folders.
        """
        flow = undo_import(self._state, which, progress, changed=changed, dry_run=dry_run)
        return self._driver.run(flow)

    def remember_messages(
        self,
        messages: Iterable[Mapping[str, object]],
        progress: Progress = silent,
        **talk: Unpack[Talk],
    ) -> MessagesReport:
        """Remember a conversation from its messages, as chat APIs have them; no model is asked.

        Each exchange, what a person says with the answer to it, becomes one memory with the labels
        ``session``, ``agent``, ``user`` and ``participants`` and the source ``chat:`` and session.
        Called again with the conversation when it has grown, or with its last messages only, this
        writes what is new. What was said twice, word for word, is kept once; what was changed by
        hand stays, and what was forgotten is not written again. After :meth:`change_keys` a
        conversation is taken for another one.

        Args:
            messages: mappings with ``role`` and ``content`` (a text, or a list of parts), perhaps
                ``name``. System prompts, tool calls and thinking are left out, images and files
                appear as ``[attachment]``; the report names them.
            progress: told how much is written.
            talk: see ``Talk``: session, agent, user, tags, sealed.

        Raises:
            InputError: one of the messages is none, or cannot be a memory; nothing is written.
            ConflictError: other devices add to the same exchanges all the time.
        """
        read = conversation_of(messages, talk)
        flow = remember_messages(self._state, read, progress, sealed=talk.get("sealed"))
        return self._driver.run(flow)


class AsyncIntake(LocalVault):
    """What :class:`coffret.AsyncVault` imports."""

    _driver: AsyncDriver

    async def import_paths(
        self,
        paths: Iterable[Path],
        progress: Progress = silent,
        *,
        namespace: str | None = None,
        sealed: bool | None = None,
        judge: Judge | None = None,
        consent: Consent | None = None,
    ) -> ImportReport:
        """Import what is at these paths, read in a thread, as :meth:`coffret.Vault.import_paths`.

        Raises:
            InputError: a namespace is given for what is neither a folder nor a text file.
            IngestError: one of its subclasses, if a source as a whole cannot be imported.
        """
        found = await apart(read_paths, list(paths))
        flow = take_in_sources(
            self._state,
            found,
            progress,
            namespace=namespace,
            sealed=sealed,
            judge=judge,
            consent=consent,
        )
        return await self._driver.run(flow)

    async def import_drafts(
        self,
        items: Iterable[Draft | ImportSkipped],
        progress: Progress = silent,
        *,
        sealed: bool | None = None,
    ) -> ImportReport:
        """Import what was read, as :meth:`coffret.Vault.import_drafts`."""
        return await self._driver.run(take_in(self._state, items, progress, sealed=sealed))

    async def undo_import(
        self,
        which: str | Path,
        progress: Progress = silent,
        *,
        changed: bool = False,
        dry_run: bool = False,
    ) -> ImportUndone:
        """Delete what an import created, as :meth:`coffret.Vault.undo_import`.

        Raises:
            NotFoundError: nothing that is here was created by it.
            InputError: it names nothing, or two folders.
        """
        flow = undo_import(self._state, which, progress, changed=changed, dry_run=dry_run)
        return await self._driver.run(flow)

    async def remember_messages(
        self,
        messages: Iterable[Mapping[str, object]],
        progress: Progress = silent,
        **talk: Unpack[Talk],
    ) -> MessagesReport:
        """Remember a conversation, as :meth:`coffret.Vault.remember_messages`.

        Raises:
            InputError: one of the messages is none, or cannot be a memory; nothing is written.
            ConflictError: other devices add to the same exchanges all the time.
        """
        read = conversation_of(messages, talk)
        flow = remember_messages(self._state, read, progress, sealed=talk.get("sealed"))
        return await self._driver.run(flow)
