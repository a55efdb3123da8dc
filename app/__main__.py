"""`attest` and `python -m app`: the command line; its commands stand in `app/cli/`, one file a group."""

from __future__ import annotations

import sys

from app.cli.root import run


def main() -> None:
    """Runs the command in `sys.argv` and exits with its code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
