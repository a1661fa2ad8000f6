"""Write the test vectors anew: ``python tests/vectors/generate.py``.

The same bytes come out every time; a test compares them with the files that are committed.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from vectors.making.files import write_all

    write_all()
