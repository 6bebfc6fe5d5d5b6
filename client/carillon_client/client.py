"""The two clients. They differ in waiting alone; all else is said once, in their operations."""

from collections.abc import AsyncIterator, Iterator

from carillon_client.access import Access
from carillon_client.analytics import Analytics
from carillon_client.errors import NotEnded
from carillon_client.models import DeadLetterJob, NotificationStatus
from carillon_client.money import Money
from carillon_client.notifications import Notifications
from carillon_client.operations import Operators
from carillon_client.retries import polls
from carillon_client.sessions import Sessions
from carillon_client.templates import Templates
from carillon_client.transport import Async, Sync
from carillon_client.users import Users

WAIT = 60.0


class Operations(Notifications, Users, Templates, Access, Sessions, Analytics, Operators, Money):
    """All that either client can ask for."""


class Carillon(Operations, Sync):
    """A client of the API at ``base_url``; use it with ``with``, or ``close`` it.

    Args:
        base_url: Where the API is, before ``/api/v1``.
        token: An API token or a user's access token; never shown in a repr or a log.
        timeout: Seconds for an answer.
        retries: How often a request is tried again (retries.py says which, and when).
        correlation_id: Sent with every request, and found in the service's logs.
        transport: Another httpx transport.
        sleep: What waits between two tries.
    """

    def watch(self, notification_id: str, timeout: float = WAIT) -> Iterator[NotificationStatus]:
        """Yield where a notification stands until it ended; raises NotEnded."""
        for pause in polls(timeout):
            status = self.get(notification_id)
            yield status
            if status.ended:
                return
            self._sleep(pause)
        raise NotEnded(status)

    def wait(self, notification_id: str, timeout: float = WAIT) -> NotificationStatus:
        """Return the notification when every delivery ended; raises NotEnded."""
        return list(self.watch(notification_id, timeout))[-1]

    def watch_job(self, job_id: str, timeout: float = WAIT) -> Iterator[DeadLetterJob]:
        """Yield how far a redrive or a discard is until it ended; raises NotEnded."""
        for pause in polls(timeout):
            job = self.dead_letter_job(job_id)
            yield job
            if job.ended:
                return
            self._sleep(pause)
        raise NotEnded(job)


class AsyncCarillon(Operations, Async):
    """The same for asyncio: methods are awaited, lists iterated with ``async for``."""

    async def watch(
        self,
        notification_id: str,
        timeout: float = WAIT,  # noqa: ASYNC109 - as Carillon.watch
    ) -> AsyncIterator[NotificationStatus]:
        """Yield where a notification stands until it ended; raises NotEnded."""
        for pause in polls(timeout):
            status = await self.get(notification_id)
            yield status
            if status.ended:
                return
            await self._sleep(pause)
        raise NotEnded(status)

    async def wait(
        self,
        notification_id: str,
        timeout: float = WAIT,  # noqa: ASYNC109 - as Carillon.wait
    ) -> NotificationStatus:
        """Return the notification when every delivery ended; raises NotEnded."""
        return [status async for status in self.watch(notification_id, timeout)][-1]

    async def watch_job(
        self,
        job_id: str,
        timeout: float = WAIT,  # noqa: ASYNC109 - as Carillon.watch_job
    ) -> AsyncIterator[DeadLetterJob]:
        """Yield how far a redrive or a discard is until it ended; raises NotEnded."""
        for pause in polls(timeout):
            job = await self.dead_letter_job(job_id)
            yield job
            if job.ended:
                return
            await self._sleep(pause)
        raise NotEnded(job)
