"""The OpenAPI document says what the server does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.stand import Stand

pytestmark = pytest.mark.asyncio
SPEC = Path(__file__).parents[2] / "docs" / "spec" / "7-http.md"


def references(value: Any) -> Iterator[str]:
    """Every `$ref`."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


async def document(stand: Stand) -> dict[str, Any]:
    """The document that is served."""
    answer = await stand.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_the_document_is_whole(sqlite_stand: Stand) -> None:
    """It is OpenAPI 3.1, its references lead somewhere, its operations have distinct names."""
    found = await document(sqlite_stand)
    assert found["openapi"].startswith("3.1.")
    for reference in references(found):
        _, first, second, name = reference.split("/")
        assert name in found[first][second]
    operations = [op for path in found["paths"].values() for op in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["summary"] or operation["description"]
        assert {"default"} < set(operation["responses"])


async def test_path_parameters_are_declared(sqlite_stand: Stand) -> None:
    """Each placeholder of a path is a parameter of each of its operations."""
    for path, operations in (await document(sqlite_stand))["paths"].items():
        wanted = set(re.findall(r"{(\w+)}", path))
        for operation in operations.values():
            given = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert given == wanted, path


async def test_every_call_of_the_specification_is_there(sqlite_stand: Stand) -> None:
    """Each method and path that the specification names is in the document."""
    paths = (await document(sqlite_stand))["paths"]
    rows = re.findall(r"^\|([^|]*`/[^|]*)\|", SPEC.read_text("utf-8"), re.MULTILINE)
    named = set()
    for row in rows:
        for method, path in re.findall(r"(GET|POST|PUT|DELETE) `(/[a-z{][^`?\[]*)", row):
            named.add((method.lower(), "/api/v1" + path))
    assert len(named) > 30
    for method, path in named:
        below = [paths[known] for known in paths if known.startswith(path)]
        assert any(method in operations for operations in below), (method, path)


def rows_of_calls() -> Iterator[tuple[str, str, str]]:
    """Method, path and whole row of each call in the specification's tables."""
    for line in SPEC.read_text("utf-8").splitlines():
        cell = line.split("|")[1] if line.startswith("|") else ""
        for methods, text in re.findall(r"((?:[A-Z]+ (?:· )?)+)`(/[^`]*)`", cell):
            path = text.partition("?")[0]
            spellings = {re.sub(r"\[.*\]", "", path), path.replace("[", "").replace("]", "")}
            for spelling in spellings:
                for method in re.findall(r"[A-Z]+", methods):
                    yield method.lower(), "/api/v1" + spelling, line


async def test_every_call_of_the_document_is_specified(sqlite_stand: Stand) -> None:
    """Each operation, and each of its parameters in a query, is named where its call is."""
    text, named = SPEC.read_text("utf-8"), {}
    for method, path, row in rows_of_calls():
        named[method, re.sub(r"{\w+}", "{}", path)] = row
    for path, operations in (await document(sqlite_stand))["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/v1"):
                assert f"`{path}`" in text
                continue
            row = named[method, re.sub(r"{\w+}", "{}", path)]
            for given in operation.get("parameters", []):
                if given["in"] == "query":
                    assert re.search(rf"[`?&]{given['name']}[`=]", row), (path, given["name"])


async def test_what_the_specification_puts_into_a_query_is_in_the_document(
    sqlite_stand: Stand,
) -> None:
    """Each parameter in the address of a call is one of its operation; so is each body."""
    paths = (await document(sqlite_stand))["paths"]
    for method, path, row in rows_of_calls():
        operation = paths.get(path, {}).get(method)
        if operation is None:
            continue
        cell = row.split("|")[1]
        given = {item["name"] for item in operation.get("parameters", [])}
        for address in re.findall(r"`(/[^`?]*\?[^`]*)`", cell):
            if path.endswith(address.partition("?")[0]):
                assert set(re.findall(r"[?&](\w+)=", address)) <= given, (path, address)
        if method == "post" and "·" not in cell and re.match(r"[^→]*\{", row.split("|", 2)[2]):
            assert "requestBody" in operation, path
