"""A notification system as its users would write it: an API, a broker and a worker.

FastAPI, aio-pika, RabbitMQ, pydantic and Jinja2; one API process and one worker process. It is what
`make bench-peers` compares with, and cheaper than any real one: it keeps no status, knows no
idempotency, asks for no token, has its one user and its one template in memory, already compiled,
and signs nothing it sends.
"""
