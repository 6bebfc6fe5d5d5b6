"""The API process: `uvicorn reference.api:app`, with AMQP_URL set.

A request is answered once the broker has confirmed that it has the message: the message is
persistent, the queue durable, the channel in confirm mode (aio-pika's default).
https://www.rabbitmq.com/docs/confirms#publisher-confirms
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aio_pika
from bench.workload import TEMPLATE, USER
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response

from reference.messages import QUEUE, Accepted, Answer, Job, NotificationRequest

KNOWN: Final = {USER}
TEMPLATES: Final = {TEMPLATE}


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Hold one connection and one channel, on which publishers share the confirmations."""
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(QUEUE, durable=True)
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=connected)


@app.get("/health")
async def report_health() -> dict[str, str]:
    """Say that it is up."""
    return {"status": "ok"}


@app.post("/api/v1/notifications", status_code=202)
async def accept(wanted: NotificationRequest, request: Request) -> Response:
    """Check, queue, answer."""
    if wanted.user_id not in KNOWN or wanted.template_code not in TEMPLATES:
        raise HTTPException(404, "there is no such user or template")
    job = Job(notification_id=f"ntf_{uuid.uuid4().hex}", request=wanted)
    message = aio_pika.Message(
        job.model_dump_json().encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await request.app.state.exchange.publish(message, routing_key=QUEUE)
    # Dumped here: a response model would be validated once more.
    answer = Answer(data=Accepted(notification_id=job.notification_id))
    return Response(answer.model_dump_json(), 202, media_type="application/json")
