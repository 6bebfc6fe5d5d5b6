"""Operations: what was given up, what must stop, and whether what was aimed at is met."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from carillon import (
    analytics,
    audit,
    budgeting,
    clearing,
    costs,
    http,
    objectives,
    switches,
    triage,
)
from carillon.budgeting import BudgetOut, BudgetRequest
from carillon.identity import Scope
from carillon.models import Answer, ChannelName, Day, Moment, Name, Page, now
from carillon.switches import SwitchOut, SwitchRequest
from carillon.triage import (
    Code,
    DiscardRequest,
    Fingerprint,
    LetterFilter,
    NotificationId,
    RedriveRequest,
)

app = http.api()
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=512)]
InChannel = Annotated[ChannelName | None, Query()]
WithCode = Annotated[Code | None, Query()]
OfTemplate = Annotated[Name | None, Query()]
OfKind = Annotated[Fingerprint | None, Query()]
OfNotification = Annotated[NotificationId | None, Query()]
Since = Annotated[Moment | None, Query()]
Until = Annotated[Moment | None, Query()]
BudgetScope = Annotated[str, Path(max_length=128)]
SwitchScope = Annotated[str, Path(max_length=128)]

AuditText = Annotated[str | None, Query(max_length=256)]

READ_REFUSALS = (400, 401, 403, 503)
WRITE_REFUSALS = (400, 401, 403, 409, 413, 415, 422, 503)


@app.get(
    "/api/v1/ops/dlq",
    summary="Dead letters, newest first",
    tags=["Operations"],
    responses=http.responses(Page[triage.LetterOut], *READ_REFUSALS),
)
def read_letters(  # noqa: PLR0913, PLR0917 - one for each query parameter
    channel: InChannel = None,
    code: WithCode = None,
    template: OfTemplate = None,
    fingerprint: OfKind = None,
    notification_id: OfNotification = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response[Page[triage.LetterOut]]:
    """Return a page of the messages that were given up and stand, without their text.

    A page may be short and still lead on: one request looks at no more than 500 letters.
    """
    caller = http.caller(app, Scope.OPS)
    wanted = LetterFilter.model_construct(
        channel=channel,
        code=code,
        template=template,
        fingerprint=fingerprint,
        notification_id=notification_id,
        since=since,
        until=until,
    )
    found = triage.page(caller.tenant, wanted, limit, cursor)
    listed = [triage.out(letter) for letter in found.letters]
    return http.page(app, listed, "Dead letters found", limit=limit, cursor=found.next_cursor)


@app.get(
    "/api/v1/ops/dlq/groups",
    summary="Dead letters by what they have in common",
    tags=["Operations"],
    responses=http.responses(Answer[triage.GroupsOut], *READ_REFUSALS),
)
def read_groups(
    channel: InChannel = None,
    code: WithCode = None,
    template: OfTemplate = None,
    since: Since = None,
    until: Until = None,
) -> Response[Answer[triage.GroupsOut]]:
    """Count what stands by channel, error and template, the largest group first."""
    caller = http.caller(app, Scope.OPS)
    wanted = LetterFilter.model_construct(
        channel=channel, code=code, template=template, since=since, until=until
    )
    return http.answer(app, triage.groups(caller.tenant, wanted), "Dead letters grouped")


@app.post(
    "/api/v1/ops/dlq/redrive",
    status_code=202,
    summary="Send dead letters again",
    tags=["Operations"],
    responses=http.responses(Answer[clearing.LetterJobOut], *WRITE_REFUSALS, status=202)
    | http.responses(Answer[clearing.LetterJobOut]),
)
def redrive(
    request: Annotated[RedriveRequest, Body()],
) -> Response[Answer[clearing.LetterJobOut]]:
    """Begin a job that puts each letter back into its queue; a dry run only counts them.

    What has been sent meanwhile is not sent again.
    """
    return _clear(request)


@app.post(
    "/api/v1/ops/dlq/discard",
    status_code=202,
    summary="Put dead letters away",
    tags=["Operations"],
    responses=http.responses(Answer[clearing.LetterJobOut], *WRITE_REFUSALS, status=202)
    | http.responses(Answer[clearing.LetterJobOut]),
)
def discard(
    request: Annotated[DiscardRequest, Body()],
) -> Response[Answer[clearing.LetterJobOut]]:
    """Begin a job that ends each letter's deliveries for good; a dry run only counts them."""
    return _clear(request)


def _clear(request: RedriveRequest | DiscardRequest) -> Response[Answer[clearing.LetterJobOut]]:
    caller = http.caller(app, Scope.OPS)
    if request.dry_run:
        return http.answer(app, clearing.dry(caller, request), "Nothing was done: a dry run")
    job = clearing.begin(caller, request)
    return http.answer(
        app,
        clearing.told(job),
        "Begun",
        status=202,
        headers={"Location": http.location(app, f"/api/v1/ops/dlq/jobs/{job.job_id}")},
    )


@app.get(
    "/api/v1/ops/dlq/jobs/<job_id>",
    summary="How far a redrive or a discard is",
    tags=["Operations"],
    responses=http.responses(Answer[clearing.LetterJobOut], *READ_REFUSALS, 404),
)
def read_job(
    job_id: Annotated[str, Path(max_length=64)],
) -> Response[Answer[clearing.LetterJobOut]]:
    """Return the job; what fits its filter and was given up since is not its business."""
    caller = http.caller(app, Scope.OPS)
    job = clearing.find(caller.tenant, job_id)
    return http.answer(app, clearing.told(job), "Job found")


@app.get(
    "/api/v1/ops/switches",
    summary="What is stopped",
    tags=["Operations"],
    responses=http.responses(Answer[list[SwitchOut]], *READ_REFUSALS),
)
def read_switches() -> Response[Answer[list[SwitchOut]]]:
    """Return the kill switches that are on."""
    caller = http.caller(app, Scope.OPS)
    return http.answer(app, switches.all_on(caller), "Switches found")


@app.get(
    "/api/v1/ops/switches/<scope>",
    summary="A kill switch",
    tags=["Operations"],
    responses=http.responses(Answer[SwitchOut], *READ_REFUSALS, 404),
)
def read_switch(scope: SwitchScope) -> Response[Answer[SwitchOut]]:
    """Return whether it is on, since when, by whom and why."""
    caller = http.caller(app, Scope.OPS)
    return http.answer(app, switches.get(caller, switches.parse(scope)), "Switch found")


@app.put(
    "/api/v1/ops/switches/<scope>",
    summary="Stop a channel, a provider, a template or a client",
    tags=["Operations"],
    responses=http.responses(Answer[SwitchOut], *WRITE_REFUSALS, 404),
)
def put_switch(
    scope: SwitchScope, request: Annotated[SwitchRequest, Body()]
) -> Response[Answer[SwitchOut]]:
    """Keep what it names in its queues, from within seconds, until it is lifted.

    A stopped provider is passed over where its channel has another.
    """
    caller = http.caller(app, Scope.OPS)
    made = switches.put(caller, switches.parse(scope), request.reason)
    return http.answer(app, made, "Stopped")


@app.delete(
    "/api/v1/ops/switches/<scope>",
    summary="Let it go on",
    tags=["Operations"],
    responses=http.no_content(*READ_REFUSALS, 404),
)
def lift_switch(scope: SwitchScope) -> Response[None]:
    """Lift a kill switch; what waited is tried again within minutes."""
    caller = http.caller(app, Scope.OPS)
    switches.lift(caller, switches.parse(scope))
    return http.nothing(app)


@app.get(
    "/api/v1/ops/slo",
    summary="Whether what was aimed at is met",
    tags=["Operations"],
    responses=http.responses(Answer[objectives.ObjectivesOut], *READ_REFUSALS),
)
def read_objectives() -> Response[Answer[objectives.ObjectivesOut]]:
    """Return all clients' success, answer times and throughput, of an hour, a day and 28 days.

    They follow what happens within half a minute.
    """
    http.caller(app, Scope.OPS)
    return http.answer(app, objectives.standing(now()), "Objectives measured")


@app.get(
    "/api/v1/ops/costs",
    summary="What deliveries cost",
    tags=["Operations"],
    responses=http.responses(Answer[costs.CostReport], *READ_REFUSALS),
)
def read_costs(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
    group_by: Annotated[list[costs.By] | None, Query()] = None,
) -> Response[Answer[costs.CostReport]]:
    """Return what all of the tenant's deliveries cost, by the day (UTC) they were accepted on.

    An estimate: the providers' share at the prices of ``prices.json`` for what was really sent,
    AWS's by what one notification was counted to take. Without days these are the last seven.
    """
    caller = http.caller(app, Scope.OPS)
    first, last = analytics.default_span(now().date(), since, until)
    wanted = list(dict.fromkeys(group_by or []))
    return http.answer(app, costs.report(caller.tenant, first, last, wanted), "Costs added up")


@app.get(
    "/api/v1/ops/budgets",
    summary="What a month may cost",
    tags=["Operations"],
    responses=http.responses(Answer[list[BudgetOut]], *READ_REFUSALS),
)
def read_budgets() -> Response[Answer[list[BudgetOut]]]:
    """Return the tenant's budgets and how much of them is spent."""
    caller = http.caller(app, Scope.OPS)
    return http.answer(app, budgeting.all_set(caller), "Budgets found")


@app.get(
    "/api/v1/ops/budgets/<scope>",
    summary="A budget",
    tags=["Operations"],
    responses=http.responses(Answer[BudgetOut], *READ_REFUSALS, 404),
)
def read_budget(scope: BudgetScope) -> Response[Answer[BudgetOut]]:
    """Return what the month may cost and has cost; 404 where no budget is set."""
    caller = http.caller(app, Scope.OPS)
    return http.answer(app, budgeting.get(caller, budgeting.parse(scope)), "Budget found")


@app.put(
    "/api/v1/ops/budgets/<scope>",
    summary="Set what a month of the tenant, a client or a category may cost",
    tags=["Operations"],
    responses=http.responses(Answer[BudgetOut], *WRITE_REFUSALS, 404),
)
def put_budget(
    scope: BudgetScope, request: Annotated[BudgetRequest, Body()]
) -> Response[Answer[BudgetOut]]:
    """Set the budget of ``tenant``, ``client:<id>`` or ``category:<name>``.

    What the calendar month (UTC) has cost so far is charged to it.
    """
    caller = http.caller(app, Scope.OPS)
    made = budgeting.put(caller, budgeting.parse(scope), request)
    return http.answer(app, made, "Budget set")


@app.delete(
    "/api/v1/ops/budgets/<scope>",
    summary="Take a budget away",
    tags=["Operations"],
    responses=http.no_content(*READ_REFUSALS, 404),
)
def remove_budget(scope: BudgetScope) -> Response[None]:
    """Let the scope cost what it will."""
    caller = http.caller(app, Scope.OPS)
    budgeting.remove(caller, budgeting.parse(scope))
    return http.nothing(app)


@app.get(
    "/api/v1/ops/audit",
    summary="Who did what",
    tags=["Operations"],
    responses=http.responses(Page[audit.AuditOut], *READ_REFUSALS),
)
def read_audit(  # noqa: PLR0913, PLR0917 - one for each query parameter
    actor: AuditText = None,
    route: AuditText = None,
    subject: AuditText = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response[Page[audit.AuditOut]]:
    """Return a page of the calls that changed something, or were refused, newest first.

    ``subject`` is any parameter of the path: a template's code, a user's id, an address. A page may
    be short and still lead on: one request looks at no more than 500 calls.
    """
    caller = http.caller(app, Scope.ADMIN)
    wanted = audit.Wanted(actor, route, subject, since, until)
    found, following = audit.page(caller.tenant, wanted, limit, cursor)
    return http.page(app, found, "Calls found", limit=limit, cursor=following)


lambda_handler = http.handler(app)
