"""Whether the time of an answer tells who has an account: challenges and wrong logins, compared.

Somebody who has no session asks about names that exist and names that do not, in random turn, over
one connection to a real server. Printed are the medians of both, and how sure one could be that
they differ. Of many thousands of answers even a microsecond shows here, on one machine; a network
hides a hundred of them.
"""

from __future__ import annotations

import json
import random
import socket
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.rows import Row, bounded
from bench.servers import coffret_server
from coffret import Vault
from coffret.testing import cheap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.rows import Plan

_NAMES: Final = 8
_SECONDS: Final = 60.0
_WARM: Final = 100
_KEPT: Final = 0.9
"""The fastest part of the answers, which t is of: what the machine does beside makes the rest."""
_DEALT: Final = 2_000
SURE: Final = 0.001
"""How often equal times would look as different as that, by chance, for it to be called one."""
_SETTINGS: Final = {"COFFRET_LOGIN_FAILURES": "1000000", "COFFRET_TRUST_FORWARDED": "yes"}
_FROM: Final = "203.0.113.7"
"""Not where the owners are logged in."""


@dataclass
class Times:
    """Seconds of the answers about names that exist, and about names that do not."""

    known: list[float] = field(default_factory=list)
    unknown: list[float] = field(default_factory=list)


def logins(plan: Plan) -> list[Row]:
    """Ask in random turn, and compare."""
    times = {"challenge": Times(), "wrong login": Times()}
    with coffret_server(plan.place("server"), _SETTINGS) as url:
        names = [f"user{number}" for number in range(_NAMES)]
        for name in names:
            Vault.create(url, name, "pw", plan.place(name), ambient=cheap())[0].close()
        asked = [(name, True) for name in names]
        asked += [(f"nobody{number}", False) for number in range(_NAMES)]
        with _Stranger(url) as stranger:
            for number in bounded(plan.count(8_000, 1_000), _SECONDS):
                random.shuffle(asked)
                for name, is_known in asked[:2]:
                    took = stranger.tries(name)
                    if number >= _WARM:
                        for kind, seconds in zip(times, took, strict=True):
                            found = times[kind]
                            (found.known if is_known else found.unknown).append(seconds)
    return [row for kind, found in times.items() for row in compare(kind, found)]


class _Stranger:
    """Somebody on one connection, without an account."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = Ed25519PrivateKey.generate()
        self._public = b64encode(key.public_key().public_bytes_raw()).decode()
        self._signature = b64encode(key.sign(b"something else")).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def tries(self, name: str) -> tuple[float, float]:
        """Seconds of a challenge, and of a login that nobody's key signed."""
        body: dict[str, Any] = {"username": name, "kind": "passphrase"}
        first, challenge = self._timed("/auth/challenge", body)
        body = {key: challenge[key] for key in ("account_id", "slot_id", "nonce")}
        body |= {"session_public_key": self._public, "signature": self._signature}
        second, problem = self._timed("/auth/login", body)
        if problem.get("code") != "wrong-credentials":
            message = f"a wrong login was answered otherwise: {problem.get('code')}"
            raise RuntimeError(message)
        return first, second

    def _timed(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        content = json.dumps(body).encode()
        head = f"POST /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {_FROM}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        request = head.encode() + content
        started = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(65_536)
        took = time.perf_counter() - started
        head_size = answer.index(b"\r\n\r\n") + 4
        lower = answer[:head_size].lower()
        start = lower.index(b"content-length:") + len(b"content-length:")
        size = int(lower[start : lower.index(b"\r\n", start)])
        while len(answer) < head_size + size:
            answer += self._socket.recv(65_536)
        return took, json.loads(answer[head_size:])


def compare(kind: str, times: Times) -> list[Row]:
    """Both distributions, and what tells them apart."""
    known, unknown = (np.array(part) * 1e6 for part in (times.known, times.unknown))
    distance, chance = kolmogorov_smirnov(known, unknown)
    apart = float(np.median(known) - np.median(unknown))
    quick, quick_chance = tenths(known, unknown)
    title, target = f"{kind}: known against unknown users", f"p ≥ {SURE:g}"
    against = f"t {welch(*_fastest(known, unknown)):+.1f}, KS {distance:.3f}, p {chance:.2g}"
    quickly = f"{quick:+.1f} µs", f"p {quick_chance:.2g}"
    rows = [
        Row(title, target, f"{apart:+.1f} µs", against, chance >= SURE, apart),
        Row("  their fastest tenths", target, *quickly, quick_chance >= SURE, quick),
    ]
    for name, part in (("known", known), ("unknown", unknown)):
        low, middle, high = np.percentile(part, (10, 50, 90))
        spread = f"{middle:,.0f} µs ({low:,.0f} to {high:,.0f} for 80 %)"
        rows.append(Row(f"  {kind}, {name}, {len(part):,} times", "", spread, value=float(middle)))
    return rows


def _fastest(*samples: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    limit = np.quantile(np.concatenate(samples), _KEPT)
    return [sample[sample <= limit] for sample in samples]


def welch(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Welch's t: the difference of the means in its own standard errors."""
    error = one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)
    return float((one.mean() - other.mean()) / np.sqrt(error))


def tenths(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """The difference of the 10th percentiles, and how often chance alone makes it as large.

    What else a machine does makes answers slower, never faster: the quick ones tell most of what is
    different about the work. The chance is that of samples whose labels are dealt anew.
    """
    both, generator = np.concatenate((one, other)), np.random.default_rng(0)

    def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.percentile(a, 10) - np.percentile(b, 10))

    found, larger = apart(one, other), 0
    for _ in range(_DEALT):
        dealt = generator.permutation(both)
        larger += abs(apart(dealt[: len(one)], dealt[len(one) :])) >= abs(found)
    return found, (larger + 1) / (_DEALT + 1)


def kolmogorov_smirnov(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """The largest distance of two distributions, and how often chance alone makes it as large.

    The chance is that of many samples (Smirnov 1948), by the first term of its series.
    """
    a, b = np.sort(one), np.sort(other)
    points = np.concatenate((a, b))
    below = [np.searchsorted(part, points, side="right") / len(part) for part in (a, b)]
    distance = float(np.abs(below[0] - below[1]).max())
    scale = len(a) * len(b) / (len(a) + len(b))
    return distance, float(min(1.0, 2 * np.exp(-2 * scale * distance**2)))
