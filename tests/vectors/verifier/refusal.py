"""Outcome classes of docs/spec/1-encoding.md."""

from __future__ import annotations

ACCEPT = "accept"
MALFORMED = "malformed"
UNKNOWN_SUITE = "unknown-suite"
UNKNOWN_SETTING = "unknown-setting"
TOO_LARGE = "too-large"
CANNOT_OPEN = "cannot-open"
BAD_SIGNATURE = "bad-signature"
WEAK_KEY = "weak-key"
CODE_TYPO = "code-typo"
KDF_OUT_OF_BOUNDS = "kdf-out-of-bounds"
UNTRUSTWORTHY = "untrustworthy"
INVALID_PROOF = "invalid-proof"
USE_NONCE = "use-nonce"
INVALID_INPUT = "invalid-input"
OUTCOMES = frozenset(
    (
        ACCEPT,
        MALFORMED,
        UNKNOWN_SUITE,
        UNKNOWN_SETTING,
        TOO_LARGE,
        CANNOT_OPEN,
        BAD_SIGNATURE,
        WEAK_KEY,
        CODE_TYPO,
        KDF_OUT_OF_BOUNDS,
        UNTRUSTWORTHY,
        INVALID_PROOF,
        USE_NONCE,
        INVALID_INPUT,
    )
)


class Refused(Exception):  # noqa: N818 - an outcome, not a fault of the verifier
    """The specification says no; ``outcome`` is the class."""

    def __init__(self, outcome: str) -> None:
        """Refuse with one of :data:`OUTCOMES`."""
        super().__init__(outcome)
        self.outcome = outcome


def require(condition: object, outcome: str = MALFORMED) -> None:
    """Refuse unless ``condition``."""
    if not condition:
        raise Refused(outcome)
