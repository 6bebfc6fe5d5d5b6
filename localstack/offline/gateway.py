"""The stable address in front of the API: what API Gateway's own host name does on AWS."""

import argparse
import json
import sys
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from io import BytesIO
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from offline.children import Child, Children
from offline.environment import offline_path

# API Gateway's own limits.
BODY_BYTES = 10 * 1024 * 1024
INTEGRATION_SECONDS = 29
_MARGIN_SECONDS = 6

# RFC 9110 section 7.6.1, and what the two connections each work out for themselves.
HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "expect", "host"),
    )
)
TARGET = web.AppKey("target", URL)
SESSION = web.AppKey("session", ClientSession)


def application(target: str) -> web.Application:
    """Return the proxy to `target`, the API's address with its stage."""
    app = web.Application(client_max_size=BODY_BYTES)
    app[TARGET] = URL(target.rstrip("/"), encoded=True)
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", r"/{path:[\s\S]*}", forward)  # a line break too, if it is escaped
    return app


async def forward(request: web.Request) -> web.Response:
    """Pass one request on and its answer back."""
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than 10 MiB.")
    target = request.app[TARGET]
    if not request.raw_path.startswith("/"):
        return problem(HTTPStatus.BAD_REQUEST, "The request's target is not a path.")
    url = URL(f"{target}{request.raw_path}", encoded=True)
    try:
        async with request.app[SESSION].request(
            request.method,
            url,
            headers=forwarded(request),
            data=BytesIO(body) if body else None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as answer:
            headers = returned(answer.headers.items(), stage=target.name)
            return web.Response(
                status=answer.status,
                reason=answer.reason,
                headers=headers,
                body=await answer.read(),
            )
    except TimeoutError:
        return problem(HTTPStatus.GATEWAY_TIMEOUT, "The API did not answer in time.")
    except ClientError:
        return problem(HTTPStatus.BAD_GATEWAY, "The embedded cloud is not there.")


def forwarded(request: web.Request) -> CIMultiDict[str]:
    """Return the request's headers as a reverse proxy hands them on."""
    headers = end_to_end(request.headers.items())
    before = headers.popall("X-Forwarded-For", [])
    headers["X-Forwarded-For"] = ", ".join([*before, request.remote or "127.0.0.1"])
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Host"] = request.host
    headers["X-Forwarded-Port"] = str(request.url.port)
    return headers


def returned(headers: Iterable[tuple[str, str]], stage: str) -> CIMultiDict[str]:
    """Return an answer's headers with its addresses as seen from outside, where no stage is."""
    kept = end_to_end(headers)
    for name, before in (("Location", ""), ("Link", "<")):
        address = kept.get(name, "")
        if address.startswith(f"{before}/{stage}/"):
            kept[name] = before + address.removeprefix(f"{before}/{stage}")
    return kept


def end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """Drop what belongs to one connection, including what `Connection` itself names."""
    pairs = list(headers)
    named = {
        token.strip().lower()
        for name, value in pairs
        if name.lower() == "connection"
        for token in value.split(",")
    }
    dropped = HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in pairs if name.lower() not in dropped)


def problem(status: HTTPStatus, detail: str) -> web.Response:
    """Return an RFC 9457 answer of the gateway's own."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": status.name.lower(),
    }
    return web.Response(
        status=status.value, text=json.dumps(body), content_type="application/problem+json"
    )


async def _session(app: web.Application) -> AsyncIterator[None]:
    timeout = ClientTimeout(total=INTEGRATION_SECONDS + _MARGIN_SECONDS)
    async with ClientSession(
        timeout=timeout, connector=TCPConnector(limit=0), auto_decompress=False
    ) as session:
        app[SESSION] = session
        yield


def start(children: Children, port: int, target: str, log: Path) -> Child:
    """Start the gateway in a process of its own, so that measuring it measures nothing else."""
    command = [sys.executable, "-m", "offline.gateway", "--port", str(port), "--target", target]
    return children.start("the gateway", command, offline_path(), log)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m offline.gateway", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True, help="the API's address with its stage")
    options = parser.parse_args()
    web.run_app(
        application(options.target),
        host=options.host,
        port=options.port,
        access_log=None,
        print=None,
        auto_decompress=False,
    )


if __name__ == "__main__":
    main()
