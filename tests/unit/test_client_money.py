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


BUDGET = {
    "scope": "client:shop",
    "amount": "250",
    "currency": "USD",
    "when_spent": "degrade",
    "includes_mandatory": False,
    "month": "2026-11",
    "spent": "208.4",
    "share": 0.8336,
    "is_spent": False,
    "frees_at": "2026-12-01T00:00:00.000Z",
    "actor": "admin",
    "set_at": "2026-11-21T09:31:00.000Z",
}
SHOWN = [
    "scope        month    budget   spent  of it   then     mandatory",
    "client:shop  2026-11  250 USD  208.4  83.4 %  degrade  goes on",
]


def test_g15_a_budget_is_set_by_its_scope_and_amount(run, service) -> None:
    service.says("PUT /ops/budgets/client:shop", BUDGET)
    shown = lines(run("budget", "set", "client:shop", "250", "--degrade", COLUMNS="100"))
    assert shown == SHOWN
    assert service.asked[-1][1] == {
        "amount": "250",
        "when_spent": "degrade",
        "includes_mandatory": False,
    }


def test_g15_budgets_are_listed_and_removed(run, service) -> None:
    service.says("GET /ops/budgets", [BUDGET])
    assert lines(run("budget", "list", COLUMNS="100")) == SHOWN
    service.says("DELETE /ops/budgets/tenant", None)
    assert lines(run("budget", "remove", "tenant")) == ["tenant  has no budget"]


def test_g15_no_budget_is_said_to_be_none(run, service) -> None:
    service.says("GET /ops/budgets", [])
    assert lines(run("budget", "list")) == ["There are none."]
