"""Apps, access requests and grants: what is signed, sealed and checked. docs/spec/6-grants.md."""
