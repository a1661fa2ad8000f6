"""Thieves: with the server's whole database, and with the folder of a locked device."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from coffret import Vault
from coffret.testing import Server
from coffret_vault.errors import (
    CodeTypoError,
    CredentialsError,
    IndexDamagedError,
    LockedError,
    TrustError,
)
from coffret_vault.formats.account import KEYSLOT, PASSPHRASE, Keyslot
from coffret_vault.keyslots.kdf import CHEAPEST_FOR_TESTS
from coffret_vault.keyslots.slots import (
    Place,
    SlotPlan,
    derive_passphrase_keys,
    make_keyslot,
    open_keyslot,
)
from coffret_vault.primitives.secret import SecretBytes
from coffret_vault.primitives.symmetric import generate_key
from coffret_vault.search import SearchIndex
from harness import world as people
from harness.canary import files, traces, vector_forms
from harness.world import World
from search_reference import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DICTIONARY = (
    "123456", "password", "hunter2", "letmein", "Tr0ub4dor&3", "correct horse battery",
    people.PASSPHRASE, "correct horse battery staple!", "Correct Horse Battery Staple", "",
)  # fmt: skip
NO_SECRET_KEY = (SecretBytes(bytes(20)), SecretBytes(b"\xff" * 20), SecretBytes(b"x" * 20))


def opens(slot: Keyslot, origin: str, passphrase: str, secret_key: SecretBytes) -> bool:
    """Whether a guess is right, by everything that a keyslot can be tried with."""
    assert slot.kdf is not None
    place = Place(origin, slot.account_id)
    keys = derive_passphrase_keys(
        passphrase, secret_key, place, slot.kdf, limits=CHEAPEST_FOR_TESTS
    )
    try:
        open_keyslot(keys, place, slot)
    except (CredentialsError, TrustError):
        return keys.login.public == slot.login_public
    return True


class Dump:
    """The database of a server with one owner, and what the thief does not have."""

    def __init__(self, folder: Path) -> None:
        """Make the owner, and take a copy."""
        path = folder / "server.db"
        with Server(f"sqlite:///{path}") as server, World(server.url, folder) as world:
            owner = world.owner()
            owner.vault.remember("secret")
            self.origin, code = server.url, owner.kit.secret_key
            self.secret_key = code
            with closing(sqlite3.connect(path)) as database:
                rows = database.execute("SELECT keyslot FROM keyslots").fetchall()
        slots = [KEYSLOT.parse(row[0]) for row in rows]
        (self.slot,) = [slot for slot in slots if slot.kind == PASSPHRASE]

    def verdicts(self, slot: Keyslot, *secret_keys: SecretBytes) -> dict[str, bool]:
        """What trying each word of the dictionary tells."""
        return {
            word: any(opens(slot, self.origin, word, key) for key in secret_keys)
            for word in DICTIONARY
        }


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A stolen database."""
    return Dump(tmp_path_factory.mktemp("stolen"))


@pytest.mark.attack(47)
def test_a_stolen_database_tells_no_guess_from_another(dump: Dump) -> None:
    """Without the Secret Key the true passphrase fails as every other word does."""
    guessed = (
        *NO_SECRET_KEY,
        generate_key(os.urandom),
        SecretBytes(dump.slot.account_id + b"0000"),
    )
    assert set(dump.verdicts(dump.slot, *guessed).values()) == {False}


@pytest.mark.control(47)
def test_a_passphrase_alone_would_be_found(dump: Dump) -> None:
    """Control: in a keyslot without Secret Key, and with the stolen one, one word is right."""
    assert dump.slot.kdf is not None
    place = Place(dump.origin, dump.slot.account_id)
    known = NO_SECRET_KEY[0]
    keys = derive_passphrase_keys(
        people.PASSPHRASE, known, place, dump.slot.kdf, limits=CHEAPEST_FOR_TESTS
    )
    plan = SlotPlan(os.urandom(16), 1, 1)
    weak = make_keyslot(keys, place, plan, generate_key(os.urandom), random=os.urandom)
    only = {word: word == people.PASSPHRASE for word in DICTIONARY}
    assert dump.verdicts(weak, *NO_SECRET_KEY) == only
    assert dump.verdicts(dump.slot, dump.secret_key) == only


# -- a locked device ----------------------------------------------------------------------------

WORDS = {
    name: f"{name}{os.urandom(8).hex()}7".encode()  # no ending that is cut off
    for name in ("content", "summary", "label", "source", "sealedtitle", "sealedtag", "question")
}


class Stolen:
    """The folder of a device that was locked, and what was on it."""

    def __init__(self, world: World) -> None:
        """Write, search, lock, copy."""
        word = {name: value.decode() for name, value in WORDS.items()}
        self.model = HashingEmbedder(dimension=64)
        owner = world.owner(embedder=lambda: self.model)
        vault = owner.vault
        vault.remember(
            word["content"], title="shown title", summary=word["summary"], source=word["source"],
            labels={"a": word["label"]},
        )  # fmt: skip
        vault.remember("other", title=word["sealedtitle"], tags=[word["sealedtag"]], sealed=True)
        vault.search(word["question"])
        vault.lock()
        vault.close()
        self.world, self.owner = world, owner
        self.folder = world.folder / "stolen"
        shutil.copytree(vault.folder, self.folder)

    def vectors(self) -> dict[str, bytes]:
        """Whatever was embedded, memories and questions, in every precision."""
        assert any(WORDS["content"].decode() in text for text in self.model.texts)
        return {
            f"vector {number} of {text!r}": form
            for text in self.model.texts
            for number, form in enumerate(vector_forms(self.model._vector(text)))
        }


@pytest.fixture
def stolen(world: World) -> Stolen:
    """A folder that a thief has."""
    return Stolen(world)


@pytest.mark.attack(48)
@pytest.mark.attack(50)
def test_the_files_of_a_locked_device_say_nothing(stolen: Stolen) -> None:
    """No word of a memory or a question is in them, and no vector; only what is shown anyway."""
    places = files(stolen.folder)
    assert {"store.db", "index.sealed"} <= set(places)
    assert traces(WORDS, places) == []
    assert traces(stolen.vectors(), places) == []
    assert traces({"title": b"shown title"}, places) == ["title in store.db"]
    assert [path for path in stolen.folder.rglob("*") if path.stat().st_mode & 0o077] == []


@pytest.mark.attack(48)
def test_a_stolen_folder_opens_for_nobody(stolen: Stolen) -> None:
    """The vault is there, locked; the index is no index; guesses and other keys unlock nothing."""
    vault = stolen.world.closing(Vault.open(stolen.folder, **stolen.world.around()))
    assert vault.status().locked
    for read in (
        lambda: list(vault.list()),
        lambda: vault.search("a"),
        lambda: list(vault.export()),
    ):
        with pytest.raises(LockedError):
            list(read())
    for passphrase, secret_key, error in (
        ("wrong", stolen.owner.secret_key, CredentialsError),
        (people.PASSPHRASE, stolen.world.owner().secret_key, CredentialsError),
        (people.PASSPHRASE, "CF1-AAAA", CodeTypoError),
    ):
        with pytest.raises(error):
            vault.unlock(passphrase, secret_key)
    with pytest.raises(IndexDamagedError):
        SearchIndex.restore((stolen.folder / "index.sealed").read_bytes(), stolen.model)


@pytest.fixture
def unsealed() -> Iterator[None]:
    """A device that keeps its index as it is."""
    with patch("coffret_vault.store.snapshot.seal_stream", lambda _key, _context, plain: plain):
        yield


@pytest.mark.control(48)
@pytest.mark.control(50)
@pytest.mark.usefixtures("unsealed")
def test_an_index_that_is_not_sealed_tells_words_and_vectors(world: World) -> None:
    """Control: the same search finds both in the index of a device that does not seal it."""
    case = Stolen(world)
    places = files(case.folder)
    assert "content in index.sealed" in traces(WORDS, places)
    assert any(WORDS["content"].decode() in trace for trace in traces(case.vectors(), places))
