"""Who waits for the disk: the event loop itself while that is quick, a thread while it is not.

To hand a commit to a thread and to get the interpreter back from it takes as long as a commit does
on a disk that answers at once. While the loop waits, requests gather in their sockets, and the next
group is larger. A slow disk must not stop everybody, though: after one slow commit, those that
follow go to the thread, and then the disk is tried again.
"""

from typing import Final

SLOW_SECONDS: Final = 0.002
IN_THREAD: Final = 32


class Pace:
    """Tells of each commit where it is to be awaited."""

    def __init__(self) -> None:
        self._left = 0

    def is_quick(self) -> bool:
        """Whether the next commit is the loop's own."""
        if self._left:
            self._left -= 1
            return False
        return True

    def took(self, seconds: float) -> None:
        """How long a commit on the loop took."""
        if seconds > SLOW_SECONDS:
            self._left = IN_THREAD
