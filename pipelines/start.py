"""The start of `recsys`, where the command line's own packages may be missing."""

import sys

from recsys_vae.errors import MissingExtraError
from recsys_vae.extras import explained


def main() -> None:
    """Run the command line; a package of an extra that is not installed is one line and exit status 1."""
    try:
        with explained():
            from pipelines.cli import main as run
            from pipelines.cli import own_process
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    own_process()
    run()
