"""The one request that everybody measured is given: one channel, one user, a template.

Imports nothing, so that every contender can have it, whatever is installed for it.
"""

from typing import Any, Final

USER: Final = "bench-reader"
ADDRESS: Final = "reader@example.com"
TEMPLATE: Final = "bench-order-shipped"
PARTS: Final = {
    "subject": "Your order {{ order.number }} is on its way",
    "html": "<p>Good news, {{ name }}!</p><ul>{% for item in order.lines %}"
    "<li>{{ item.count }} &times; {{ item.name }}</li>{% endfor %}</ul>",
    "text": "Good news, {{ name }}! Your order {{ order.number }} left us today.",
}


def request_body(number: int) -> dict[str, Any]:
    """Return the request of one notification: one channel, one user, a template with variables."""
    lines = [{"count": 2, "name": "Analytical Engine, small"}, {"count": 1, "name": "Punched card"}]
    return {
        "user_id": USER,
        "channels": ["email"],
        "template_code": TEMPLATE,
        "variables": {"name": "Ada", "order": {"number": f"B-{number}", "lines": lines}},
        "category": "orders",
        "metadata": {"order_id": number},
    }
