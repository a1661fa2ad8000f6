"""What the server holds of a request prints nothing of it."""

from uuid import UUID

import pytest

from coffret_server.control.auth import LoginAnswer, TokenAnswer, TokenBody
from coffret_server.proofs import Shown
from coffret_server.services import Secrets
from coffret_server.settings import Settings

CANARY = "c0ffee" * 11
HELD = [
    Shown(f"DPoP {CANARY}".encode(), CANARY.encode(), "GET", f"/{CANARY}", b"", CANARY.encode()),
    TokenBody(api_key=CANARY),
    TokenAnswer(access_token=CANARY, token_type="DPoP", expires_in=1),
    LoginAnswer(session_id=UUID(int=1), token=CANARY, expires_at=1),
    Secrets(CANARY.encode(), CANARY.encode()),
    Settings(database=f"postgresql://u:{CANARY}@h/d", jwt_key=CANARY),
]


@pytest.mark.parametrize("held", HELD, ids=lambda held: type(held).__name__)
def test_what_is_secret_does_not_print(held: object) -> None:
    """Neither as a debugger shows it nor as text: a traceback in a log would hold it."""
    assert CANARY not in f"{held!r}{held}"
