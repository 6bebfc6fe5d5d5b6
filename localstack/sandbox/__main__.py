"""Run the sandbox: `PYTHONPATH=localstack python -m sandbox`."""

import argparse
import socket

from aiohttp import web

from .addresses import as_markdown
from .app import make_app
from .mailroom import Mailroom


def main() -> None:
    """Serve until stopped, or print the agreed addresses."""
    parser = argparse.ArgumentParser(prog="sandbox", description="The providers, offline.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=8026, help="0 takes a free one")
    parser.add_argument(
        "--addresses",
        action="store_true",
        help="print the agreed addresses as Markdown and leave",
    )
    options = parser.parse_args()
    if options.addresses:
        print(as_markdown())
    else:
        serve(options.host, options.port, options.smtp_port)


def serve(host: str, port: int, smtp_port: int) -> None:
    """Listen, say where, and serve until stopped."""
    listener = socket.create_server((host, port), backlog=1024)
    mail = socket.create_server((host, smtp_port), backlog=1024)
    print(f"Provider sandbox on http://{host}:{listener.getsockname()[1]}", flush=True)
    print(f"and for SMTP on {host}:{mail.getsockname()[1]}", flush=True)
    web.run_app(
        make_app(Mailroom(), mail),
        sock=listener,
        access_log=None,
        # A silent address waits only as long as its caller does.
        handler_cancellation=True,
        shutdown_timeout=1,
        print=None,
    )


if __name__ == "__main__":
    main()
