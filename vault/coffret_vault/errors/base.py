"""What every error of Coffret has: a code, an exit code, a sentence, a hint."""

from __future__ import annotations

from typing import ClassVar


class CoffretError(Exception):
    """Something went wrong in Coffret."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        """Inherit no status: a server answers with codes of its own alone."""
        super().__init_subclass__()
        if "http_status" not in vars(cls):
            cls.http_status = None

    def __init__(self, detail: str = "", *, hint: str = "") -> None:
        """Say what happened.

        Args:
            detail: what is particular to this case; the class sentence when empty.
            hint: what the person can do about it.
        """
        super().__init__(detail or self.sentence())
        self.hint = hint
        self.evidence = ""
        """The file that shows what happened, where one was written."""

    @classmethod
    def sentence(cls) -> str:
        """The first line of the class docstring: what a person reads."""
        return (cls.__doc__ or "").partition("\n")[0]
