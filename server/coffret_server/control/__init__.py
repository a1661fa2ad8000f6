"""The control plane: accounts, logins, apps, requests, grants. Plain FastAPI, for clarity."""
