"""Makes what a client sends, from the specification alone: a second, independent writer.

Envelopes and wraps are random bytes of the right form: the server cannot tell, and must not.
"""

from server.forge.app import (
    App,
    approval,
    grant_statement,
    selector,
)
from server.forge.encoding import (
    Record,
    Tree,
    as_json,
    author,
    b64,
    digest_of,
    entry,
    hash_of,
    header,
    identity_of,
    listing,
    new_id,
    now,
    pae,
    public,
    record,
    sealed,
    sign,
    sorted_set,
    subject_of,
    u64,
    wrapped,
)
from server.forge.owner import (
    Keyslot,
    Owner,
)
from server.forge.proof import (
    HOLDERS,
    b64url,
    bound,
    claims_of,
    header_of,
    jws,
)

__all__ = [
    "HOLDERS",
    "App",
    "Keyslot",
    "Owner",
    "Record",
    "Tree",
    "approval",
    "as_json",
    "author",
    "b64",
    "b64url",
    "bound",
    "claims_of",
    "digest_of",
    "entry",
    "grant_statement",
    "hash_of",
    "header",
    "header_of",
    "identity_of",
    "jws",
    "listing",
    "new_id",
    "now",
    "pae",
    "public",
    "record",
    "sealed",
    "selector",
    "sign",
    "sorted_set",
    "subject_of",
    "u64",
    "wrapped",
]
