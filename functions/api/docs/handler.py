"""GET /openapi.json, /docs and /redoc: openapi.json beside this file is generated from the routes.

The pages hold all they need: they work without a network, and their policy lets nothing else in.
"""

import hashlib
import json
import re
from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi import swagger_ui

from carillon import http

app = http.api()

MAX_AGE = 300
"""Seconds a browser uses a page without asking whether there is another."""
REDOC = "static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
"""What Redoc would fetch from elsewhere; it leaves out what is no picture."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carillon</title>
<link rel="icon" href="data:,">
<style>body {{ margin: 0; }}</style>
</head>
<body>
<div id="redoc"></div>
<script>{script}</script>
<script>Redoc.init({spec}, {{}}, document.getElementById("redoc"));</script>
</body>
</html>"""
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@app.get("/openapi.json")
def openapi() -> Response[str]:
    """Return the API's description."""
    return _cached("application/json", _description())


@app.get("/docs")
def docs() -> Response[str]:
    """Return Swagger UI, to try the API with."""
    if (app.current_event.query_string_parameters or {}).get("format") == "json":
        return openapi()  # the link under the page's title
    return _cached("text/html; charset=utf-8", _swagger(), _policy(_swagger()))


@app.get("/redoc")
def redoc() -> Response[str]:
    """Return Redoc, to read the API's description in."""
    return _cached("text/html; charset=utf-8", _redoc(), _policy(_redoc()))


def _cached(content_type: str, text: str, policy: str = "default-src 'none'") -> Response[str]:
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    headers = http.unless_same(app, f'"{digest}"') | {
        "Cache-Control": f"public, max-age={MAX_AGE}",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(200, content_type, text, headers)


@cache
def _policy(page: str) -> str:
    """Return what the page may do: run its own scripts, and ask the API it came from."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:;"
        " font-src data:; connect-src 'self'; worker-src blob:; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _swagger() -> str:
    assets = Path(swagger_ui.__file__).parent
    return swagger_ui.generate_swagger_html(
        spec=_embedded(),
        swagger_js=(assets / "swagger-ui-bundle.min.js").read_text("utf-8"),
        swagger_css=(assets / "swagger-ui.min.css").read_text("utf-8"),
        swagger_base_url="",
        oauth2_config=None,
    )


@cache
def _redoc() -> str:
    # Found, not imported: the package's own code is for Django.
    package = find_spec("drf_spectacular_sidecar")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(REDOC)
    script = Path(package.submodule_search_locations[0], REDOC).read_text("utf-8")
    return PAGE.format(script=script.replace(LOGO, "data:,"), spec=_embedded())


def _embedded() -> str:
    """Return the description as it may stand inside a script."""
    return json.dumps(json.loads(_description()), separators=(",", ":")).replace("<", "\\u003c")


@cache
def _description() -> str:
    return (Path(__file__).parent / "openapi.json").read_text("utf-8")


lambda_handler = http.handler(app, asks_nobody=True)
