"""The one door to ciphers: what alone imports ``cryptography``, ``nacl``, ``argon2``.

Nothing here knows what a memory is. Everything is a library's construction behind a name of ours;
sources stand at each function. docs/spec/2-envelope.md and 3-keys.md say how they are used.
"""
