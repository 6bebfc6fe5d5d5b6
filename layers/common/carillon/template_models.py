"""Templates as requests have them: their parts, their versions, and what to do with them."""

from typing import Annotated, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from carillon.messages import To
from carillon.models import Channel, ChannelName, Locale, Name, Strict, UserId, VersionNumber

Source = Annotated[str, StringConstraints(min_length=1, max_length=32_768)]
Heading = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class EmailPart(Strict):
    """An email: its subject and at least one body."""

    subject: Heading
    html: Source | None = None
    text: Source | None = None

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.html is None and self.text is None:
            raise ValueError("an email needs html, text, or both")
        return self


class SmsPart(Strict):
    """A text message."""

    text: Source


class PushPart(Strict):
    """A push notification."""

    title: Heading
    body: Source


class InappPart(Strict):
    """An entry of the user's inbox."""

    title: Heading
    body: Source
    action_url: Heading | None = None


class Parts(Strict):
    """A template's parts, one per channel it can be sent by."""

    email: EmailPart | None = None
    sms: SmsPart | None = None
    push: PushPart | None = None
    inapp: InappPart | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give the part of at least one channel")
        return self


class VersionRequest(Strict):
    """PUT /templates/{code}: other parts for one language, as a new version.

    ``variables_schema`` (JSON Schema, draft 2020-12) and ``category``, that of notifications which
    name none, stay as they are in use unless given; ``{}`` is a schema that everything fits.
    """

    language: Locale = "en"
    content: Source | None = None
    parts: Parts | None = None
    variables_schema: dict[str, JsonValue] | None = None
    category: Name | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.content is None) == (self.parts is None):
            raise ValueError("give either content or parts")
        return self


class TemplateRequest(VersionRequest):
    """POST /templates: ``content`` is one text for every channel, ``parts`` one part for each."""

    code: Name


class ActivateRequest(Strict):
    """POST /templates/{code}/activate: the version to use from now on."""

    version: VersionNumber


class RenderRequest(Strict):
    """POST /templates/{code}/render: what it would say, in one channel or in all it has."""

    variables: dict[str, JsonValue] = Field(default_factory=dict)
    channel: ChannelName | None = None
    locale: Locale | None = None
    version: VersionNumber | None = None


class TestRecipient(To):
    """One address, or the user whose own is to be used."""

    user_id: UserId | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give one of email, phone, push_token, user_id")
        return self


class TestSendRequest(Strict):
    """POST /templates/{code}/test-send: one real message, to see it where it will be seen."""

    channel: ChannelName
    to: TestRecipient
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    locale: Locale | None = None
    version: VersionNumber | None = None

    @model_validator(mode="after")
    def _address_of_the_channel(self) -> Self:
        addresses = {
            Channel.EMAIL: self.to.email,
            Channel.SMS: self.to.phone,
            Channel.PUSH: self.to.push_token,
        }
        if self.to.user_id is None and addresses.get(self.channel) is None:
            raise ValueError(f"to has no address for {self.channel}")
        return self
