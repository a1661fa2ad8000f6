"""A weak client for controls: each version of a memory is under the key of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def kept_key(_state: object, opened: Any, _memory: object, **_: object) -> Any:
    """The key of before, and its number."""
    return opened.key, opened.header.key_number


def keeping_keys() -> AbstractContextManager[object]:
    """While this lasts, what owners write is under the key that the memory has."""
    return patch("coffret.flows.memories.next_key", kept_key)
