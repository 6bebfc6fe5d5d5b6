"""The command ``carillon``."""

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from carillon_client.cli.app import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.exit("The command line needs more: pip install 'carillon-client[cli]'")
    app(prog_name="carillon")
