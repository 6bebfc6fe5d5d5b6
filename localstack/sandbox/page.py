"""The page at `/`, and the policy that keeps it and the emails in it from fetching anything."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

ROUTES = web.RouteTableDef()
PAGE_FILE: Final = Path(__file__).with_name("page.html")


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its content security policy."""

    html: str
    policy: str


PAGE: Final = web.AppKey("page", Page)


def load_page() -> Page:
    """Read the page and allow exactly the script in it."""
    html = PAGE_FILE.read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


@ROUTES.get("/")
async def show_page(request: web.Request) -> web.Response:
    """Show the inbox."""
    page = request.app[PAGE]
    headers = {"Content-Security-Policy": page.policy, "Cache-Control": "no-store"}
    return web.Response(text=page.html, content_type="text/html", headers=headers)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
