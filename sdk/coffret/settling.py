"""What is settled for a whole vault: the part of ``Vault`` and ``AsyncVault`` that sees to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows import settings as flows
from coffret.flows.sync import silent
from coffret.local import LocalVault

if TYPE_CHECKING:
    from coffret.flows.sync import Progress
    from coffret.local import VaultSettings
    from coffret.transport import AsyncDriver, SyncDriver


class Settling(LocalVault):
    """What :class:`coffret.Vault` does about settings."""

    _driver: SyncDriver

    def set_settings(self, *, sealed: bool) -> VaultSettings:
        """Settle, for all devices, whether new memories keep title, importance and tags sealed.

        It stands in the signed log. Another device takes it up with its next sync, and where it
        would show a title by default it looks first if it has not for five minutes. Memories that
        are there stay as they are: see :meth:`seal_existing`.

        Raises:
            NetworkError: the answer was lost; it goes out before anything else is written.
        """
        self._driver.run(flows.set_settings(self._state, sealed=sealed))
        return self.settings()

    def seal_existing(self, progress: Progress = silent) -> int:
        """Write every memory that shows its title again, sealed, and give how many.

        Interrupted, it goes on with the rest when called again. The server has seen what it has
        seen, and keeps older versions as they are until the memory is forgotten.
        """
        return self._driver.run(flows.seal_existing(self._state, progress))


class AsyncSettling(LocalVault):
    """What :class:`coffret.AsyncVault` does about settings."""

    _driver: AsyncDriver

    async def set_settings(self, *, sealed: bool) -> VaultSettings:
        """Settle whether new memories are sealed, as :meth:`coffret.Vault.set_settings`.

        Raises:
            NetworkError: the answer was lost; it goes out before anything else is written.
        """
        await self._driver.run(flows.set_settings(self._state, sealed=sealed))
        return self.settings()

    async def seal_existing(self, progress: Progress = silent) -> int:
        """Write what shows its title again, sealed, as :meth:`coffret.Vault.seal_existing`."""
        return await self._driver.run(flows.seal_existing(self._state, progress))
