"""Every answer of the data plane that a test of the server is given is one that it describes."""

import re
from typing import Final

import httpx
import msgspec

from coffret_server.data.answers import ANSWERS
from coffret_server.data.routes import BASE

_PATHS: Final = {
    call: re.compile(re.escape(BASE + call[1]).replace(r"\{id\}", "[^/]+")) for call in ANSWERS
}


def call_of(answer: httpx.Response) -> tuple[str, str] | None:
    """The call that an answer is of, as the data plane's routes name it."""
    request = answer.request
    for (method, path), form in _PATHS.items():
        if request.method == method and form.fullmatch(request.url.path):
            return method, path
    return None


async def is_as_described(answer: httpx.Response) -> None:
    """Read an answer as the OpenAPI document has it, with nothing more and nothing less.

    Raises:
        msgspec.ValidationError: it is another.
    """
    call = call_of(answer)
    if call is not None and answer.is_success:
        is_json = answer.headers["content-type"] == "application/json"
        decode = msgspec.json.decode if is_json else msgspec.msgpack.decode
        decode(await answer.aread(), type=ANSWERS[call])
