"""What the server says it keeps: read page by page, and no longer than that can be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from coffret.flows import serverview
from coffret.flows.http import Response
from coffret_vault.errors import TooLargeError

if TYPE_CHECKING:
    from coffret.flows.http import Flow
    from coffret.flows.state import VaultState

NOBODY = cast("VaultState", None)


def pages(total: int, rows: int) -> Any:
    """A server that says it has so many rows, and gives so many of them at a time."""

    def get(_state: VaultState, _path: str, *params: tuple[str, str]) -> Flow[Response]:
        begin = int(dict(params).get("after", "0"))
        following = str(begin + rows) if begin + rows < total else None
        table: dict[str, Any] = {"table": "entries", "columns": ["seq"], "next": following}
        table |= {"rows": [[1]] * min(rows, total - begin), "total": None if begin else total}
        yield from ()
        return Response(200, {}, msgspec.json.encode({"account_id": "a", "tables": [table]}))

    return get


def view() -> dict[str, Any]:
    """Everything."""
    with pytest.raises(StopIteration) as ended:
        next(serverview.server_view(NOBODY, None))
    found: dict[str, Any] = ended.value.value
    return found


def test_a_view_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are read as long as there is a next one, and it has rows."""
    monkeypatch.setattr(serverview, "get", pages(total=6, rows=2))
    assert len(view()["tables"][0]["rows"]) == view()["tables"][0]["total"] == 6
    monkeypatch.setattr(serverview, "get", pages(total=6, rows=0))
    assert view()["tables"][0]["rows"] == []


def test_a_view_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has ever more rows does not fill a device's memory."""
    monkeypatch.setattr(serverview, "_MOST", 20)
    monkeypatch.setattr(serverview, "get", pages(total=1 << 50, rows=1))
    with pytest.raises(TooLargeError, match="more rows"):
        next(serverview.server_view(NOBODY, None))
