"""What a row of the campaign says; the tests that carry it out bear its number as their mark."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What comes of an attack."""

    REFUSED = "refused"
    """It does nothing, and whoever it was tried on is told with an error."""
    NOTICED = "noticed"
    """It can be done, and is shown for what it is."""
    HARMLESS = "harmless"
    """It can be done, and gives whoever does it nothing."""
    UNSTOPPABLE = "cannot be stopped"
    """No design stops it; the row says what is seen instead."""
    ELSEWHERE = "does not apply"
    """Coffret has nothing that it could be done to; the row says why."""


@dataclass(frozen=True)
class Row:
    """One class of attacks."""

    number: int
    attack: str
    who: str
    """Server, app, network, thief or developer; several are parted by commas."""
    verdict: Verdict
    note: str = ""
    """What a person or an app sees, or why the row does not apply."""
    no_control: str = ""
    """Why no weaker client is needed to show that the tests of this row can fail."""
