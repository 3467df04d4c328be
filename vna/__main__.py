"""`python -m vna` is the command `vna`."""

import sys

from vna.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
