"""``carillon dlq``: what was given up, sent again or put away."""

from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from carillon_client.cli import views
from carillon_client.cli.session import Exit, Session, command
from carillon_client.models import DeadLetter, DeadLetterGroup, DeadLetterJob

group = typer.Typer(no_args_is_help=True)

Channel = Annotated[str | None, typer.Option("--channel", "-c", help="Of this channel.")]
Code = Annotated[str | None, typer.Option(help="With this error.")]
Template = Annotated[str | None, typer.Option("--template", "-t", help="Of this template.")]
Kind = Annotated[str | None, typer.Option("--fingerprint", "-f", help="Of this group.")]
Of = Annotated[str | None, typer.Option("--id", help="Of this notification.")]
When = Annotated[datetime | None, typer.Option(help="Given up then; in local time.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, and count nothing first.")]
Timeout = Annotated[float, typer.Option(help="Seconds to follow it for; 0 begins it alone.")]


@command(group, "list")
def list_(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    channel: Channel = None,
    code: Code = None,
    template: Template = None,
    fingerprint: Kind = None,
    notification_id: Of = None,
    since: When = None,
    until: When = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 25,
) -> None:
    """List the messages that were given up, newest first."""
    found = session.client.dead_letters(
        channel=channel,
        code=code,
        template=template,
        fingerprint=fingerprint,
        notification_id=notification_id,
        since=since,
        until=until,
        limit=min(limit, 100),
    )
    first = list(islice(found, limit))
    columns = ("at (UTC)", "id", "via", "template", "tries", "why")
    session.show(first, views.table(columns, map(_letter, first)) if first else "None stands.")


@command(group)
def groups(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    channel: Channel = None,
    code: Code = None,
    template: Template = None,
    since: When = None,
    until: When = None,
) -> None:
    """Count what was given up, by channel, error and template."""
    found = session.client.dead_letter_groups(
        channel=channel, code=code, template=template, since=since, until=until
    )
    columns = ("fingerprint", "letters", "via", "template", "code", "newest (UTC)")
    drawn = views.table(columns, map(_group, found.groups)) if found.groups else "None stands."
    session.show(found, drawn, *([] if found.complete else ["And more than was counted."]))


@command(group)
def redrive(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    channel: Channel = None,
    code: Code = None,
    template: Template = None,
    fingerprint: Kind = None,
    notification_id: Of = None,
    since: When = None,
    until: When = None,
    rate: Annotated[int, typer.Option(min=1, max=100, help="Letters per second.")] = 10,
    yes: Yes = False,
    timeout: Timeout = 600,
) -> None:
    """Send what fits again; without a filter everything."""
    letters = _filter(channel, code, template, fingerprint, notification_id, since, until)
    if not yes:
        counted = session.client.redrive(letters, rate_per_second=rate, dry_run=True)
        _confirm(counted, "Send again")
    job = session.client.redrive(letters, rate_per_second=rate)
    _follow(session, job, timeout)


@command(group)
def discard(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    reason: Annotated[str, typer.Option(help="Kept with each delivery.")],
    channel: Channel = None,
    code: Code = None,
    template: Template = None,
    fingerprint: Kind = None,
    notification_id: Of = None,
    since: When = None,
    until: When = None,
    yes: Yes = False,
    timeout: Timeout = 600,
) -> None:
    """Put what fits away, for good; without a filter everything."""
    letters = _filter(channel, code, template, fingerprint, notification_id, since, until)
    if not yes:
        _confirm(session.client.discard(letters, reason=reason, dry_run=True), "Put away")
    _follow(session, session.client.discard(letters, reason=reason), timeout)


def _filter(  # noqa: PLR0913, PLR0917 - what can be asked for
    channel: str | None,
    code: str | None,
    template: str | None,
    fingerprint: str | None,
    notification_id: str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    return {
        "channel": channel,
        "code": code,
        "template": template,
        "fingerprint": fingerprint,
        "notification_id": notification_id,
        "since": since,
        "until": until,
    }


def _confirm(counted: DeadLetterJob, what: str) -> None:
    """Ask whether it is meant; nothing to do needs no question."""
    if not counted.total:
        typer.echo("No letter fits.", err=True)
        raise typer.Exit(Exit.DONE)
    letters = "letter" if counted.total == 1 else "letters"
    typer.confirm(f"{what} {counted.total} {letters}?", abort=True, err=True)


def _follow(session: Session, job: DeadLetterJob, timeout: float) -> None:
    """Show how far the job is until it has ended; exit 1 when some of it failed."""
    if timeout:
        drawn = session.out.is_terminal and not session.as_json
        job = _draw(session, job, timeout) if drawn else _wait(session, job, timeout)
    session.show(job, _told(job))
    if job.failed:
        raise typer.Exit(Exit.REFUSED)


def _draw(session: Session, job: DeadLetterJob, timeout: float) -> DeadLetterJob:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=session.out, transient=True) as progress:
        task = progress.add_task(job.kind, total=job.total)
        for seen in session.client.watch_job(str(job.job_id), timeout):
            progress.update(task, completed=seen.done + seen.failed, total=seen.total)
    return seen


def _wait(session: Session, job: DeadLetterJob, timeout: float) -> DeadLetterJob:
    *_, last = session.client.watch_job(str(job.job_id), timeout)
    return last


def _told(job: DeadLetterJob) -> str:
    failed = f", {job.failed} failed" if job.failed else ""
    return f"{job.job_id}  {job.kind} {job.status}  {job.done} of {job.total}{failed}"


def _letter(one: DeadLetter) -> list[views.Cell]:
    at = views.minute(one.parked_at)
    why = f"{one.code} {one.reason}"
    return [at, one.letter_id, one.channel, one.template_code, str(one.attempts), why]


def _group(one: DeadLetterGroup) -> list[views.Cell]:
    newest = views.minute(one.newest)
    return [one.fingerprint, str(one.count), one.channel, one.template_code, one.code, newest]
