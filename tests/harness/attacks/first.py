"""Rows 1 to 16: keys and parameters that the server names, and records that it alters."""

from __future__ import annotations

from harness.attacks.row import Row, Verdict

ROWS = (
    Row(
        1,
        "Name a recovery, escrow or organisation key, and wait for a key wrapped to it",
        "server",
        Verdict.HARMLESS,
        "Unknown fields are not read; nothing is ever wrapped to a key that an answer names.",
    ),
    Row(
        2,
        "Slip in a recipient while keys are being rotated",
        "server",
        Verdict.REFUSED,
        "Rotation wraps for the owner and for grants in the signed log. Anything else is a "
        "TrustError.",
    ),
    Row(
        3,
        "Start a migration, name a key service, redirect to another host",
        "server",
        Verdict.HARMLESS,
        "The address is fixed at set-up; redirects are errors; no other host is ever contacted.",
    ),
    Row(
        4,
        "Answer a login so that the client signs up instead",
        "server",
        Verdict.REFUSED,
        "Whatever the error, the login fails and nothing is kept.",
    ),
    Row(
        5,
        "Alter the title, importance, tags, times or any other column of a record",
        "server",
        Verdict.REFUSED,
        "The sync stops with a TrustError or FormatError; nothing of it is kept.",
    ),
    Row(
        6,
        "Exchange parts of records between memories, versions and owners",
        "server",
        Verdict.REFUSED,
        "The sync stops with a TrustError or FormatError; nothing of it is kept.",
    ),
    Row(
        7,
        "Move a ciphertext to where the client would send out what it decrypts to",
        "server",
        Verdict.HARMLESS,
        "No request is made from what was decrypted; nothing opened is in any outgoing byte.",
    ),
    Row(
        8,
        "Ask for a cheap passphrase derivation",
        "server",
        Verdict.REFUSED,
        "Below the floor nothing is derived and no proof is sent.",
    ),
    Row(
        9,
        "Ask for a ruinous passphrase derivation",
        "server",
        Verdict.REFUSED,
        "Above the ceiling nothing is derived, so no memory is taken.",
    ),
    Row(
        10,
        "Give everybody the same salt, or one of the server's choosing",
        "server",
        Verdict.HARMLESS,
        "Account, origin and Secret Key are in every key, so that equal salts give other keys.",
    ),
    Row(
        11,
        "Flip bits of a ciphertext",
        "server, network",
        Verdict.REFUSED,
        "Nothing opens; the error says nothing about where.",
    ),
    Row(
        12,
        "Name another suite or an older security version",
        "server",
        Verdict.REFUSED,
        "There is one suite; another is an error and never a fallback.",
    ),
    Row(
        13,
        "Switch a protection off with a flag or a setting",
        "server",
        Verdict.HARMLESS,
        "No setting of the server's is read; requests are the same with flags as without.",
    ),
    Row(
        14,
        "Learn from how a client reacts to damaged ciphertexts",
        "server, network",
        Verdict.HARMLESS,
        "Requests are the same whatever is wrong with a record. A device stops at one that is not "
        "what the owner wrote; an app's that does not open waits for the owner like any other.",
    ),
    Row(
        15,
        "Replace wrapped private keys and learn from how they are used",
        "server",
        Verdict.REFUSED,
        "The seeds are in a committing envelope, and their public keys are compared with the "
        "account's card before anything is signed or opened with them.",
    ),
    Row(
        16,
        "Leave out, repeat or reorder records and log entries",
        "server",
        Verdict.REFUSED,
        "The sync stops with a TrustError; nothing of it is kept.",
    ),
)
