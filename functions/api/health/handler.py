"""GET /health (alive), GET /api/v1/health (asks DynamoDB, SNS and SQS) and GET /metrics."""

from collections.abc import Callable

from aws_lambda_powertools.event_handler import Response

from carillon import http, metrics
from carillon.aws import sns, sqs
from carillon.identity import Scope
from carillon.log import logger, trace
from carillon.models import Answer, Shape
from carillon.settings import settings
from carillon.tables import Notification

app = http.api()


class Liveness(Shape):
    """The function answers."""

    status: str


class Health(Shape):
    """Each dependency, "ok" or "down", and the release that asked."""

    status: str
    release: str
    dependencies: dict[str, str]


@app.get("/health", summary="Alive", tags=["Health"])
def alive() -> Liveness:
    """Answer without asking anybody."""
    return Liveness(status="ok")


@app.get(
    "/api/v1/health",
    summary="The dependencies, asked now",
    tags=["Health"],
    responses=http.responses(Answer[Health]) | http.responses(Answer[Health], status=503),
)
def dependencies() -> Response[Answer[Health]]:
    """Ask each dependency; 503 when one does not answer."""
    found = {name: _ask(name, question) for name, question in _QUESTIONS.items()}
    well = all(answer == "ok" for answer in found.values())
    return http.answer(
        app,
        Health(status="ok" if well else "down", release=settings().release, dependencies=found),
        "All dependencies answer" if well else "A dependency does not answer",
        status=200 if well else 503,
    )


@app.get(
    "/metrics",
    summary="The counters, as OpenMetrics text",
    tags=["Health"],
    responses=http.text_responses(metrics.CONTENT_TYPE, 401, 403, 503),
)
def read_metrics() -> Response[str]:
    """Return what all processes have counted so far."""
    http.caller(app, Scope.OPS)
    return http.text(metrics.exposition(), metrics.CONTENT_TYPE)


def _ask(name: str, question: Callable[[], object]) -> str:
    try:
        question()
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not well
        logger().error("dependency down", extra={"dependency": name, **trace(error)})
        return "down"
    return "ok"


def _ask_dynamodb() -> None:
    try:
        Notification.get("health-check")
    except Notification.DoesNotExist:
        return


def _ask_sns() -> None:
    sns().call("GetTopicAttributes", {"TopicArn": settings().required("topic_arn")})


def _ask_sqs() -> None:
    for url in settings().required("health_queue_urls").split(","):
        sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])


_QUESTIONS = {"dynamodb": _ask_dynamodb, "sns": _ask_sns, "sqs": _ask_sqs}

lambda_handler = http.handler(app, asks_nobody=True)
