"""Run one case of who an app is through ``coffret_vault``."""

from __future__ import annotations

from typing import Any

from coffret_vault.errors import FormatError, WordsError
from coffret_vault.grants.domain import homepage_host, is_on_the_internet, read_app_document
from coffret_vault.grants.words import check_words

Values = dict[str, Any]


def homepage(given: Values) -> Values:
    """The host of an app's homepage."""
    host = homepage_host(given["homepage"])
    if host is None:
        raise FormatError
    return {"host": host, "asked": is_on_the_internet(host)}


def website_apps(given: Values) -> Values:
    """What the file of a website says of an app."""
    named = [signed.message for signed, _ in read_app_document(given["file"].encode())]
    return {"says": "confirmed" if bytes.fromhex(given["manifest"]) in named else "differs"}


def compare_words(given: Values) -> Values:
    """Whether words are an app's."""
    try:
        check_words(given["typed"], bytes.fromhex(given["hash"]))
    except WordsError:
        return {"same": False}
    return {"same": True}


OPERATIONS = {
    "homepage": homepage,
    "website-apps": website_apps,
    "compare-words": compare_words,
}
