"""The commands about money."""

from commandline import lines

COSTS = {"provider": "0.0084", "aws": "0.000014", "total": "0.008414", "currency": "USD", "sent": 2}
COST_REPORT = {
    "from": "2026-11-15",
    "to": "2026-11-21",
    "group_by": ["channel"],
    "currency": "USD",
    "as_of": {"providers": "2025-06-30", "aws": "2024-12-31", "counted": "2026-11-21"},
    "rows": [COSTS | {"channel": "sms"}],
    "totals": COSTS,
}


def test_g15_costs_tell_the_providers_share_and_aws_s(run, service) -> None:
    service.says("GET /ops/costs", COST_REPORT)
    shown = lines(run("costs", COLUMNS="100"))
    assert shown == [
        "channel  sent  providers  AWS       total USD",
        "sms      2     0.0084     0.000014  0.008414",
        "total    2     0.0084     0.000014  0.008414",
    ]


def test_g15_costs_of_nothing_are_said_to_be_none(run, service) -> None:
    service.says("GET /ops/costs", COST_REPORT | {"rows": []})
    assert lines(run("costs", "--by", "day")) == ["Nothing was sent."]
