"""Analytics: what became of the caller's deliveries, day by day."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from carillon import analytics, http
from carillon.identity import Scope
from carillon.models import Answer, Day, now
from carillon.tables import tenant_key

app = http.api()


@app.get(
    "/api/v1/analytics/deliveries",
    summary="Deliveries by day, channel, state, category and template",
    tags=["Analytics"],
    responses=http.responses(Answer[analytics.DeliveryReport], 400, 401, 403, 503),
)
def deliveries(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
    group_by: Annotated[list[analytics.Dimension] | None, Query()] = None,
) -> Response[Answer[analytics.DeliveryReport]]:
    """Return the caller's deliveries by the day (UTC) they were accepted on: at most 92 days.

    Without days these are the last seven. The numbers follow what happens within seconds.
    """
    caller = http.caller(app, Scope.READ)
    first, last = analytics.default_span(now().date(), since, until)
    # Each dimension once, in the order given.
    wanted = list(dict.fromkeys(group_by or []))
    told = analytics.report(tenant_key(caller.tenant, caller.client_id), first, last, wanted)
    return http.answer(app, told, "Deliveries counted")


lambda_handler = http.handler(app)
