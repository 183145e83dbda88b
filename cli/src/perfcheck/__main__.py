"""Start the command: `perfcheck …` or `python -m perfcheck …`."""

import sys

from perfcheck.app import main

if __name__ == "__main__":
    sys.exit(main())
