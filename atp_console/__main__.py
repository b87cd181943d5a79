"""`python -m atp_console` is `atp-console`."""

import sys

from atp_console.cli import main

if __name__ == "__main__":
    sys.exit(main())
