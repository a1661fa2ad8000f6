"""What is closed once, and is of no use from then on."""

from __future__ import annotations

from coffret_vault.errors import StoreError


class Closing:
    """Refuses what is asked of it after its end: a connection that is made then, nobody closes."""

    _has_ended = False

    def end(self) -> None:
        """Refuse from now on; what is under way asks no more."""
        self._has_ended = True

    def check_open(self) -> None:
        """Go on if it has not ended.

        Raises:
            StoreError: it has.
        """
        if self._has_ended:
            message = "this was closed before: open or load it again"
            raise StoreError(message)
