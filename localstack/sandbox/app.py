"""The sandbox as one web application."""

import socket
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from . import aws, fcm, inspection, page, sendgrid, ses, smtp, twilio
from .exchange import MAILROOM
from .inspection import SMTP_PORT
from .mailroom import Mailroom

LARGEST_REQUEST: Final = 40 * 1024 * 1024  # SES takes messages up to 40 MB


def make_app(store: Mailroom, mail: socket.socket) -> web.Application:
    """Put the providers, the inspection and the page over one store; SMTP is spoken at ``mail``."""
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app[MAILROOM] = store
    app[SMTP_PORT] = mail.getsockname()[1]
    app[page.PAGE] = page.load_page()
    for part in (ses, sendgrid, twilio, aws, fcm, inspection, page):
        app.add_routes(part.ROUTES)
    app.on_shutdown.append(_hang_up)

    async def take_mail(_: web.Application) -> AsyncIterator[None]:
        server = await smtp.serve(store, mail)
        yield
        server.close()

    app.cleanup_ctx.append(take_mail)
    return app


async def _hang_up(app: web.Application) -> None:
    app[MAILROOM].close()
