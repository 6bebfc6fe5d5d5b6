"""The bodies of the source systems' routes, in the source systems' own words.

They say which fields there are. What a value must be is for the route that an alias stands for:
its refusal is passed on.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, RootModel, StrictBool, StrictInt

from carillon.models import ChannelName, IdempotencyKey, Name, Shape, Strict, UserId
from carillon.people import PreferencesRequest

Text = Annotated[str, Field(max_length=65_536)]
Variables = dict[str, JsonValue]


# --- the distributed notification system's gateway ------------------------------------------


class SendRequest(Strict):
    """POST /api/notifications/send-notification."""

    notification_type: Literal["email", "push"]
    user_id: UserId
    template_code: Name
    variables: Variables
    request_id: IdempotencyKey
    priority: StrictInt | None = None
    metadata: Variables | None = None


class SendResult(Shape):
    """Where it was routed to."""

    success: bool
    routingKey: str  # noqa: N815 - the source's spelling


class SendAnswer(Shape):
    """It waits to be sent."""

    request_id: str
    status: Literal["pending"]
    type: str
    user: str
    result: SendResult


class StatusReport(Strict):
    """POST /api/notifications/{id}/status."""

    notificationId: Text  # noqa: N815 - the source's spelling
    channel: Text
    status: Text
    messageId: Text | None = None  # noqa: N815
    errorMessage: Text | None = None  # noqa: N815


class ReferencedReport(StatusReport):
    """POST /{reference}/status: the same, of what the path names."""

    notificationId: Text | None = None  # type: ignore[assignment]  # noqa: N815


class StatusOut(Shape):
    """Where a delivery stands."""

    notificationId: str  # noqa: N815
    channel: str
    status: str
    messageId: str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815
    createdAt: str  # noqa: N815


class StatusAnswer(Shape):
    """A status that was kept."""

    success: bool
    result: StatusOut


class StatusesAnswer(Shape):
    """The status as it is now."""

    success: bool
    statuses: StatusOut


class SignupPreferences(Strict):
    """The channels that somebody wants."""

    email: StrictBool | None = None
    push: StrictBool | None = None
    sms: StrictBool | None = None


class SignupRequest(Strict):
    """POST /api/user/signup."""

    email: Text
    password: Text
    preferences: SignupPreferences | None = None


class SignIn(Strict):
    """POST /api/user/login and /api/users/login/."""

    email: Text
    password: Text


class Entered(Shape):
    """Who has signed up or logged in."""

    id: str
    email: str
    token: str | None = None


# --- its user service -----------------------------------------------------------------------


class NewUser(Strict):
    """POST /api/users/register/."""

    email: Text
    full_name: Text
    password: Text


class RegisteredUser(Shape):
    """The new user."""

    user_id: str
    email: str


class SinglePage(Shape):
    """The source's paging, of one object."""

    total: int = 1
    limit: int = 1
    page: int = 1
    total_pages: int = 1
    has_next: bool = False
    has_previous: bool = False


class RegisterAnswer(Shape):
    """The source's envelope."""

    success: bool
    message: str
    data: RegisteredUser
    error: None
    meta: SinglePage


class UserAnswer(Shape):
    """A user."""

    id: str
    email: str
    full_name: str


class LoginAnswer(Shape):
    """Tokens, and whose."""

    refresh: str
    access: str
    user: UserAnswer


class RefreshToken(Strict):
    """POST /api/users/refresh/."""

    refresh: Text


class AccessAnswer(Shape):
    """The next access token."""

    access: str


class WholePreferences(Strict):
    """PUT /api/users/{id}/preferences/. No ``categories`` means no restriction."""

    email_notifications: StrictBool
    push_notifications: StrictBool
    sms_notifications: StrictBool
    categories: list[Name]


class SomePreferences(Strict):
    """PATCH of the same: what is to change."""

    email_notifications: StrictBool | None = None
    push_notifications: StrictBool | None = None
    sms_notifications: StrictBool | None = None
    categories: list[Name] | None = None


class PreferencesAnswer(Shape):
    """What the user wants."""

    email_notifications: bool
    push_notifications: bool
    sms_notifications: bool
    categories: list[str]


class DeviceRequest(Strict):
    """POST /api/users/{id}/push-tokens/."""

    fcm_token: Text
    platform: Literal["android", "ios", "web", "other"]
    device_id: Text | None = None


class DeviceAnswer(Shape):
    """A registered device."""

    id: str
    device_id: str | None
    fcm_token: str
    platform: str
    is_active: bool
    created_at: str


# --- its template and push services ---------------------------------------------------------


class NewTemplate(Strict):
    """POST /templates/."""

    code: Name
    content: Text
    language: Text | None = None


class TemplateAnswer(Shape):
    """A template."""

    id: int
    code: str
    content: str
    language: str


class BareVariables(RootModel[dict[str, Any]]):
    """POST /render/{code}: the variables themselves."""


class RenderAnswer(Shape):
    """What the template says with them."""

    rendered: str


class PushRequest(Strict):
    """POST /send/."""

    request_id: IdempotencyKey
    user_id: UserId
    template_code: Name
    variables: Variables
    priority: StrictInt | None = None
    metadata: Variables | None = None


class PushAnswer(Shape):
    """It is queued."""

    success: bool
    message: Literal["queued"]


# --- the notification service ---------------------------------------------------------------


class MessageRequest(Strict):
    """POST /notifications."""

    type: ChannelName
    to: Text | None = None
    message: Text
    user_id: UserId


class MessageAnswer(Shape):
    """What was accepted."""

    id: str
    type: str
    to: str | None
    message: str
    user_id: str
    status: str


class InboxMessage(Shape):
    """An in-app notification."""

    id: str
    type: Literal["inapp"]
    message: str
    user_id: str
    created_at: str


class InboxMessages(RootModel[list[InboxMessage]]):
    """A page of them, newest first; ``Link`` leads to the next."""


# --- Alertora -------------------------------------------------------------------------------


class ClientAnswer(Shape):
    """The client and its token, which is shown only now."""

    client_id: str
    api_token: str


class NotifyRequest(Strict):
    """POST /notify."""

    recipient_id: Text
    notification_type: Name
    channel: ChannelName
    content: Text


class NotifyAnswer(Shape):
    """It was accepted."""

    message: Literal["Notification accepted"]


class UserPreferencesRequest(PreferencesRequest):
    """POST /preferences: whose, and what they want; what is not given stays."""

    user_id: UserId


class UserPreferences(Shape):
    """What a user wants."""

    user_id: str
    channels: dict[str, bool]
    categories: dict[str, bool | dict[str, bool]]


class Words(Shape):
    """A refusal in Alertora's form."""

    message: str
