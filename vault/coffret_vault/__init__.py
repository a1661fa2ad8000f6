"""The trusted core: all that touches plaintext or keys, and nothing that touches a network."""
