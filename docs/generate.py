"""Writes what is generated from the code; ``--check`` only tells whether it is current.

functions/api/docs/openapi.json comes from the routes and their models.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge

ROOT = Path(__file__).parent.parent
OPENAPI = ROOT / "functions/api/docs/openapi.json"
TOKEN = {"type": "http", "scheme": "bearer", "description": "An API token, `nk_...`"}
OPEN_ROUTES = {"/health", "/api/v1/health"}
ABOUT = """Email, SMS, push and in-app notifications through one API.

Every request but health and docs carries `Authorization: Bearer` with an API token. Success is
`{success, data, error, message, meta}`; a refusal is `application/problem+json` (RFC 9457) with
the same members beside its own. `X-Correlation-ID` is taken, answered and logged."""


def openapi() -> str:
    """Return the API's description as JSON."""
    merge = OpenAPIMerge(
        title="Carillon",
        version="1",
        description=ABOUT,
        on_conflict="error",
    )
    for handler in sorted(ROOT.glob("functions/api/*/handler.py")):
        if handler.parent != OPENAPI.parent:
            module = import_module(".".join(handler.relative_to(ROOT).with_suffix("").parts))
            merge.add_schema(json.loads(module.app.get_openapi_json_schema()))
    schema = merge.get_openapi_schema()
    _tidy(schema)
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _tidy(schema: dict[str, Any]) -> None:
    # Relative to where the description is read: right with a stage in the address and without.
    schema["servers"] = [{"url": "."}]
    schema["components"]["securitySchemes"] = {"ApiToken": TOKEN}
    schema["security"] = [{"ApiToken": []}]
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            if path in OPEN_ROUTES:
                operation["security"] = []
            _drop_default_refusal(operation["responses"])
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _drop_default_refusal(responses: dict[str, Any]) -> None:
    """The resolver documents a 422 of its own shape, which the API never answers."""
    content = responses.get("422", {}).get("content", {})
    content.pop("application/json", None)
    if "422" in responses and not content:
        del responses["422"]


def main() -> int:
    """Write, or with ``--check`` compare; 1 when something is out of date."""
    current = openapi()
    if "--check" in sys.argv:
        return int(OPENAPI.read_text() != current)
    OPENAPI.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
