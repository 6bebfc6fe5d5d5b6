"""GET /openapi.json and /docs: openapi.json beside this file is generated from the routes."""

from pathlib import Path

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi import swagger_ui

from carillon import http

app = APIGatewayRestResolver()


@app.get("/openapi.json")
def openapi() -> Response[str]:
    """Return the API's description."""
    return Response(200, "application/json", _description())


@app.get("/docs")
def docs() -> Response[str]:
    """Return Swagger UI, self-contained: it works without a network."""
    if (app.current_event.query_string_parameters or {}).get("format") == "json":
        return openapi()  # the link under the page's title
    assets = Path(swagger_ui.__file__).parent
    page = swagger_ui.generate_swagger_html(
        spec=_description().replace("</", "<\\/"),
        swagger_js=(assets / "swagger-ui-bundle.min.js").read_text("utf-8"),
        swagger_css=(assets / "swagger-ui.min.css").read_text("utf-8"),
        swagger_base_url="",
        oauth2_config=None,
    )
    return Response(200, "text/html", page)


def _description() -> str:
    return (Path(__file__).parent / "openapi.json").read_text("utf-8")


lambda_handler = http.handler(app, asks_nobody=True)
