"""What became of deliveries, in numbers."""

from collections.abc import Sequence
from datetime import date

from carillon_client.calls import Call, given, one
from carillon_client.models import DeliveryReport
from carillon_client.transport import Operation


def _delivery_report(
    *,
    since: date | None = None,
    until: date | None = None,
    group_by: Sequence[str] | None = None,
) -> Call[DeliveryReport]:
    """Count the deliveries accepted from one day (UTC) to another, both included.

    ``group_by`` names any of day, channel, state, category and template. Without days these are
    the last seven; there may be 92.
    """
    query = given(
        to=_day(until),
        group_by=list(group_by) if group_by else None,
        **{"from": _day(since)},
    )
    return Call("GET", "/analytics/deliveries", one(DeliveryReport), query=query)


def _day(day: date | None) -> str | None:
    return f"{day:%Y-%m-%d}" if day else None


class Analytics:
    """What a client is told about its deliveries as a whole."""

    delivery_report = Operation(_delivery_report)
