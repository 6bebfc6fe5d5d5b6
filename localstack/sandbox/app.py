"""The sandbox as one web application."""

from typing import Final

from aiohttp import web

from . import fcm, inspection, page, ses, sms
from .exchange import MAILROOM
from .mailroom import Mailroom

LARGEST_REQUEST: Final = 40 * 1024 * 1024  # SES takes messages up to 40 MB


def make_app(store: Mailroom) -> web.Application:
    """Put the providers, the inspection and the page over one store."""
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app[MAILROOM] = store
    app[page.PAGE] = page.load_page()
    for part in (ses, sms, fcm, inspection, page):
        app.add_routes(part.ROUTES)
    app.on_shutdown.append(_hang_up)
    return app


async def _hang_up(app: web.Application) -> None:
    app[MAILROOM].close()
