"""Ways to unwrap the account key: passphrase with Secret Key, and recovery code."""
