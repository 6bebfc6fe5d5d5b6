"""The table: which route of a source system is which of ours, and how it refuses."""

from collections.abc import Mapping
from functools import partial

from carillon.client_models import ClientRequest
from carillon.models import UserId
from carillon.seeds import alertora, distributed, service
from carillon.seeds import models as m
from carillon.seeds.asking import Alias, Source
from carillon.seeds.targets import (
    ADD_DEVICE,
    CREATE_TEMPLATE,
    LOGIN,
    PATCH_PREFERENCES,
    READ,
    READ_INBOX,
    READ_PREFERENCES,
    READ_TEMPLATE,
    READ_USER,
    REFRESH,
    REGISTER_CLIENT,
    REGISTER_USER,
    RENDER,
    REPORT,
    SEND,
)

# It states 500 for all that is our fault, and 400 for most that is the caller's.
DISTRIBUTED = Source("distributed notification system", codes={422: 400, 502: 500, 503: 500})
SERVICE = Source("notification service", names={"channels": "type", "to": "to"})
ALERTORA = Source(
    "Alertora",
    codes={415: 400, 422: 400},
    names={
        "channels": "channel",
        "message": "content",
        "category": "notification_type",
        "user_id": "recipient_id",
        "to": "recipient_id",
    },
    words={
        "missing-body": "Missing JSON body",
        "malformed-json": "Missing JSON body",
        "unsupported-media-type": "Missing JSON body",
        "unauthorized": "Unauthorized",
        "preference-rejected": "User preference rejected",
        "preferences-unreadable": "Failed to fetch user preferences",
    },
)
_TO_CHANNEL = {"channels": "notification_type"}
_REPORTED = {"message_id": "messageId", "error_message": "errorMessage"}
_BOTH = (400, 401, 403, 404)
_PAGE: Mapping[str, object] = {"limit": int, "cursor": str}

_distributed = partial(Alias, DISTRIBUTED)
_alertora = partial(Alias, ALERTORA)

ALIASES = (
    _distributed(
        "POST",
        "/api/notifications/send-notification",
        SEND,
        "Send by email or push",
        distributed.send,
        m.SendAnswer,
        m.SendRequest,
        status=202,
        refusals=(*_BOTH, 500),
        names=_TO_CHANNEL,
    ),
    _distributed(
        "POST",
        "/api/notifications/{notification_id}/status",
        REPORT,
        "Report what became of a notification",
        distributed.report,
        m.StatusAnswer,
        m.StatusReport,
        refusals=(*_BOTH, 500),
        codes={"illegal-transition": 400},
        names=_REPORTED,
    ),
    _distributed(
        "GET",
        "/api/notifications/{notification_id}/statuses",
        READ,
        "Where a notification stands",
        distributed.statuses,
        m.StatusesAnswer,
        refusals=(401, 403, 404, 500),
    ),
    _distributed(
        "POST",
        "/api/user/signup",
        REGISTER_USER,
        "Register a user",
        distributed.sign_up,
        m.Entered,
        m.SignupRequest,
        status=201,
        refusals=(400, 401, 500),
        codes={"email-taken": 400},
        names={"preferences/channels": "preferences"},
    ),
    _distributed(
        "POST",
        "/api/user/login",
        LOGIN,
        "Log in",
        distributed.gateway_login,
        m.Entered,
        m.SignIn,
        refusals=(400, 401, 429, 500),
    ),
    _distributed(
        "POST",
        "/api/users/register",
        REGISTER_USER,
        "Register a user",
        distributed.register,
        m.RegisterAnswer,
        m.NewUser,
        status=201,
        refusals=(400, 401, 500),
        codes={"email-taken": 400},
    ),
    _distributed(
        "POST",
        "/api/users/login",
        LOGIN,
        "Log in",
        distributed.login,
        m.LoginAnswer,
        m.SignIn,
        refusals=(400, 401, 429, 500),
    ),
    _distributed(
        "POST",
        "/api/users/refresh",
        REFRESH,
        "Get the next access token",
        distributed.refresh,
        m.AccessAnswer,
        m.RefreshToken,
        refusals=(400, 401, 500),
    ),
    _distributed(
        "GET",
        "/api/users/{user_id}",
        READ_USER,
        "A user",
        distributed.read_user,
        m.UserAnswer,
        refusals=(401, 403, 404, 500),
    ),
    _distributed(
        "GET",
        "/api/users/{user_id}/preferences",
        READ_PREFERENCES,
        "A user's preferences",
        distributed.read_preferences,
        m.PreferencesAnswer,
        refusals=(401, 403, 404, 500),
    ),
    _distributed(
        "PUT",
        "/api/users/{user_id}/preferences",
        PATCH_PREFERENCES,
        "Replace a user's preferences",
        distributed.change_preferences,
        m.PreferencesAnswer,
        m.WholePreferences,
        refusals=(*_BOTH, 500),
    ),
    _distributed(
        "PATCH",
        "/api/users/{user_id}/preferences",
        PATCH_PREFERENCES,
        "Change some of a user's preferences",
        distributed.change_preferences,
        m.PreferencesAnswer,
        m.SomePreferences,
        refusals=(*_BOTH, 500),
    ),
    _distributed(
        "POST",
        "/api/users/{user_id}/push-tokens",
        ADD_DEVICE,
        "Register a device",
        distributed.add_device,
        m.DeviceAnswer,
        m.DeviceRequest,
        status=201,
        refusals=(*_BOTH, 500),
    ),
    _distributed(
        "POST",
        "/templates",
        CREATE_TEMPLATE,
        "Create a template",
        distributed.create_template,
        m.TemplateAnswer,
        m.NewTemplate,
        status=201,
        refusals=(400, 401, 403, 500),
        codes={"template-exists": 400},
        names={"parts": "content"},
    ),
    _distributed(
        "GET",
        "/templates/{code}",
        READ_TEMPLATE,
        "A template",
        distributed.read_template,
        m.TemplateAnswer,
        refusals=(400, 401, 403, 500),
        codes={404: 400},
    ),
    _distributed(
        "POST",
        "/render/{code}",
        RENDER,
        "What a template says",
        distributed.render,
        m.RenderAnswer,
        m.BareVariables,
        refusals=(400, 401, 403, 404, 422, 500),
        codes={422: 422},
        names={"variables": ""},
    ),
    _distributed(
        "POST",
        "/send",
        SEND,
        "Push to a user's devices",
        distributed.push,
        m.PushAnswer,
        m.PushRequest,
        status=202,
        refusals=(401, 403, 404, 422, 500),
        codes={400: 422, 422: 422},
        names={"to": "metadata/push_token", "title": "metadata/title"},
    ),
    _distributed(
        "POST",
        "/{notification_id}/status",
        REPORT,
        "Report what became of a notification",
        distributed.report,
        m.StatusAnswer,
        m.ReferencedReport,
        refusals=(*_BOTH, 500),
        codes={"illegal-transition": 400},
        names=_REPORTED,
    ),
    Alias(
        SERVICE,
        "POST",
        "/notifications",
        SEND,
        "Send to a numbered user",
        service.send,
        m.MessageAnswer,
        m.MessageRequest,
        status=202,
        refusals=(400, 401, 403, 422, 503),
    ),
    Alias(
        SERVICE,
        "GET",
        "/users/{user_id}/notifications",
        READ_INBOX,
        "A user's in-app notifications, newest first",
        service.inbox,
        m.InboxMessages,
        query=_PAGE,
        refusals=(400, 401, 403, 503),
    ),
    *(
        alias
        for base in ("", "/api/v1")
        for alias in (
            _alertora(
                "POST",
                f"{base}/register",
                REGISTER_CLIENT,
                "Register a client",
                alertora.register,
                m.ClientAnswer,
                ClientRequest,
                status=201,
                refusals=(400, 401, 403, 409, 503),
                names={"service_name": "service_name"},
            ),
            _alertora(
                "POST",
                f"{base}/notify",
                SEND,
                "Send a notification",
                alertora.notify,
                m.NotifyAnswer,
                m.NotifyRequest,
                status=202,
                refusals=(*_BOTH, 502, 503),
            ),
            _alertora(
                "GET",
                f"{base}/preferences",
                READ_PREFERENCES,
                "A user's preferences",
                alertora.read_preferences,
                m.UserPreferences,
                needs={"user_id": UserId},
                refusals=(*_BOTH, 503),
                names={"user_id": "user_id"},
            ),
            _alertora(
                "POST",
                f"{base}/preferences",
                PATCH_PREFERENCES,
                "Change a user's preferences",
                alertora.change_preferences,
                m.UserPreferences,
                m.UserPreferencesRequest,
                refusals=(*_BOTH, 503),
                names={"user_id": "user_id"},
            ),
        )
    ),
)
"""Every route, the most general last: ``POST /{reference}/status`` is a wildcard at the root."""

_BY_ROUTE = {(alias.method, alias.path): alias for alias in ALIASES}


def find(method: str, path: str) -> Alias | None:
    """Return the alias of a method and a path as template.yaml has them."""
    return _BY_ROUTE.get((method, path))
