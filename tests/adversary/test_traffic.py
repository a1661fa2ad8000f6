"""What a server can learn from sizes, from traffic, and from addresses."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from coffret.flows.http import b64
from coffret_vault.errors import NetworkError
from coffret_vault.formats.padding import padded_size
from harness.canary import traces
from harness.network import BASE, Gate, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coffret import Access, Vault
    from harness.world import World

ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
WORD = re.compile(r"v1|[a-z]{2,16}(?:-[a-z]{2,16}){0,2}")


def size_of(request: httpx.Request) -> int:
    """Every byte of a request: its line, its headers, its body."""
    line = len(f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n")
    headers = sum(len(name) + len(value) + 4 for name, value in request.headers.raw)
    return line + headers + 2 + len(request.content)


def forget(use: Any) -> None:
    """Forget the change that a vault's method left unanswered, which would be sent again first."""
    store = getattr(use.__self__._state, "store", None)
    if store is not None and store.meta("unsent"):
        store.release("unsent", store.meta("unsent"))


class Measuring(Gate):
    """Measures what would be written, and loses it, so that each writing begins alike."""

    def __init__(self) -> None:
        """Let everything through at first."""
        super().__init__()
        self.losing = False
        self.size = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, or measure and lose it."""
        if self.losing and request.method == "POST" and "memory-blobs" in request.url.path:
            self.size = size_of(request)
            message = "lost"
            raise httpx.ConnectError(message)
        return super().handle_request(request)

    @contextmanager
    def measuring(self) -> Iterator[Callable[..., int]]:
        """A function that gives the size of what some use would send."""

        def measured(use: Callable[..., object], *args: Any, **kwargs: Any) -> int:
            self.size = 0
            with pytest.raises(NetworkError):
                use(*args, **kwargs)
            forget(use)
            return self.size

        self.losing = True
        with patch("coffret.transport._TRIES", 1):
            yield measured
        self.losing = False


def buckets(sizes: dict[int, int]) -> list[list[int]]:
    """The lengths that are of one size on the wire, for each size."""
    return [[n for n in sizes if sizes[n] == size] for size in sorted(set(sizes.values()))]


@pytest.mark.attack(51)
def test_every_length_within_a_bucket_is_one_size_on_the_wire(world: World) -> None:
    """Whole requests of all contents up to 1,900 bytes have four sizes, those of the padding."""
    network = Measuring()
    vault = world.owner(transport=network).vault
    with network.measuring() as measured:
        step = [*range(1, 600), *range(600, 1_900, 13)]
        sizes = {length: measured(vault.remember, "x" * length) for length in step}
    steps = sorted(set(sizes.values()))
    assert [size - steps[0] for size in steps] == [0, 256, 768, 1_792]
    found = buckets(sizes)
    assert [lengths == sorted(lengths) for lengths in found] == [True] * 4
    assert all(lengths[-1] < later[0] for lengths, later in pairwise(found))
    assert len(found[0]) > 100


@pytest.mark.attack(51)
def test_larger_contents_are_padded_too(world: World) -> None:
    """Around each of some larger buckets the wire knows the bucket, and nothing within it."""
    network = Measuring()
    vault = world.owner(transport=network).vault
    with network.measuring() as measured:
        base = measured(vault.remember, "x" * 3_000)
        first = padded_size(3_000 + 8)
        for length in (2_950, 3_050, 5_000, 5_100, 20_000, 20_200, 60_000):
            grown = measured(vault.remember, "x" * length) - base
            buckets_of = {padded_size(length + extra) - first for extra in range(8, 64)}
            assert grown - grown % 64 in {size - size % 64 for size in buckets_of}


@pytest.mark.attack(51)
def test_what_is_sealed_does_not_tell_how_it_is_made_up(world: World) -> None:
    """In a sealed memory titles, tags, summaries and contents are one size together."""
    network = Measuring()
    vault = world.owner(transport=network).vault
    made: tuple[dict[str, Any], ...] = (
        {"content": "x"},
        {"content": "x", "title": "a title"},
        {"content": "x" * 30, "tags": ["one", "two"]},
        {"content": "x", "summary": "short", "importance": 0.5},
    )
    with network.measuring() as measured:
        sizes = {measured(vault.remember, sealed=True, **fields) for fields in made}
        shown = {measured(vault.remember, **fields) for fields in made}
    assert len(sizes) == 1
    assert len(shown) > 1  # a control: what is shown is shown, its size too


@pytest.mark.attack(51)
def test_what_an_app_writes_is_padded(world: World) -> None:
    """An app's writing tells no more of its length than the owner's."""
    network = Measuring()
    owner, app = world.owner(), world.app(transport=network)
    _, access = world.granted(owner, app)
    with network.measuring() as measured:
        sizes = {length: measured(access.remember, "x" * length) for length in range(1, 140, 6)}
    assert len(set(sizes.values())) == 1


@pytest.mark.control(51)
def test_without_padding_each_length_has_its_own_size(world: World) -> None:
    """Control: an envelope as long as its content tells the content's length."""
    network = Measuring()
    vault = world.owner(transport=network).vault
    with network.measuring() as measured, patch("coffret_vault.records.seal.pad", bytes):
        sizes = {length: measured(vault.remember, "x" * length) for length in range(40, 60)}
    assert len(set(sizes.values())) == 20


# -- guesses that an app plants -----------------------------------------------------------------


class Sizes(Recorder):
    """Keeps what a passive server sees: paths, and sizes in both directions."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.trace: list[tuple[str, str, int, int, int]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on, and note sizes."""
        response = super().handle_request(request)
        path = ID.sub("*", request.url.raw_path.decode())
        path = re.sub(r"by-username/[^/?]+", "by-username/*", path)
        seen = (request.method, path, len(request.content), response.status_code)
        self.trace.append((*seen, len(response.content)))
        return response


SECRETS = ("my pin is 4711", "my pin is 9982", "my dog is Rex.")
GUESS = SECRETS[0]


def observed(
    world: World, secret: str, remember: Callable[[Vault, str], object]
) -> list[tuple[str, str, int, int, int]]:
    """What is seen of an owner who has this secret, while an app plants its guess."""
    network = Sizes()
    owner, app = world.owner(transport=network), world.app()
    _, access = world.granted(owner, app, scopes=["create", "update"])
    owner.vault.remember("something else")
    for _ in range(2):
        access.remember(GUESS)
        owner.vault.sync()
    for item in owner.vault.pending():
        owner.vault.accept(item.memory_id)
    network.trace.clear()
    remember(owner.vault, secret)
    access.remember(GUESS)
    owner.vault.sync()
    for item in owner.vault.pending():
        owner.vault.accept(item.memory_id)
    owner.vault.search(GUESS)
    owner.vault.search(secret)
    owner.vault.remember_many([])
    return network.trace


@pytest.mark.attack(52)
def test_traffic_does_not_depend_on_what_other_memories_say(world: World) -> None:
    """Whether an app's guess is right or wrong changes no request, no answer and no size."""
    first, *others = (
        observed(world, secret, lambda vault, text: vault.remember(text)) for secret in SECRETS
    )
    assert len(first) > 3
    for other in others:
        assert other == first


@pytest.mark.control(52)
def test_a_client_that_stores_nothing_twice_tells_that_a_guess_was_right(world: World) -> None:
    """Control: with deduplication the owner's request is missing where the guess was right."""

    def once(vault: Vault, text: str) -> None:
        if text not in {memory.content for memory in vault.list()}:
            vault.remember(text)

    right, wrong = (observed(world, secret, once) for secret in SECRETS[:2])
    assert len(right) < len(wrong)


# -- searching and reading ----------------------------------------------------------------------

QUESTIONS = ("lighthouse", "what did I eat", "nothing like it", "x")


def reading(vault: Vault, fetch: Callable[[Vault, str], object]) -> None:
    """Search in every way and read what is found."""
    for question in QUESTIONS:
        for mode in ("fused", "semantic", "words"):
            for hit in vault.search(question, mode=mode):
                fetch(vault, hit.memory.id)


@pytest.mark.attack(53)
def test_searching_and_reading_make_no_request(world: World) -> None:
    """Whatever is searched for and read, nothing goes out."""
    network = Recorder()
    vault = world.owner(transport=network).vault
    for content in ("the lighthouse keeper", "we ate octopus", "a third"):
        vault.remember(content, tags=["t"])
    before = len(network.requests)
    reading(vault, lambda each, memory_id: each.get(memory_id))
    assert vault.search("lighthouse", tags=["t"])
    assert list(vault.list())
    assert vault.tags()
    assert len(network.requests) == before


@pytest.mark.attack(53)
def test_an_app_reads_alike_whatever_it_searches(world: World) -> None:
    """An app that searches fetches all that it was granted, or what is new, and names nothing."""
    network = Sizes()
    owner, app = world.owner(), world.app(transport=network)
    for content in ("the lighthouse keeper", "we ate octopus"):
        owner.vault.remember(content)
    _, access = world.granted(owner, app)
    access.search("warm up")
    assert len({_traced(network, access, question) for question in QUESTIONS}) == 1


def _traced(network: Sizes, access: Access, question: str) -> str:
    network.trace.clear()
    access.search(question)
    return repr([item[:2] for item in network.trace])


@pytest.mark.control(53)
def test_a_client_that_fetches_what_it_found_tells_what_that_is(world: World) -> None:
    """Control: were hits read from the server, it would see which memories a question means."""
    network = Recorder()
    vault = world.owner(transport=network).vault
    memory = vault.remember("the lighthouse keeper")
    network.requests.clear()
    reading(vault, lambda each, found: each.history(found))
    assert any(memory.id in path for path in network.paths)


# -- addresses ----------------------------------------------------------------------------------


class Whole:
    """Everything that goes out over a life, and every key that there is."""

    def __init__(self, world: World) -> None:
        """Sign up, write, share, read, write as an app, revoke, rotate, log in elsewhere."""
        self.network = Recorder()
        self.owner = world.owner(transport=self.network)
        app = world.app(transport=self.network)
        memory = self.owner.vault.remember("content of it", title="Title", tags=["tag"])
        grant_id, access = world.granted(self.owner, app, tags=["tag"])
        access.memories()
        access.update(memory.id, content="changed content")
        self.owner.vault.sync()
        self.owner.vault.accept(memory.id)
        self.owner.vault.history(memory.id)
        device = world.device(self.owner, transport=self.network)
        self.owner.vault.revoke(grant_id)
        self.owner.vault.rotate()
        self.owner.vault.server_view()
        keys = device._state.keys
        self.secrets = {
            "account key": keys.keyring.account_key().reveal(),
            "memory kek": keys.keyring.kek("memory").reveal(),
            "signing seed": keys.identity.signing.seed().reveal(),
            "login seed": keys.login.key.seed().reveal(),
            "grant key": access._held.key.reveal(),
            "secret key": self.owner.kit.secret_key.reveal(),
            "recovery code": self.owner.kit.recovery_code.reveal(),
            "content": b"content of it",
            "app's seeds": app._state.file.seeds,
            "api key": app._state.file.api_key.encode(),
        }

    def addresses(self) -> dict[str, bytes]:
        """Every address, and every header that could carry one."""
        found = {}
        for number, request in enumerate(self.network.requests):
            found[f"address {number}"] = str(request.url).encode()
            for name in ("referer", "origin", "location", "link", "cookie"):
                assert name not in request.headers
        return found


@pytest.mark.attack(54)
def test_no_key_is_in_an_address(world: World) -> None:
    """Addresses are of known words and ids; no key, in any form, and nothing else that is long."""
    whole = Whole(world)
    assert len(whole.network.requests) > 20
    assert traces(whole.secrets, whole.addresses()) == []
    for request in whole.network.requests:
        assert not request.url.fragment
        assert not request.url.userinfo
        for part in request.url.path.strip("/").split("/"):
            known = WORD.fullmatch(part) or ID.fullmatch(part) or part == whole.owner.username
            assert known, request.url.path
        for name, value in request.url.params.multi_items():
            assert WORD.fullmatch(name)
            assert len(value) <= 64, name


@pytest.mark.control(54)
def test_a_link_with_a_key_is_found(world: World) -> None:
    """Control: the same look finds a key that a client puts into a link that it shares."""
    whole = Whole(world)
    for name, secret in whole.secrets.items():
        for address in (
            f"{world.url}{BASE}/share/{os.urandom(4).hex()}?key={secret.hex()}",
            f"{world.url}/s#{b64(secret)}",
        ):
            assert traces({name: secret}, {"address": address.encode()})
