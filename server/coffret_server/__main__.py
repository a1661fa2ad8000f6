"""`python -m coffret_server`."""

import sys

from coffret_server.cli import main

sys.exit(main())
