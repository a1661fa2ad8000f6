"""After a whole life of a vault, nothing secret is anywhere that it should not be."""

from __future__ import annotations

import base64
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from coffret import App, Fields, NewMemory, Vault, register_developer
from coffret.flows.keys import open_record
from coffret.testing import Server, cheap
from coffret_vault.errors import CoffretError
from coffret_vault.ingest import Draft
from harness.canary import Listening, files, forms, told, traces, vector_forms
from harness.network import Losing, Recorder
from harness.world import MONTH
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from pathlib import Path

WORDS = {
    name: f"{name}-{os.urandom(9).hex()}"
    for name in (
        "passphrase", "new-passphrase", "wrong-passphrase", "content", "summary", "source", "label",
        "metadata", "sealed-title", "sealed-tag", "query", "app-content", "import", "type", "valid",
    )
}  # fmt: skip
SHOWN = {name: f"{name}-{os.urandom(9).hex()}" for name in ("title", "tag", "purpose", "app")}


class Life:
    """One owner, two devices and an app, from sign-up to revocation, with mistakes in between."""

    def __init__(self, folder: Path) -> None:
        """Everything goes under ``folder``."""
        self.folder = folder
        self.network = Recorder()
        self.model = HashingEmbedder(dimension=64)
        self.errors: list[BaseException] = []
        self.secrets: dict[str, bytes] = {name: word.encode() for name, word in WORDS.items()}
        self.database = folder / "server" / "server.db"
        self.database.parent.mkdir()

    def around(self) -> dict[str, Any]:
        """What every vault and app is made with."""
        return {"ambient": cheap(), "transport": self.network, "embedder": lambda: self.model}

    def fails(self, use: Any, *args: Any, **kwargs: Any) -> None:
        """Something that has to fail; what it says is kept."""
        with pytest.raises(CoffretError) as raised:
            use(*args, **kwargs)
        self.errors.append(raised.value)

    def keep_keys(self, vault: Vault) -> None:
        """Note every key that the owner's device has now."""
        keyring = vault._state.keys.keyring
        self.secrets["account key"] = keyring.account_key().reveal()
        for purpose in ("memory", "grant", "identity", "local", "given", "messages", "states"):
            self.secrets[f"kek {purpose}"] = keyring.kek(purpose).reveal()
        self.secrets["identity seed"] = vault._state.keys.identity.signing.seed().reveal()
        self.secrets["login seed"] = vault._state.keys.login.key.seed().reveal()
        for row in vault._state.store.current_records():
            key = open_record(vault._state, row.record).key
            self.secrets[f"memory key {row.memory_id.hex()}"] = key.reveal()

    def live(self, url: str) -> None:
        """All of it."""
        network, folder = self.network, self.folder
        vault, kit = Vault.create(url, "ana", WORDS["passphrase"], folder / "one", **self.around())
        self.secrets["secret key"] = kit.secret_key.reveal()
        self.secrets["secret key code"] = kit.secret_key_code()[4:].encode()
        self.secrets["recovery code"] = kit.recovery_code.reveal()
        self.secrets["recovery code text"] = kit.recovery_code_text()[4:].encode()
        memory = vault.remember(
            WORDS["content"], title=SHOWN["title"], summary=WORDS["summary"], tags=[SHOWN["tag"]],
            source=WORDS["source"], labels={"user": WORDS["label"]}, type=WORDS["type"],
            metadata={"a": [WORDS["metadata"]]}, provenance={"by": WORDS["valid"]},
        )  # fmt: skip
        vault.remember(
            "sealed", title=WORDS["sealed-title"], tags=[WORDS["sealed-tag"]], sealed=True
        )
        vault.remember_many(
            [NewMemory(Fields(content=f"{WORDS['content']} {n}")) for n in range(5)]
        )
        vault.import_drafts(
            [Draft(key=WORDS["import"], source=WORDS["source"], content="imported")]
        )
        vault.search(WORDS["query"])
        self.share(url, vault, memory.id)
        self.stumble(url, vault, kit.secret_key_code())
        self.keep_keys(vault)
        vault.search(WORDS["query"])
        second = Vault.login(
            url, "ana", WORDS["passphrase"], kit.secret_key_code(), folder / "two", **self.around()
        )
        second.search(WORDS["query"])
        third, code = Vault.recover(
            url, "ana", kit.recovery_code_text(), WORDS["new-passphrase"], folder / "three",
            **self.around(),
        )  # fmt: skip
        self.secrets["new secret key"] = code[4:].encode()
        self.keep_keys(third)
        for each in (vault, second, third):
            each._state.store.close()
        assert network.requests

    def share(self, url: str, vault: Vault, memory_id: str) -> None:
        """An app asks, reads, writes, and is shut out."""
        key = register_developer(url, "Dev", "dev@example.org")
        app = App.register(
            url, key, SHOWN["app"], "https://a.example", self.folder / "app.json", **self.around()
        )
        request_id = app.request_access(
            "ana", scopes=["read", "create", "update"], purpose=SHOWN["purpose"], duration=MONTH,
            tags=[SHOWN["tag"]],
        )  # fmt: skip
        vault.requests()
        vault.requests(None)
        grant_id = vault.approve(request_id, words=app.words)
        access = app.access(request_id)
        self.secrets["grant key"] = access._held.key.reveal()
        access.search(WORDS["query"])
        written = access.remember(WORDS["app-content"], summary=WORDS["summary"])
        access.update(memory_id, content=WORDS["app-content"])
        self.fails(access.forget, memory_id)
        vault.sync()
        vault.accept(written.id)
        vault.reject(memory_id)
        vault.revoke(grant_id)
        vault.rotate()
        self.fails(access.memories)

    def stumble(self, url: str, vault: Vault, secret_key: str) -> None:
        """Everything that goes wrong in a life."""
        wrong = WORDS["wrong-passphrase"]
        place = self.folder / "never"
        self.fails(Vault.login, url, "ana", wrong, secret_key, place, **self.around())
        self.fails(Vault.create, url, "ana", wrong, place, **self.around())
        self.fails(vault.unlock, wrong, secret_key)
        self.fails(vault.unlock, WORDS["passphrase"], secret_key[:-1])
        self.fails(vault.remember, WORDS["content"] * (1 << 16))
        self.fails(vault.remember, WORDS["content"], tags=[WORDS["sealed-tag"] * 3], sealed=True)
        self.fails(vault.remember, WORDS["content"], metadata={"a": {1: WORDS["metadata"]}})
        self.fails(vault.remember, WORDS["content"], labels={WORDS["label"]: 5})
        self.fails(vault.remember, WORDS["content"], summary=WORDS["summary"].encode())
        self.fails(vault.get, WORDS["query"])
        self.fails(vault.search, WORDS["query"], limit=0)
        gone = Losing()
        gone.left = 0
        inner, self.network.inner = self.network.inner, gone
        self.fails(vault.remember, WORDS["content"])
        self.network.inner = inner
        store = vault._state.store._database
        store.execute("BEGIN")
        store.execute("UPDATE records SET envelope = substr(envelope, 1, 90) || X'00'")
        self.fails(vault.get, next(iter(vault.memory_ids())))
        store.execute("ROLLBACK")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, dict[str, bytes]]:
    """A life, and every place where something of it might have been left."""
    folder = tmp_path_factory.mktemp("life")
    life, listening = Life(folder), Listening()
    root = logging.getLogger()
    level = root.level
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    try:
        with Server(f"sqlite:///{life.database}") as server, pytest.MonkeyPatch.context() as patch:
            patch.setattr("coffret.transport._TRIES", 1)
            life.live(server.url)
            places = {f"server/{name}": data for name, data in files(life.database.parent).items()}
    finally:
        root.removeHandler(listening)
        root.setLevel(level)
        life.network.close()
    for device in ("one", "two", "three"):
        found = files(folder / device)
        places |= {f"{device}/{name}": data for name, data in found.items()}
    places |= {path.name: path.read_bytes() for path in folder.glob("app.json*")}
    places["requests"] = life.network.sent()
    places["log"] = listening.text()
    places |= {f"error {n} {error!r}": told(error) for n, error in enumerate(life.errors)}
    return life, places


@pytest.mark.attack(54, 64)
@pytest.mark.attack(7)
def test_no_secret_is_anywhere(scan: tuple[Life, dict[str, bytes]]) -> None:
    """Secrets, keys, contents and questions are in no request, database, file, log or error."""
    life, places = scan
    assert len(life.secrets) > 30
    assert traces(life.secrets, places) == []


@pytest.mark.attack(50)
def test_no_embedding_is_anywhere(scan: tuple[Life, dict[str, bytes]]) -> None:
    """No vector of a memory or a question is in any of them, at any precision."""
    life, places = scan
    texts = list(dict.fromkeys(life.model.texts))
    assert len(texts) >= 10
    vectors = {
        f"{text} {n}": form
        for text in texts
        for n, form in enumerate(vector_forms(life.model._vector(text)))
    }
    assert traces(vectors, places) == []


@pytest.mark.control(48, 64)
def test_what_the_server_is_told_openly_is_found(scan: tuple[Life, dict[str, bytes]]) -> None:
    """Control: the same scan finds titles and tags with the server, and log lines in the log."""
    _, places = scan
    found = traces({name: word.encode() for name, word in SHOWN.items()}, places)
    assert {"title in requests", "tag in requests", "purpose in requests"} <= set(found)
    assert any(trace.startswith("title in server/") for trace in found)
    assert any(trace.startswith("title in one/store.db") for trace in found)
    assert b"HTTP" in places["log"]
    assert b"coffret_server.access" in places["log"]
    kept = {"server/server.db", "server/server.db-wal", "one/store.db", "one/index.sealed"}
    kept |= {"app.json", "app.json.owners"}
    assert kept <= set(places)


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 5])
def test_the_scan_finds_every_form(offset: int) -> None:
    """Control: a secret is found raw, in hex and in base64, wherever in a text it begins."""
    secret = os.urandom(20)
    noise = os.urandom(offset)
    for data in (
        noise + secret + noise,
        (noise + secret + noise).hex().encode(),
        base64.b64encode(noise + secret + noise),
        base64.urlsafe_b64encode(noise + secret + noise),
    ):
        assert traces({"secret": secret}, {"place": data}) == ["secret in place"]
        assert traces({"other": os.urandom(20)}, {"place": data}) == []
    assert secret in set(forms(secret))
