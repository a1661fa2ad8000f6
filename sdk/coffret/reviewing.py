"""Decide on what apps wrote: the part of ``Vault`` and ``AsyncVault`` that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows import review as flows
from coffret.local import LocalVault

if TYPE_CHECKING:
    from coffret.flows.proposals import Proposed
    from coffret.transport import AsyncDriver, SyncDriver
    from coffret_vault.records.memory import Memory


class Reviewing(LocalVault):
    """What :class:`coffret.Vault` does about what apps wrote."""

    _driver: SyncDriver

    def accept(self, proposal: Proposed, version: int | None = None) -> Memory | None:
        """Make what an app wrote current; None when that was a deletion.

        Args:
            proposal: as :meth:`pending` gave it, to take what was looked at and nothing else; or
                the memory's id, for what waits of it now, whatever it says.
            version: which version, where several of that memory wait.

        Raises:
            NotFoundError: nothing of it waits; or what is current is not here: sync first.
            ConflictError: something else waits than was given, or stands beside it; or several
                versions wait. Or it does not open, or was decided or changed meanwhile.
            InputError: that is no id; or a version is named beside what is of another.
        """
        return self._driver.run(flows.accept(self._state, proposal, version))

    def reject(self, proposal: Proposed, version: int | None = None) -> None:
        """Turn down what an app wrote, given as for :meth:`accept`; the memory stays as it is.

        Raises:
            NotFoundError: nothing of it waits.
            ConflictError: something else waits than was given; several versions do; or it was
                decided meanwhile.
            InputError: as for :meth:`accept`.
        """
        self._driver.run(flows.reject(self._state, proposal, version))


class AsyncReviewing(LocalVault):
    """What :class:`coffret.AsyncVault` does about what apps wrote."""

    _driver: AsyncDriver

    async def accept(self, proposal: Proposed, version: int | None = None) -> Memory | None:
        """Make what an app wrote current, as :meth:`coffret.Vault.accept`.

        Raises:
            NotFoundError: nothing of it waits; or what is current is not here: sync first.
            ConflictError: something else waits than was given, or stands beside it; or several
                versions wait. Or it does not open, or was decided or changed meanwhile.
            InputError: that is no id; or a version is named beside what is of another.
        """
        return await self._driver.run(flows.accept(self._state, proposal, version))

    async def reject(self, proposal: Proposed, version: int | None = None) -> None:
        """Turn down what an app wrote, as :meth:`coffret.Vault.reject`.

        Raises:
            NotFoundError: nothing of it waits.
            ConflictError: something else waits than was given; several versions do; or it was
                decided meanwhile.
            InputError: as for :meth:`accept`.
        """
        await self._driver.run(flows.reject(self._state, proposal, version))
