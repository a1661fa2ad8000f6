"""Requests made from the OpenAPI document: the server keeps to what it says of itself.

Schemathesis makes them, right and wrong; each is sent by an owner, an app, a developer or nobody,
with a proof where there is a token, so that more is reached than refusals at the door.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server import forge
from server.stand import ORIGIN, START, Clock, Stand, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

EXAMPLES = 4
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


class Callers:
    """A server in this thread, and the tokens of three who call it."""

    def __init__(self, database: str) -> None:
        """Sign them up."""
        self.loop = asyncio.new_event_loop()
        many = 10**6
        names = ("auth_rate", "open_rate", "failure_rate", "registration_rate")
        rates = dict.fromkeys(names, many)
        self._serving: AbstractAsyncContextManager[Stand] = serving(database, Clock(), **rates)
        self.stand = self.run(self._serving.__aenter__())
        owner, app = self.run(self.stand.sign_up()), self.run(self.stand.new_app())
        self.grant = self.run(self.stand.grant(owner, app))
        self.tokens = {"dpop": (owner.token, app.token), "developer": (app.developer_key,)}
        self.document: dict[str, Any] = self.run(self.stand.get("/openapi.json")).json()

    def run(self, work: Any) -> Any:
        """Wait for something."""
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        """End the server."""
        self.run(self._serving.__aexit__(None, None, None))
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    def send(self, case: Any, token: str) -> httpx.Response:
        """Send what was made, as whoever has the token."""
        made = case.as_transport_kwargs(base_url=ORIGIN)
        built = _built(made)
        if token:
            url = str(built.url)
            shown = forge.bound(
                built.method, url, built.content, token=token, at=START // 1_000_000
            )
            built.headers.update(shown)
        answer: httpx.Response = self.run(self.stand.http.send(built))
        return answer


def _built(made: dict[str, Any]) -> httpx.Request:
    names = ("method", "url", "headers", "params", "data", "json", "cookies", "files")
    prepared = requests.Request(**{name: made[name] for name in names if name in made}).prepare()
    body: Any = prepared.body or b""
    headers: Any = dict(prepared.headers)
    method, url = prepared.method or "", prepared.url or ""
    return httpx.Request(method, url, headers=headers, content=body)


@pytest.fixture
def callers(sqlite_url: str) -> Iterator[Callers]:
    """The server and its callers."""
    found = Callers(sqlite_url)
    yield found
    found.close()


def check(callers: Callers, operation: Any, token: str, mode: GenerationMode) -> None:
    """Call an operation a few times, as whoever has the token."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: Any) -> None:
        case.validate_response(callers.send(case, token), checks=CHECKS)

    call()


def operations_of(callers: Callers) -> list[Any]:
    """Every operation of the document."""
    document: Any = schemathesis.openapi.from_dict(callers.document)
    found = [operation.ok() for operation in document.get_all_operations()]
    assert len(found) > 40
    return found


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_call_keeps_to_the_document(callers: Callers, mode: GenerationMode) -> None:
    """No server error, and only the statuses, media types and shapes that the document names."""
    called = 0
    for operation in operations_of(callers):
        security = next(iter(operation.definition.raw.get("security", [{}])[0]), "")
        for token in callers.tokens.get(security, ("",)):
            with suppress(Unsatisfiable):  # nothing about it can be wrong
                check(callers, operation, token, mode)
                called += 1
    assert called > 40


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"code": "server-error"}),
        httpx.Response(200, text="hello"),
        httpx.Response(200, json={"session_id": 7}),
    ],
)
def test_an_answer_beside_the_document_is_noticed(callers: Callers, answer: httpx.Response) -> None:
    """Control: were the server to fail, or to say something else, the test above would."""
    (listing,) = [item for item in operations_of(callers) if item.path.endswith("/auth/sessions")]
    answer.request = httpx.Request("GET", f"{ORIGIN}{listing.path}")
    answer.elapsed = timedelta()
    with patch.object(callers, "send", return_value=answer), pytest.raises(BaseExceptionGroup):
        check(callers, listing, "", GenerationMode.POSITIVE)
