"""The worker process: `python -m reference.worker`, with AMQP_URL and SINK_URL set.

It sends each message by one HTTP POST, as SES's SendEmail is on the wire but without a signature
worth the name, and acknowledges it after the provider's answer.
"""

import asyncio
import os
import signal
from functools import partial
from typing import Any, Final

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage
from aiohttp import ClientSession, ClientTimeout
from bench.workload import ADDRESS, PARTS, TEMPLATE, USER
from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from reference.messages import QUEUE, Job

PREFETCH: Final = 32
"""Messages it works on at once."""
SENDER: Final = "peer@example.com"
TIMEOUT_SECONDS: Final = 10
USERS: Final = {USER: ADDRESS}
HEADERS: Final = {"Authorization": "AWS4-HMAC-SHA256 of nobody"}


def compiled() -> dict[str, Template]:
    """Return the parts of the template, compiled once."""
    plain = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    markup = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=True)
    return {
        name: (markup if name == "html" else plain).from_string(source)
        for name, source in PARTS.items()
    }


def email(job: Job, templates: dict[str, dict[str, Template]]) -> dict[str, Any]:
    """Return SendEmail's body. Raises KeyError for an unknown user or template."""
    parts = templates[job.request.template_code]
    text = {name: {"Data": each.render(job.request.variables)} for name, each in parts.items()}
    return {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": [USERS[job.request.user_id]]},
        "Content": {
            "Simple": {
                "Subject": text["subject"],
                "Body": {"Html": text["html"], "Text": text["text"]},
            }
        },
        "EmailTags": [{"Name": "notification_id", "Value": job.notification_id}],
    }


async def deliver(
    session: ClientSession,
    templates: dict[str, dict[str, Template]],
    message: AbstractIncomingMessage,
) -> None:
    """Render and send one message; what goes wrong puts it back."""
    async with message.process(requeue=True):
        job = Job.model_validate_json(message.body)
        async with session.post(
            "/v2/email/outbound-emails", json=email(job, templates), headers=HEADERS
        ) as answer:
            answer.raise_for_status()
            await answer.json()


async def main() -> None:
    """Work until told to stop."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    timeout = ClientTimeout(total=TIMEOUT_SECONDS)
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection, ClientSession(os.environ["SINK_URL"], timeout=timeout) as session:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(QUEUE, durable=True)
        await queue.consume(partial(deliver, session, {TEMPLATE: compiled()}))
        await over.wait()


if __name__ == "__main__":
    uvloop.run(main())
