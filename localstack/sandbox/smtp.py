"""A mail server: SMTP (RFC 5321) with STARTTLS, AUTH, SIZE and DSN, which delivers to the store."""

import asyncio
import base64
import binascii
import re
import secrets
import socket
import ssl
import struct
from dataclasses import dataclass, field, replace
from typing import Final

from . import mime
from .exchange import judge
from .mailroom import Mailroom, Message, Request
from .outcomes import KEPT, SILENCE_SECONDS, Fault, Provider, Reaction

HOST_NAME: Final = "sandbox.test"
LARGEST_MESSAGE: Final = 40 * 1024 * 1024
LONGEST_LINE: Final = 64 * 1024
IDLE_SECONDS: Final = 300
WRONG_PASSWORD: Final = "wrong"  # noqa: S105 - it opens nothing
"""The one password that is refused."""
_FROM: Final = re.compile(r"FROM:\s*<([^<>]*)>\s*(.*)", re.IGNORECASE)
_TO: Final = re.compile(r"TO:\s*<([^<>]+)>\s*(.*)", re.IGNORECASE)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class HungUpError(Exception):
    """The other side has gone, or is to be left: amid something, so with a reset, if ``rude``."""

    def __init__(self, *, rude: bool = False) -> None:
        super().__init__()
        self.rude = rude


@dataclass
class _Envelope:
    """One mail transaction: it leaves one request in the store, unless it is given up."""

    sender: str | None = None
    notification_id: str | None = None
    to: list[str] = field(default_factory=list)
    reaction: Reaction = Reaction.ACCEPTED
    fault: Fault | None = None


@dataclass
class _Session:
    """One connection, and how far its conversation is."""

    reader: Reader
    writer: Writer
    store: Mailroom
    tls: ssl.SSLContext | None
    secure: bool = False
    envelope: _Envelope = field(default_factory=_Envelope)

    async def converse(self) -> None:
        """Speak until either side has had enough."""
        await self.say(220, f"{HOST_NAME} ESMTP sandbox")
        while line := await self.line():
            verb, _, rest = line.partition(" ")
            speak = getattr(self, f"on_{verb.lower()}", None)
            if speak is None:
                await self.say(502, "5.5.1 Command not recognized")
            else:
                await speak(rest.strip())

    async def say(self, code: int, *lines: str) -> None:
        """Reply."""
        *first, last = lines
        text = [f"{code}-{line}\r\n" for line in first] + [f"{code} {last}\r\n"]
        self.writer.write("".join(text).encode())
        await self.writer.drain()

    async def line(self) -> str:
        """Return the next line, or nothing at the end."""
        async with asyncio.timeout(IDLE_SECONDS):
            return (await self.reader.readline()).decode(errors="replace").strip()

    # ------------------------------------------------------------------------ the conversation

    async def on_helo(self, _: str) -> None:
        """Greet."""
        self.envelope = _Envelope()
        await self.say(250, HOST_NAME)

    async def on_ehlo(self, _: str) -> None:
        """Greet, and tell what is spoken here."""
        self.envelope = _Envelope()
        offered = [f"SIZE {LARGEST_MESSAGE}", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"]
        starttls = ["STARTTLS"] if self.tls and not self.secure else []
        await self.say(250, HOST_NAME, *offered, *starttls, "AUTH PLAIN LOGIN")

    async def on_starttls(self, _: str) -> None:
        """Go on in secret."""
        if self.tls is None or self.secure:
            await self.say(454, "4.7.0 TLS not available")
            return
        await self.say(220, "2.0.0 Ready to start TLS")
        await self.writer.start_tls(self.tls)
        self.secure = True

    async def on_auth(self, rest: str) -> None:
        """Take any credentials but those with the one wrong password."""
        method, _, initial = rest.partition(" ")
        if method.upper() == "PLAIN":
            told = _decoded(initial or await self._asked(""))
            password = told.rpartition("\0")[2]
        elif method.upper() == "LOGIN":
            if not initial:
                await self._asked("Username:")
            password = _decoded(await self._asked("Password:"))
        else:
            await self.say(504, "5.5.4 Unrecognized authentication type")
            return
        if password == WRONG_PASSWORD:
            await self.say(535, "5.7.8 Authentication credentials invalid")
        else:
            await self.say(235, "2.7.0 Authentication successful")

    async def _asked(self, prompt: str) -> str:
        await self.say(334, base64.b64encode(prompt.encode()).decode())
        return await self.line()

    async def on_mail(self, rest: str) -> None:
        """Begin a transaction."""
        path = _FROM.fullmatch(rest)
        if path is None:
            await self.say(501, "5.5.4 Syntax: MAIL FROM:<address>")
            return
        given = dict(option.partition("=")[::2] for option in path[2].split())
        self.envelope = _Envelope(path[1], given.get("ENVID"))
        await self.say(250, "2.1.0 Ok")

    async def on_rcpt(self, rest: str) -> None:
        """Take a recipient, or refuse it as agreed."""
        path = _TO.fullmatch(rest)
        if path is None or self.envelope.sender is None:
            await self.say(503, "5.5.1 Need MAIL before RCPT, and an address")
            return
        message = self._message(path[1])
        reaction, fault = judge(message, self.store)
        if fault and fault.at_once:
            await self.refuse(fault, message, reaction)
            return
        self.envelope.to.append(path[1])
        if reaction is not Reaction.ACCEPTED:
            self.envelope.reaction, self.envelope.fault = reaction, fault
        await self.say(250, "2.1.5 Ok")

    async def on_data(self, _: str) -> None:
        """Take the message, and do with it as agreed."""
        if not self.envelope.to:
            await self.say(503, "5.5.1 Need RCPT before DATA")
            return
        message, told = self._message(", ".join(self.envelope.to)), self.envelope
        if told.reaction is Reaction.DROPPED:
            self._note(message, told.reaction, None)
            raise HungUpError(rude=True)
        await self.say(354, "End data with <CR><LF>.<CR><LF>")
        read = mime.read(await self._content()) or mime.Content(None, None, None)
        message = replace(message, subject=read.subject, body=read.body, html=read.html)
        if told.fault:
            await self.refuse(told.fault, message, told.reaction)
        else:
            await self._react(message, told.reaction)
        self.envelope = _Envelope()

    async def _content(self) -> bytes:
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise HungUpError
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    async def on_rset(self, _: str) -> None:
        """Forget the transaction."""
        self.envelope = _Envelope()
        await self.say(250, "2.0.0 Ok")

    async def on_noop(self, _: str) -> None:
        """Do nothing."""
        await self.say(250, "2.0.0 Ok")

    async def on_quit(self, _: str) -> None:
        """Part."""
        await self.say(221, "2.0.0 Bye")
        raise HungUpError

    # ------------------------------------------------------------------------ what becomes of it

    async def refuse(self, fault: Fault, message: Message, reaction: Reaction) -> None:
        """Say no."""
        self._note(message, reaction, fault.status)
        self.envelope = _Envelope()
        await self.say(fault.status, f"{fault.code} <{message.to}>: {fault.message}")
        if fault.status == 421:  # noqa: PLR2004 - RFC 5321: and I close the connection
            raise HungUpError

    async def _react(self, message: Message, reaction: Reaction) -> None:
        if reaction in KEPT:
            self.store.keep(message)
        answers = {
            Reaction.ACCEPTED: f"250 2.0.0 Ok: queued as {message.provider_message_id}\r\n",
            Reaction.EMPTY_BODY: "\r\n",
            Reaction.PROXY_PAGE: "HTTP/1.1 400 Bad Request\r\n",
        }
        accepted = reaction is Reaction.ACCEPTED
        self._note(message, reaction, 250 if accepted else None)
        if reaction is Reaction.NO_REPLY:
            await asyncio.sleep(SILENCE_SECONDS)
        if reaction not in answers:
            raise HungUpError(rude=True)
        self.writer.write(answers[reaction].encode())
        await self.writer.drain()

    def _note(self, message: Message, outcome: str, status: int | None) -> None:
        self.store.note(
            Request(message.provider, message.to, message.notification_id, outcome, status)
        )

    def _message(self, to: str) -> Message:
        return Message(
            Provider.SMTP,
            to=to,
            provider_message_id=secrets.token_hex(5).upper(),
            notification_id=self.envelope.notification_id,
            sender=self.envelope.sender,
        )


async def serve(
    store: Mailroom,
    listener: socket.socket,
    tls: ssl.SSLContext | None = None,
    *,
    at_once: bool = False,
) -> asyncio.Server:
    """Listen; ``tls`` is offered, or spoken from the first byte on if ``at_once``."""

    async def connected(reader: Reader, writer: Writer) -> None:
        session = _Session(reader, writer, store, tls, secure=at_once)
        try:
            await session.converse()
        except HungUpError as gone:
            if gone.rude:
                _reset(writer)
        except (OSError, TimeoutError, ValueError):
            pass  # the other side is free to leave, and to send what is no line
        finally:
            writer.close()

    context = tls if at_once else None
    return await asyncio.start_server(connected, sock=listener, ssl=context, limit=LONGEST_LINE)


def _reset(writer: Writer) -> None:
    peer = writer.get_extra_info("socket")
    # Lingering for zero seconds is what turns the close into a reset.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return ""
