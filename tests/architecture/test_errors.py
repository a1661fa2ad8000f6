"""Errors: one code each, a sentence for people, one table that lists them."""

import pickle

import pytest

from architecture.errors_table import PAGE, every_error, page
from coffret import errors
from coffret_server.problems import CODES
from coffret_vault.errors import CoffretError, OpenError, RateLimitedError

ERRORS = [kind for _, kind in every_error()]


def test_every_code_is_used_once() -> None:
    """Programs can tell every two errors apart by their codes."""
    codes = [kind.code for kind in ERRORS]
    assert len(codes) == len(set(codes))
    assert len(codes) > 30


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_what_its_readers_need(kind: type[CoffretError]) -> None:
    """A code of its own in kebab case, an exit code the shell can show, and a whole sentence."""
    assert kind is CoffretError or "code" in vars(kind)
    assert kind.code == kind.code.strip().lower().replace("_", "-").replace(" ", "-")
    assert 0 < kind.exit_code < 126
    assert kind.http_status is None or 400 <= kind.http_status < 600
    assert kind.sentence()[0].isupper()
    assert kind.sentence().endswith(".")
    assert kind.__name__.endswith("Error")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_says_its_sentence_unless_told_more(kind: type[CoffretError]) -> None:
    """Without detail the message is the sentence; detail and hint are kept as they are given."""
    assert str(kind()) == kind.sentence()
    error = kind("what happened", hint="what to do")
    assert (str(error), error.hint) == ("what happened", "what to do")


def test_every_error_can_be_had_where_programs_look() -> None:
    """``coffret.errors`` has every class of the table, and no name besides."""
    assert {name: getattr(errors, name) for name in errors.__all__} == {
        kind.__name__: kind for kind in ERRORS
    }
    with pytest.raises(AttributeError, match="NothingError"):
        errors.NothingError  # noqa: B018 - the access is the test


def test_an_error_survives_a_process_boundary() -> None:
    """Errors can be pickled, as pools of processes and test runners do."""
    assert str(pickle.loads(pickle.dumps(OpenError()))) == str(OpenError())  # noqa: S301 - our own


def test_a_rate_limit_says_when_to_come_back() -> None:
    """The seconds to wait come with the error."""
    assert RateLimitedError(retry_after=2.5).retry_after == 2.5


def test_a_status_is_that_of_the_server() -> None:
    """A class whose code a server answers with says the status of that, and no other class one."""
    assert {kind.code: kind.http_status for kind in ERRORS if kind.http_status} == {
        code: status
        for code, (status, _) in CODES.items()
        if code in {kind.code for kind in ERRORS}
    }


def test_the_table_is_that_of_the_classes() -> None:
    """docs/errors.md lists every error with its code, statuses and sentence, and no other.

    And what becomes of a server's code that is no class's, or that becomes another class.

    ``python tests/architecture/errors_table.py`` writes it anew.
    """
    assert PAGE.read_text(encoding="utf-8") == page()
