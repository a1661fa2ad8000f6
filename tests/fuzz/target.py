"""What a fuzz target is: a reader of some format, with what has to hold whatever it is given."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from coffret_vault.errors import BadSignatureError, WeakKeyError
from coffret_vault.primitives.identity import verify_signature
from vectors import ours
from vectors.verifier import audit, evidence, lineage, website
from vectors.verifier import run as verifier
from vectors.verifier.refusal import BAD_SIGNATURE, WEAK_KEY, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Mutate = Callable[[bytes, int], bytes]
    """libFuzzer's own changes: bytes, and how many there may be afterwards."""

_VECTORS = Path(__file__).parents[1] / "vectors"


@dataclass(frozen=True, slots=True)
class Target:
    """One format.

    Attributes:
        name: by which it is run and its corpus is filed.
        check: reads the bytes; anything but a documented refusal comes out of it as an error.
        seeds: good and bad inputs to begin with.
        most: bytes of an input.
        mutate: changes an input and keeps its shape; bytes, libFuzzer's changes, the most, a seed.
    """

    name: str
    check: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    most: int = 4096
    mutate: Callable[[bytes, Mutate, int, int], bytes] | None = None


def agreed(operation: str, given: dict[str, Any], *, nested: bool = False) -> dict[str, Any] | None:
    """What an operation of the vectors gives, or None where it is refused.

    Args:
        operation: as in the vectors.
        given: the same.
        nested: there are objects inside: of two things that are wrong, either may be said first.

    Raises:
        AssertionError: the trusted core and the independent verifier do not say the same.
    """
    core = ours.run(operation, given)
    with ExitStack() as replaced:
        if operation in _SIGNED:
            for module in (audit, evidence, lineage, website, verifier):
                replaced.enter_context(patch.object(module, "ed25519_verify", _verify_quickly))
        second = verifier.run(operation, given)
    refused = nested and core[0] != "accept" != second[0]
    assert refused or core == second, f"{core} is not {second}"
    return core[1] if core[0] == "accept" else None


_SIGNED = frozenset(("head", "audit-findings", "evidence", "lineage", "website-apps"))


def _verify_quickly(public: bytes, message: bytes, signature: bytes) -> None:
    """As the verifier's own does in a tenth of a second; here it is its parsing that is asked."""
    try:
        verify_signature(public, message, signature)
    except WeakKeyError:
        raise Refused(WEAK_KEY) from None
    except BadSignatureError:
        raise Refused(BAD_SIGNATURE) from None


def given_of(name: str, operation: str) -> Iterator[dict[str, Any]]:
    """What the cases of a file of vectors give to an operation."""
    for case in json.loads((_VECTORS / f"{name}.json").read_text(encoding="ascii"))["cases"]:
        if case["operation"] == operation:
            yield case["given"]
