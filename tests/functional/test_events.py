"""Every file in events/ works with its function: they are documentation and input at once."""

from importlib import import_module

import pytest
from cloudformation import ROOT, resources

NAMES = sorted(path.stem for path in (ROOT / "events").glob("*.json"))
FOLDERS = {
    folder.rpartition("/")[2]: folder
    for folder in (f["CodeUri"] for f in resources("AWS::Serverless::Function").values())
}
READERS = {
    "listing-accepted": "HistoryTable",
    "counting-accepted": "CountersTable",
    "counting-ended": "CountersTable",
}
"""What those that read streams write, who answer nothing."""
CHANNELS = {"email", "sms", "push"}


@pytest.mark.parametrize("name", [n for n in NAMES if n.partition("-")[0] not in CHANNELS])
def test_a_sample_event_works_with_its_function(prepared, sample, context, name, here) -> None:
    folder = FOLDERS[name.partition("-")[0]]
    module = import_module(f"{folder.replace('/', '.')}.handler")
    if name == "authorizer-token":
        with pytest.raises(Exception, match=r"^Unauthorized$"):  # its token was never given out
            module.lambda_handler(sample(name), context)
        return
    answer = module.lambda_handler(sample(name), context)
    if name in READERS:
        assert prepared.items(READERS[name])
        return
    expected = {
        "inapp-batch": None,
        "jobs-batch": None,
        "sweep": None,
        "deadletters-batch": None,
        "deadletters-clock": None,
        "redrives-step": None,
        "migrations-dry-run": None,
        "inbox-patch": 404,
        "notifications-read": 404,
        "templates-create": 409,
        "clients-add-key": 404,
        # Of an account, and with tokens, that there never were.
        "auth-login": 401,
        "auth-refresh": 401,
        "auth-logout": 401,
        "auth-token": 401,
    }
    if name in expected:
        assert answer.get("statusCode") == expected[name]
    else:
        assert 200 <= answer["statusCode"] < 300
