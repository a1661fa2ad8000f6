"""Refusals: one exception, a closed table of codes, and the RFC 9457 document made from it."""

from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coffret_server.quiet import Overtaken

CODES: Final[dict[str, tuple[int, str]]] = {
    "malformed": (400, "The request is not in the published form"),
    "wrong-credentials": (401, "The credentials are wrong"),
    "unauthenticated": (401, "A valid token is needed"),
    "session-ended": (401, "The session was ended"),
    "invalid-proof": (401, "A proof that the caller holds the token's key is needed"),
    "forbidden": (403, "This token may not do that"),
    "not-granted": (403, "The grant does not allow that"),
    "grant-activating": (403, "The grant is still being set up"),
    "grant-paused": (403, "The grant is paused"),
    "grant-revoked": (403, "The grant was revoked"),
    "grant-expired": (403, "The grant has expired"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "too-slow": (408, "The request took too long to arrive"),
    "conflict": (409, "The change does not fit what is stored"),
    "username-taken": (409, "The username is taken"),
    "log-moved": (409, "The log has moved on"),
    "not-approved": (409, "The request is not approved"),
    "request-final": (409, "The request is decided already"),
    "owner-gone": (410, "The owner's account was deleted"),
    "version-moved": (412, "The memory has a newer version"),
    "too-large": (413, "The request is too large"),
    "invalid-input": (422, "The request breaks a rule"),
    "unknown-suite": (422, "The suite is unknown"),
    "idempotency-mismatch": (422, "The idempotency key was used for another request"),
    "bad-signature": (422, "A signature does not verify"),
    "weak-key": (422, "A public key is weak"),
    "wrong-clock": (422, "The sender's clock is far from the server's"),
    "precondition-required": (428, "If-Match is needed"),
    "rate-limited": (429, "Too many requests"),
    "quota-exceeded": (429, "The account's quota is used up"),
    "server-error": (500, "The server failed"),
    "unavailable": (503, "The server is not ready"),
}
"""Every code this server answers with: its HTTP status and its title."""

SESSION_ENDED: Final = ("session-ended", "the session was ended; log in again")
"""What a device is told whose session somebody ended, wherever that is noticed."""
MEDIA_TYPE: Final = "application/problem+json"
_TOO_LONG: Final = "Expected `array` of length <= "
"""How the decoder begins to say that there is more of a list than its type lets be."""
BEARER: Final = "Bearer"
"""The scheme of developer keys, the only tokens that are bound to no other key."""


class ProblemError(Exception):
    """A refusal with a stable code.

    Attributes:
        code: a key of `CODES`.
        detail: one sentence for a developer; it never repeats what the client sent.
        current: for `log-moved`, the size and the head that are in force.
        retry_after: for 429, whole seconds to wait.
        authenticate: for 401, what `WWW-Authenticate` says behind `DPoP`, or instead of it.
        nonce: for 401, what the next proof may carry (RFC 9449 §8).
        overtaken: for `log-moved`, the owner's append than which apps were quicker.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        current: "Mapping[str, object] | None" = None,
        retry_after: int | None = None,
        authenticate: str = "",
        nonce: str = "",
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.current = current
        self.retry_after = retry_after
        self.authenticate = authenticate
        self.nonce = nonce
        self.overtaken: Overtaken | None = None

    @property
    def status(self) -> int:
        """The HTTP status that the code stands for."""
        return CODES[self.code][0]

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that belong to this refusal beside the content type."""
        found: list[tuple[bytes, bytes]] = []
        if self.retry_after is not None:
            found.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == CODES["unauthenticated"][0]:
            found.append((b"www-authenticate", self._challenge().encode()))
        if self.nonce:
            found.append((b"dpop-nonce", self.nonce.encode()))
        if self.status == CODES["too-slow"][0]:
            found.append((b"connection", b"close"))  # what is left of the body is not waited for
        return found

    def _challenge(self) -> str:
        if self.authenticate == BEARER:
            return BEARER
        return ", ".join(filter(None, ('DPoP algs="EdDSA"', self.authenticate)))

    def document(self, request_id: str) -> bytes:
        """The `application/problem+json` body."""
        status, title = CODES[self.code]
        body: dict[str, object] = {
            "type": f"urn:coffret:problem:{self.code}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.current is not None:
            body["current"] = self.current
        return msgspec.json.encode(body)


def malformed(detail: str) -> ProblemError:
    """A refusal of bytes that are not in the one form that is accepted."""
    return ProblemError("malformed", detail)


def unshaped(error: Exception, what: str) -> ProblemError:
    """The refusal of what a decoder does not take: a list that is too long, or another shape."""
    if isinstance(error, msgspec.ValidationError) and str(error).startswith(_TOO_LONG):
        return ProblemError("too-large", f"{what} has too many parts")
    return malformed(f"{what} is not of the published shape")


def refuse(code: str, detail: str) -> NoReturn:
    """Refuse with one of the codes.

    Raises:
        ProblemError: always.
    """
    raise ProblemError(code, detail)
