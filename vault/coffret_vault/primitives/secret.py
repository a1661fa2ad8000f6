"""Key material that does not print, pickle or compare in variable time."""

from __future__ import annotations

import hmac
from typing import NoReturn, final


@final
class SecretBytes:
    """Bytes that must not be seen: :meth:`reveal` is the one way to them.

    Python cannot promise to wipe memory; what this class prevents is the accident: a secret in a
    message, a traceback, a log line, a pickle or a variable-time comparison.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        """Hold ``value``."""
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the call into a primitive."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "<SecretBytes>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would say something about it

    def __reduce__(self) -> NoReturn:
        message = "secrets are not pickled"
        raise TypeError(message)

    def __copy__(self) -> SecretBytes:
        return self

    def __deepcopy__(self, _memo: object) -> SecretBytes:
        return self
