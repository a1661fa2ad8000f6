"""A server that misbehaves when it is told to: answers altered, old, lost, refused or made up.

One :class:`Whim` stands between one device, or one app, and the real server. Which answer it
spoils, where and how, is said in numbers, so that hypothesis can choose them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from harness.network import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

ALTERED = "altered"
OLDER = "older"
REFUSED = "refused"
LOST = "lost"
GONE = "gone"
REPEATED = "repeated"
MADE_UP = "made up"
WHIMS = (ALTERED, ALTERED, ALTERED, OLDER, REFUSED, LOST, GONE, REPEATED, MADE_UP)
"""What may happen to an answer; what finds most is there most often."""

_STATUSES = (400, 401, 403, 404, 409, 412, 500, 503)
_KEPT = 20
_DEEPEST = 12


@dataclass(frozen=True)
class Plan:
    """Which request is answered badly (from now on, 0 the next), and how."""

    whim: str
    turn: int
    where: int
    how: int


class Whim(Gate):
    """Goes through to the server; once a plan is set, one answer is not the server's."""

    def __init__(self) -> None:
        """Begin honest."""
        super().__init__()
        self.plan: Plan | None = None
        self.spoiled = False
        """Whether the plan was carried out."""
        self.sent: list[httpx.Request] = []
        self._turn = 0
        self._answers: dict[tuple[str, str], list[httpx.Response]] = defaultdict(list)

    def misbehave(self, plan: Plan) -> None:
        """Spoil an answer of those that follow."""
        self.plan, self._turn, self.spoiled = plan, 0, False

    def behave(self) -> None:
        """Be honest again."""
        self.plan = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, honestly or not."""
        self.sent = [*self.sent[1 - _KEPT :], request]
        plan, turn = self.plan, self._turn
        self._turn += 1
        if plan is None or plan.turn != turn:
            return self._honest(request)
        self.spoiled = True
        return _SPOIL[plan.whim](self, request, plan)

    def _honest(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        known = self._answers[request.method, request.url.path]
        self._answers[request.method, request.url.path] = [*known[1 - _KEPT :], response]
        return response

    def again(self, number: int) -> int:
        """Send one of the last requests once more, as somebody on the way could; its status."""
        if not self.sent:
            return 0
        request = self.sent[number % len(self.sent)]
        return super().handle_request(request).status_code

    def _altered(self, request: httpx.Request, plan: Plan) -> httpx.Response:
        response = self._honest(request)
        media = response.headers.get("content-type", "")
        packed = "msgpack" in media
        if not response.content or not (packed or "json" in media):
            return httpx.Response(response.status_code, content=b"\x00", headers=_media(media))
        tree = msgspec.msgpack.decode(response.content) if packed else response.json()
        changed = altered(tree, plan.where, plan.how)
        content = msgspec.msgpack.encode(changed) if packed else json.dumps(changed).encode()
        return httpx.Response(response.status_code, content=content, headers=_media(media))

    def _older(self, request: httpx.Request, plan: Plan) -> httpx.Response:
        known = list(self._answers[request.method, request.url.path])
        response = self._honest(request)
        return _copy(known[plan.where % len(known)]) if known else response

    def _refused(self, request: httpx.Request, plan: Plan) -> httpx.Response:
        self._honest(request)
        return httpx.Response(_STATUSES[plan.how % len(_STATUSES)], json={"code": "conflict"})

    def _lost(self, request: httpx.Request, _plan: Plan) -> httpx.Response:
        self._honest(request)
        message = "the answer was lost"
        raise httpx.ReadError(message)

    def _gone(self, _request: httpx.Request, _plan: Plan) -> httpx.Response:
        message = "the server is gone"
        raise httpx.ConnectError(message)

    def _repeated(self, request: httpx.Request, _plan: Plan) -> httpx.Response:
        self._honest(request)
        return self._honest(request)

    def _made_up(self, request: httpx.Request, plan: Plan) -> httpx.Response:
        known = self._answers[request.method, request.url.path]
        return _copy(known[plan.where % len(known)]) if known else httpx.Response(200, json={})


_SPOIL: dict[str, Callable[[Whim, httpx.Request, Plan], httpx.Response]] = {
    ALTERED: Whim._altered,
    OLDER: Whim._older,
    REFUSED: Whim._refused,
    LOST: Whim._lost,
    GONE: Whim._gone,
    REPEATED: Whim._repeated,
    MADE_UP: Whim._made_up,
}


def _media(media: str) -> dict[str, str]:
    return {"content-type": media} if media else {}


def _copy(response: httpx.Response) -> httpx.Response:
    media = _media(response.headers.get("content-type", ""))
    return httpx.Response(response.status_code, content=response.content, headers=media)


def altered(tree: Any, where: int, how: int) -> Any:
    """The tree with one node changed: which, and how, by number."""
    holder: Any = [tree]
    key: Any = 0
    for _ in range(_DEEPEST):
        value = holder[key]
        inside = (
            list(value)
            if isinstance(value, dict)
            else list(range(len(value) if isinstance(value, list) else 0))
        )
        where, choice = divmod(where, len(inside) + 1)
        if choice == len(inside):
            break
        holder, key = value, inside[choice]
    instead = _instead(holder, key)
    if how % (len(instead) + 1) == len(instead) and holder[key] is not tree:
        del holder[key]
        return tree
    changed = instead[how % len(instead)]
    if holder[key] is tree:
        return changed
    holder[key] = changed
    return tree


def _instead(holder: Any, key: Any) -> list[Any]:
    """What may stand in a place: near what stands there, of a neighbour, or something else."""
    value = holder[key]
    neighbours = list(holder.values()) if isinstance(holder, dict) else list(holder)
    found: list[Any] = [other for other in neighbours if other != value]
    if isinstance(value, bytes | str) and value:
        found += [value[:-1], value[1:], value[len(value) // 2 :], value[:0]]
    if isinstance(value, bytes) and value:
        found += [bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 128])]
    if isinstance(value, list) and value:
        found += [value[1:], value[:-1], value[::-1], [*value, value[-1]], []]
    if isinstance(value, int):
        found += [value + 1, value - 1, 0, not value]
    return [*found, None]
