"""What each sample event is answered by its function, on a stack that has the samples.

The table is a story, told from its top: what an event needs is there from the start or from one
above it, and what breaks others comes last.
"""

from typing import Any

CLIENT = "3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11"
DONE: dict[str, Any] = {"batchItemFailures": []}
# An event's answer: its status, or what the function returns.
EXPECTED: dict[str, Any] = {
    "health-alive": 200,
    "health-dependencies": 200,
    "health-metrics": 200,
    "docs-openapi": 200,
    "docs-page": 200,
    "docs-redoc": 200,
    "authorizer-token": {"principalId": CLIENT},
    "auth-register": 409,  # the samples' account is there from the start
    "auth-login": 200,
    "auth-token": 200,
    "auth-refresh": 401,  # a token's time is short: these two have run out
    "auth-logout": 401,
    "clients-list": 200,
    "clients-register": 201,
    "clients-add-key": 201,
    "templates-create": 409,  # as is their template
    "templates-read": 200,
    "templates-render": 200,
    "users-put": 200,
    "users-put-preferences": 200,
    "users-push-token": 201,
    "inbox-read": 200,
    "inbox-patch": 200,
    "inbox-read-all": 204,
    "notifications-read": 200,
    "notifications-send": 202,
    "notifications-test-send": 202,
    "seeds-notify": 202,
    "email-batch": DONE,
    "sms-batch": DONE,
    "push-batch": DONE,
    "inapp-batch": DONE,
    "listing-accepted": None,
    "counting-accepted": None,
    "counting-ended": None,
    "analytics-deliveries": 200,
    "sweep": {"mended": 0},
    "deadletters-batch": DONE,
    "deadletters-clock": DONE,
    "operations-slo": 200,
    "operations-groups": 200,
    "operations-audit": 200,
    "operations-redrive": 202,
    "redrives-step": DONE,
    "migrations-dry-run": {"done": True, "changed": 0},
    "jobs-batch": DONE,
    "users-export": 202,
    "operations-switch": 200,
    "suppressions-put": 200,
    "users-erase": 202,
}
