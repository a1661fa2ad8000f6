"""Rows 33 to 48: grants, apps, logins, and what a thief can do."""

from __future__ import annotations

from harness.attacks.row import Row, Verdict

ROWS = (
    Row(
        33,
        "Use a grant for another request, owner, memory or app",
        "server, app",
        Verdict.REFUSED,
        "All of it is under the owner's signature and in the seal of the grant's key.",
    ),
    Row(
        34,
        "Widen a grant's scopes or move its end",
        "server, app",
        Verdict.REFUSED,
        "The statement is under the owner's signature; app and devices check it.",
    ),
    Row(
        35,
        "Mark a request as approved",
        "server",
        Verdict.REFUSED,
        "The server has no key to give, and the app checks the owner's signature.",
    ),
    Row(
        36,
        "Show the owner another request than the app signed, or text that misleads",
        "server, app",
        Verdict.REFUSED,
        "The device shows what was signed, without control and bidirectional characters, each "
        "thing in its one line; an app under another's name comes with a warning.",
    ),
    Row(
        37,
        "Ask for everything, and keep every key",
        "app",
        Verdict.REFUSED,
        "The owner sees what it covers and can narrow it. What was read stays read; what is "
        "written after a revocation opens with nothing that the app kept.",
    ),
    Row(
        38,
        "Go on serving an app that was revoked",
        "app, server",
        Verdict.REFUSED,
        "What is written after the revocation has fresh keys.",
    ),
    Row(
        39,
        "Plant a memory that misleads other apps",
        "app",
        Verdict.REFUSED,
        "What an app writes waits for the owner, unseen by other apps, marked with its author.",
    ),
    Row(
        40,
        "Insert a memory in an app's name",
        "server",
        Verdict.REFUSED,
        "An app's entry needs the app's signature and a grant in the log.",
    ),
    Row(
        41,
        "Register a signing key under which everything verifies",
        "app",
        Verdict.REFUSED,
        "Small-order keys are refused wherever a public key is read.",
    ),
    Row(
        42,
        "Register an encryption key that forces a known secret",
        "app",
        Verdict.REFUSED,
        "Low-order points and malformed ML-KEM keys are refused when sealing.",
    ),
    Row(
        43,
        "Send a recorded login again",
        "network",
        Verdict.REFUSED,
        "A challenge is good once, and for one origin; so is the proof that comes with a request. "
        "A change that is sent again is the same change.",
    ),
    Row(
        44,
        "Pass another server's challenge on to an owner",
        "server",
        Verdict.REFUSED,
        "The origin is in the keys and under the signature.",
    ),
    Row(
        45,
        "Use a stolen token",
        "network, thief",
        Verdict.REFUSED,
        "A call proves its caller's key, once; an append is proved by the owner's signed head.",
    ),
    Row(
        46,
        "Find out who has an account",
        "network",
        Verdict.HARMLESS,
        "Unknown users get answers of the same shape, the same every time, and the server does the "
        "same work for them. An app, which anybody can register, is told by name, 300 a minute.",
    ),
    Row(
        47,
        "Guess passphrases against a stolen database",
        "thief",
        Verdict.HARMLESS,
        "Without the Secret Key the true passphrase fails as any other word does.",
    ),
    Row(
        48,
        "Read a stolen, locked device",
        "thief",
        Verdict.HARMLESS,
        "What is on disk is sealed, but for what the server sees as well: titles and tags in plain "
        "mode, apps and what they were granted.",
    ),
)
