"""The index as a whole: what is found, why, and what bad input does."""

import socket

import numpy as np
import pytest

from coffret_vault.errors import InputError
from coffret_vault.search import Document, EmbedderError, Filters, MiniLmEmbedder, SearchIndex
from coffret_vault.search.embedder import Vectors
from search_reference import DAY, HashingEmbedder, key, memory


@pytest.fixture
def index() -> SearchIndex:
    """An empty index over the tests' embedder."""
    return SearchIndex(HashingEmbedder())


@pytest.fixture(scope="module")
def real() -> SearchIndex:
    """A few memories under the default model."""
    index = SearchIndex(MiniLmEmbedder())
    texts = [
        "I am allergic to peanuts and carry an epinephrine pen.",
        "We rented bicycles in Amsterdam and rode along the canals.",
        "My sister Ana is getting married in September.",
        "The boiler was serviced; the next check is due in two years.",
        "Sold the old Volkswagen, picked up the electric one.",
        "Peanut prices on the commodity market fell again.",
    ]
    index.put(memory(n, text) for n, text in enumerate(texts))
    return index


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What food must I avoid?", 0),
        ("holiday on wheels by the water", 1),
        ("When is the wedding?", 2),
        ("heating maintenance", 3),
        ("which car do I drive", 4),
        ("peanut commodity prices", 5),
    ],
)
def test_a_question_finds_its_memory(real: SearchIndex, question: str, expected: int) -> None:
    """With the default model, a question in other words finds the memory that answers it."""
    assert real.search(question)[0].id == key(expected)


def test_search_makes_no_network_request(
    real: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexing, searching and dumping open no socket."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    real.put([memory(40, "no network")])
    real.search("no network")
    SearchIndex.restore(real.dump(), real.embedder).search("network")
    real.remove([key(40)])


def test_a_hit_says_why(index: SearchIndex) -> None:
    """A hit names the question's words it has, in the form they were asked in."""
    index.put([memory(1, "We travelled to Lisbon by train"), memory(2, "Nothing in common")])
    first, second = index.search("Where is Lisbon, train travels?")
    assert first.words == ("lisbon", "train", "travels")
    assert first.why == ("semantic", "words")
    assert second.words == ()
    assert second.why == ("semantic",)
    assert first.lexical > 0
    assert second.lexical == 0


def test_modes_say_only_what_they_know() -> None:
    """Words alone has no cosine and embeds nothing; meaning alone has no words."""
    embedder = HashingEmbedder()
    index = SearchIndex(embedder)
    index.put([memory(1, "coffee"), memory(2, "tea")])
    embedder.texts.clear()
    (words,) = index.search("coffee", mode="words")
    assert embedder.texts == []
    assert (words.similarity, words.why, words.score) == (None, ("words",), 1.0)
    for hit in index.search("coffee", mode="semantic"):
        assert (hit.words, hit.why, hit.lexical) == ((), ("semantic",), 0)


@pytest.mark.parametrize("part", ["the beginning", "somewhere", "the very end"])
def test_a_long_memory_is_found_by_any_part(part: str) -> None:
    """Fifty kilobytes are found by a sentence in them, by meaning and by words."""
    index = SearchIndex(HashingEmbedder(dimension=512))
    filler = [f"paragraph {n} about gardens, soil and seasons" for n in range(1_100)]
    places = {"the beginning": 0, "somewhere": 550, "the very end": len(filler)}
    filler.insert(places[part], "xylophone recital quartet " * 9)
    index.put([memory(1, ". ".join(filler))])
    index.put(memory(n, f"a short note {n} about gardens, soil and seasons") for n in range(2, 40))
    assert index.search("xylophone recital quartet", mode="semantic")[0].id == key(1)
    assert index.search("xylophone", mode="words")[0].id == key(1)


def test_an_update_replaces(index: SearchIndex) -> None:
    """After an update the old text finds nothing, the new text and version do."""
    index.put([memory(1, "violin", tags=("old",))])
    index.put([memory(1, "trumpet", version=2)])
    assert len(index) == 1
    assert index.search("violin", mode="words") == []
    assert index.search("trumpet", filters=Filters(any_tags=frozenset({"old"}))) == []
    (hit,) = index.search("trumpet", mode="words")
    assert hit.version == 2


def test_the_later_of_two_in_one_go_stays(index: SearchIndex) -> None:
    """Given twice at once, a memory is there once, as given last."""
    index.put([memory(1, "first"), memory(1, "second", version=2)])
    assert index.stale({key(1): 2}) == ([], [])
    assert index.search("first", mode="words") == []


def test_removing_is_final_and_repeatable(index: SearchIndex) -> None:
    """A removed memory is found by nothing; removing what is not there does nothing."""
    index.put([memory(1, "violin"), memory(2, "trumpet")])
    for _ in range(2):
        index.remove([key(1), key(77)])
        assert key(1) not in index
        assert [hit.id for hit in index.search("violin")] == [key(2)]
    index.remove([key(2)])
    assert index.search("trumpet") == []


def test_many_updates_do_not_pile_up(index: SearchIndex) -> None:
    """Emptied rows are dropped in time: the index does not grow with its history."""
    for version in range(1, 1_000):
        index.put([memory(1, f"text {version}", version=version)])
    assert len(index.dump()) < 20_000


def test_a_new_label_value_is_no_tag(index: SearchIndex) -> None:
    """Equal strings in different fields do not answer for each other."""
    index.put([memory(1, "x", tags=("app",), labels={"tag": "goal"}, type="fact")])
    for filters in (
        Filters(any_tags=frozenset({"goal", "fact"})),
        Filters(labels={"app": "goal"}),
        Filters(types=frozenset({"app"})),
    ):
        assert index.search("x", filters=filters) == []


def test_adjoining_periods_share_no_memory(index: SearchIndex) -> None:
    """A moment belongs to the period that it starts, not to the one that it ends."""
    index.put(memory(n, "day") for n in range(6))
    early = index.search("day", filters=Filters(created_before=3 * DAY))
    late = index.search("day", filters=Filters(created_after=3 * DAY))
    assert {hit.id for hit in early} == {key(n) for n in (0, 1, 2)}
    assert {hit.id for hit in late} == {key(n) for n in (3, 4, 5)}


@pytest.mark.parametrize("moment", [-(1 << 70), 0, 1 << 63, 1 << 70])
def test_what_says_no_end_is_valid_at_every_moment(index: SearchIndex, moment: int) -> None:
    """Also beyond what 64 bits hold; what says one is up to it, and not at it."""
    index.put([memory(1, "x"), memory(2, "x", valid_from=0), memory(3, "x", valid_until=0)])
    found = {hit.id for hit in index.search("x", filters=Filters(valid_on=moment))}
    assert found == {key(1), key(3) if moment < 0 else key(2)}


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, 0])
def test_times_and_versions_of_any_size_are_taken(index: SearchIndex, number: int) -> None:
    """An app may have signed any 64-bit number: the memory is indexed all the same."""
    index.put([memory(1, "x", created=number, updated=number, version=number)])
    assert index.search("x")[0].version == number
    assert index.stale({key(1): number}) == ([], [])
    again = SearchIndex.restore(index.dump(), HashingEmbedder())
    assert again.search("x") == index.search("x")


@pytest.mark.parametrize("question", ["", "  \n"])
def test_a_blank_question_is_refused(index: SearchIndex, question: str) -> None:
    """There is nothing to rank by in a blank question."""
    with pytest.raises(InputError):
        index.search(question)


def test_bad_arguments_are_refused(index: SearchIndex) -> None:
    """A limit below one, and an id of another length, are errors that leave the index whole."""
    index.put([memory(1, "x")])
    with pytest.raises(InputError):
        index.search("x", limit=0)
    with pytest.raises(InputError):
        index.put([memory(2, "y"), Document(id=b"short", version=1, created=0, updated=0)])
    assert len(index) == 1
    assert len(index.search("x")) == 1


@pytest.mark.parametrize("question", ["?!", "who are you", "\u202e\x00", "🙂", "'", "x" * 10_000])
def test_odd_questions_are_answered(index: SearchIndex, question: str) -> None:
    """Marks, stop words, control characters and long words are questions like any other."""
    index.put([memory(1, "x")])
    assert [hit.id for hit in index.search(question)] == [key(1)]


class Failing(HashingEmbedder):
    """Fails, or answers nonsense, when told to."""

    answer: Vectors | None = None
    fails = False

    def embed_documents(self, texts: object) -> Vectors:
        """Fail, answer what was set, or behave."""
        if self.fails:
            message = "out of memory"
            raise EmbedderError(message)
        return self.answer if self.answer is not None else super().embed_documents(texts)  # type: ignore[arg-type]


def test_a_failing_model_leaves_the_index_whole() -> None:
    """When the model fails or answers nonsense, what was indexed stays as it was."""
    embedder = Failing()
    index = SearchIndex(embedder)
    index.put([memory(1, "kept")])
    before = index.dump()
    embedder.fails = True
    with pytest.raises(EmbedderError):
        index.put([memory(1, "lost"), memory(2, "lost")])
    embedder.fails = False
    for nonsense in (np.zeros((1, 7)), np.zeros((3, 32)), np.full((1, 32), np.nan)):
        embedder.answer = nonsense.astype(np.float32)
        with pytest.raises(EmbedderError):
            index.put([memory(1, "lost")])
    assert index.dump() == before


def test_progress_counts_memories(index: SearchIndex) -> None:
    """Progress is told after each group, ending at the number of memories."""
    told: list[int] = []
    index.put((memory(n, "x") for n in range(150)), progress=told.append)
    assert told == [64, 128, 150]


def test_progress_is_told_however_long_the_memories_are(index: SearchIndex) -> None:
    """Much text in few memories is embedded in steps that somebody can see go on."""
    told: list[int] = []
    index.put((memory(n, "word " * 10_000) for n in range(6)), progress=told.append)
    assert told == sorted(told)
    assert list(dict.fromkeys(told)) == [0, 2, 4, 6]


def test_one_long_memory_is_embedded_in_parts_that_change_nothing(index: SearchIndex) -> None:
    """Progress is told within a memory of many passages, which is indexed as if at one go."""
    long = memory(2, " ".join(f"word{n}" for n in range(40_000)))
    told: list[int] = []
    kept: list[bytes] = []
    index.put([memory(1, "short")])
    before = index.dump()

    def progress(count: int) -> None:
        told.append(count)
        kept.append(index.dump())

    index.put([long], progress=progress)
    assert len(told) > 2
    assert (set(told[:-1]), told[-1]) == ({0}, 1)
    assert set(kept[:-1]) == {before}
    assert index.search("word39999", limit=1)[0].id == long.id


def test_what_is_there_can_be_kept_at_each_step(index: SearchIndex) -> None:
    """A snapshot made between two groups is an index of the memories so far."""
    kept: list[bytes] = []
    index.put((memory(n, "x") for n in range(150)), progress=lambda _: kept.append(index.dump()))
    assert [len(SearchIndex.restore(one, index.embedder)) for one in kept] == [64, 128, 150]


@pytest.mark.parametrize("share", [2, 3, 50])
def test_graph_and_exact_search_agree(share: int) -> None:
    """Through a graph, with filters that keep much or little, the same memories are found."""
    pytest.importorskip("hnswlib")
    plain = SearchIndex(HashingEmbedder())
    graph = SearchIndex(HashingEmbedder(), graph_from=100)
    words = "lisbon tram tile coffee train walk river market rain violin".split()  # noqa: SIM905 - readable
    many = [
        memory(n, f"{words[n % 10]} {words[n % 7]} {n}", tags=("few",) if n % share == 0 else ())
        for n in range(1_500)
    ]
    for index in (plain, graph):
        index.put(many)
        index.remove([key(n) for n in range(0, 1_500, 9)])
    for question in ("tram 700", "coffee by the river", "violin 77"):
        for filters in (None, Filters(any_tags=frozenset({"few"}))):
            exact = {hit.id for hit in plain.search(question, filters=filters)}
            found = {hit.id for hit in graph.search(question, filters=filters)}
            assert len(exact & found) >= 9
    assert graph.notice is None
