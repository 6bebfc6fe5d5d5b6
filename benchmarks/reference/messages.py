"""What the API takes, and what it hands to the worker."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

QUEUE: Final = "emails"

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class NotificationRequest(BaseModel):
    """One notification, checked as ours is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Annotated[str, Field(min_length=1, max_length=128)]
    channels: Annotated[list[Literal["email"]], Field(min_length=1, max_length=4)]
    template_code: Name
    variables: dict[str, Any]
    category: Name
    metadata: dict[str, Any] = {}


class Accepted(BaseModel):
    """The notification's name, by which it can be told apart at the provider."""

    notification_id: str


class Answer(BaseModel):
    """The body of a 202."""

    data: Accepted


class Job(BaseModel):
    """What is queued."""

    notification_id: str
    request: NotificationRequest
