"""Wait for a while after others were quicker, so that all of them get done.

What is waited for is nobody's answer, so a flow asks its driver to wait as it asks for requests: no
clock is looked up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coffret.flows.http import Request

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import Ambient

_FIRST = 0.01
_LONGEST = 1.0
_DOUBLED = 7
"""So many times the wait is doubled, then it has reached the longest."""
_BYTES = 4


def back_off(ambient: Ambient, lost: int) -> Flow[None]:
    """Wait before the next try; not at all before the first.

    A random time up to a bound that doubles with each round ("full jitter"): two that lost to each
    other do not meet again, and who loses to a burst of another's outlasts it. It is never none: a
    request without ``seconds`` would be sent.

    Args:
        ambient: where the randomness comes from.
        lost: how many rounds others have won before this one.
    """
    if lost == 0:
        return
    bound = min(_LONGEST, _FIRST * 2 ** min(lost, _DOUBLED))
    yield Request("", "", seconds=share_of(ambient, bound))


def share_of(ambient: Ambient, bound: float) -> float:
    """A random time up to a bound; never none."""
    return bound * (int.from_bytes(ambient.random(_BYTES), "big") + 1) / (1 << 8 * _BYTES)
