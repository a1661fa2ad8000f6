"""The fuzz targets over their seeds and over what fuzzing once found, in the ordinary test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.shaping import mutate_fields
from fuzz.table import ROOMS, TARGETS
from vectors.making.samples import LAYOUTS, SAMPLES

CORPUS = Path(__file__).parent / "corpus"
_MOST = 200_000


def _kept(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


@pytest.mark.attack(61)
@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_and_every_finding_is_read_or_refused(name: str) -> None:
    """Of each format, all inputs give a value or the documented error, and readers agree."""
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert seeds
    for data in (*seeds, *_kept(name)):
        assert len(data) <= target.most
        target.check(data)


def test_the_corpus_is_of_these_targets_and_small() -> None:
    """No folder of the corpus is of a target that is gone, and all of it stays small."""
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < _MOST
    assert sum(len(room.TARGETS) for room in ROOMS) == len(TARGETS)


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_changes_of_fields_reach_behind_the_lengths(kind: str) -> None:
    """Of a hundred changes to an object, many still have every length in order, or parse."""
    data = LAYOUTS[kind].serialize(SAMPLES[kind])
    changed = {
        mutate_fields(data, lambda part, _: part[:-1] + b"\1", 4096, seed) for seed in range(100)
    }
    assert len(changed - {data}) >= 5
    for item in changed:
        TARGETS[kind].check(item)


@pytest.mark.control(61)
def test_a_reader_that_lets_another_error_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the same replay fails where a reader of a layout raises what is not documented."""
    layout = LAYOUTS["grant"]

    def careless(data: bytes) -> object:
        return layout.parse(data).scopes if data else data[0]

    monkeypatch.setitem(LAYOUTS, "grant", type("Weak", (), {"parse": staticmethod(careless)}))
    with pytest.raises((AttributeError, IndexError)):
        TARGETS["grant"].check(b"")
