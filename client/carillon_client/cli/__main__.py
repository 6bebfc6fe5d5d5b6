"""``python -m carillon_client.cli``."""

from carillon_client.cli import main

main()
