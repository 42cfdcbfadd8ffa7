"""``python -m hub_core`` is the command ``hub``."""

import sys

from hub_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
