"""The bench's own arithmetic. What it measures is never asserted: a test has no stopwatch."""

from typing import Any

import pytest

from benchmarks.bench import clone, counting, figures, load, main, processes, targets
from benchmarks.bench.counting import Call, Ledger, item_bytes, operation_of, write_units

Json = dict[str, Any]

SIGNED = "AWS4-HMAC-SHA256 Credential=000000000000/20261121/us-east-1/{}/aws4_request, Signature=0"
FOLDER = "tmp/ministack-lambda-carillon-local-{}-AE4AE4FB4F72B-f_m52jt6/_worker.py"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert figures.percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert figures.percentile(list(range(1, 201)), 0.99) == 198
    assert figures.percentile([7.0], 0.01) == 7.0
    assert figures.percentile([7.0], 1.0) == 7.0


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"id": {"S": "abc"}}, 5),
        ({"ü": {"S": "ü"}}, 4),
        ({"n": {"N": "1"}}, 3),
        ({"n": {"N": "-12345"}}, 6),
        ({"n": {"N": "1700000000"}}, 3),
        ({"n": {"N": "0"}}, 2),
        ({"b": {"B": "AAECAw=="}}, 5),
        ({"t": {"BOOL": True}, "u": {"NULL": True}}, 4),
        ({"s": {"SS": ["ab", "c"]}}, 4),
        ({"l": {"L": [{"S": "ab"}, {"BOOL": False}]}}, 9),
        ({"m": {"M": {"k": {"S": "v"}}}}, 7),
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(item: Json, size: int) -> None:
    assert item_bytes(item) == size


@pytest.mark.parametrize(("letters", "units"), [(0, 1), (1023, 1), (1024, 2), (2048, 3)])
def test_every_started_kilobyte_is_a_write_unit(letters: int, units: int) -> None:
    item = {"k": {"S": "x" * letters}}
    assert write_units("PutItem", {"Item": item}, {}, 200) == units
    assert write_units("UpdateItem", {}, {"Attributes": item}, 200) == units
    assert write_units("BatchWriteItem", batch(item), {}, 200) == units


def test_an_index_that_takes_the_item_is_a_write_of_its_own() -> None:
    listing = counting.Index(frozenset({"who"}), frozenset({"k", "who"}))
    item = {"k": {"S": "v"}, "who": {"S": "ada"}, "text": {"S": "x" * 2000}}
    assert write_units("PutItem", {"Item": item}, {}, 200, [listing, listing]) == 2 + 1 + 1
    del item["who"]
    assert write_units("PutItem", {"Item": item}, {}, 200, [listing]) == 2
    lost = {"__type": "ConditionalCheckFailedException"}
    assert write_units("PutItem", {"Item": item | {"who": {"S": "a"}}}, lost, 400, [listing]) == 2


def test_read_units_are_four_kilobytes_each_and_half_when_they_may_be_old() -> None:
    item = {"k": {"S": "x" * 1999}}
    assert counting.read_units("Query", {}, {"Items": [item] * 3}) == 1.0
    assert counting.read_units("Query", {"ConsistentRead": True}, {"Items": [item] * 3}) == 2.0
    assert counting.read_units("GetItem", {"ConsistentRead": True}, {}) == 1.0
    asked = {"RequestItems": {"t": {"Keys": [{}] * 4}}}
    assert counting.read_units("BatchGetItem", asked, {"Responses": {"t": [item] * 3}}) == 2.0


def test_a_transaction_takes_two_units_for_one() -> None:
    asked = {"TransactItems": [{"Put": {"Item": {"k": {"S": "v"}}}}, {"ConditionCheck": {}}]}
    assert write_units("TransactWriteItems", asked, {}, 200) == 4


def test_a_write_that_its_condition_refused_is_charged_and_any_other_failure_is_not() -> None:
    conflict = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}
    throttled = {"__type": "ProvisionedThroughputExceededException"}
    assert write_units("UpdateItem", {}, conflict, 400) == 1
    assert write_units("UpdateItem", {}, throttled, 400) == 0


def test_reading_consumes_no_write_units() -> None:
    assert write_units("GetItem", {"Key": {"k": {"S": "v"}}}, {}, 200) == 0
    assert write_units("Query", {}, {"Items": []}, 200) == 0


@pytest.mark.parametrize(
    ("service", "headers", "body", "operation"),
    [
        (
            "dynamodb",
            {"X-Amz-Target": "DynamoDB_20120810.PutItem"},
            b"{}",
            "dynamodb.PutItem",
        ),
        (
            "sqs",
            {"X-Amz-Target": "AmazonSQS.ChangeMessageVisibility"},
            b"{}",
            "sqs.ChangeMessageVisibility",
        ),
        (
            "sns",
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            b"TopicArn=arn&Action=Publish&Version=2010-03-31",
            "sns.Publish",
        ),
        ("ses", {"Content-Type": "application/json"}, b"{}", "ses./v2/email/outbound-emails"),
    ],
)
def test_a_call_is_known_by_its_signature_and_its_protocol(
    service: str, headers: dict[str, str], body: bytes, operation: str
) -> None:
    headers = headers | {"Authorization": SIGNED.format(service)}
    assert operation_of(headers, "/v2/email/outbound-emails", body) == operation


def test_an_unsigned_call_is_seen_as_such() -> None:
    assert operation_of({}, "/anything", b"") == "unsigned./anything"


def test_calls_are_divided_by_who_has_the_connection() -> None:
    calls = [Call(port, "dynamodb.UpdateItem", 200) for port in (1, 1, 2, 3)]
    by_role = Ledger(calls).by_role({1: "Email", 2: "Notifications"})
    assert by_role == {
        "worker": {"dynamodb.UpdateItem": 2},
        "intake": {"dynamodb.UpdateItem": 1},
        "other": {"dynamodb.UpdateItem": 1},
    }


def test_the_stricter_count_of_write_units_is_held_against_the_budget() -> None:
    ledger = Ledger([Call(1, "dynamodb.PutItem", 200, units_by_rule=1, units_by_cloud=2.0)])
    assert ledger.write_units() == 2.0


@pytest.mark.parametrize(
    ("publishes", "units", "within"), [(10, 40, True), (10, 41, False), (11, 10, False)]
)
def test_the_budget_is_one_publish_and_four_write_units_each(
    publishes: int, units: int, within: bool
) -> None:
    calls = [Call(1, "sns.Publish", 200)] * publishes
    calls += [Call(1, "dynamodb.PutItem", 200, units_by_rule=1)] * units
    found = main.cost(Ledger(calls), {1: "Notifications"}, count=10, batches=2)
    assert found["within_budget"] is within
    assert found["calls"]["intake"]["sns.Publish"] == publishes / 10
    assert found["calls"]["polling"]["sqs.ReceiveMessage"] == 0.2


@pytest.mark.parametrize("wrong", ["refused", "lost", "doubled", "strangers", "left_in_queues"])
def test_anything_wrong_in_any_pass_fails_the_bench(wrong: str) -> None:
    fine = dict.fromkeys(("refused", "lost", "doubled", "strangers", "left_in_queues"), 0)
    assert main.all_well([fine, fine])
    assert not main.all_well([fine, fine | {wrong: 1}])


def test_what_a_single_put_says_it_consumed_reads_like_what_a_transaction_says() -> None:
    assert counting.consumed({"ConsumedCapacity": {"CapacityUnits": 1.0}}) == 1.0
    assert counting.consumed({"ConsumedCapacity": [{"CapacityUnits": 2.0}] * 2}) == 4.0
    assert counting.consumed({}) == 0.0


def test_a_function_is_told_by_the_folder_its_worker_runs_in() -> None:
    assert processes.function_of(["python", FOLDER.format("EmailFunction")]) == "Email"
    assert processes.function_of(["python", FOLDER.format("Sweep")]) == "Sweep"
    assert processes.function_of(["python", "tmp/elsewhere/_worker.py"]) == ""
    assert processes.function_of([]) == ""


def test_the_other_processes_are_told_by_their_module() -> None:
    assert processes.part_of(["python", "-m", "ministack"]) == processes.CLOUD
    assert processes.part_of(["python", "-m", "offline.gateway", "--port", "1"]) == "the gateway"
    assert processes.part_of(["sam", "deploy"]) == ""


def test_a_pass_is_exact_when_each_notification_arrived_once() -> None:
    posts = [load.Post(0.0, 0.1, 202, name) for name in ("a", "b")]
    assert load.tally(posts, {"a": [1.0], "b": [2.0]}).exact


@pytest.mark.parametrize(
    ("answers", "arrived", "wrong"),
    [
        ([(202, "a"), (202, "b")], {"a": [1.0]}, load.Outcome(lost=1)),
        ([(202, "a")], {"a": [1.0, 2.0]}, load.Outcome(doubled=1)),
        ([(202, "a"), (503, "")], {"a": [1.0]}, load.Outcome(refused=1)),
        ([(202, "a")], {"a": [1.0], "x": [1.0]}, load.Outcome(strangers=1)),
        ([(202, "a"), (202, "a")], {"a": [1.0]}, load.Outcome(lost=1)),
    ],
)
def test_whatever_is_not_exact_is_named(
    answers: list[tuple[int, str]], arrived: dict[str, list[float]], wrong: load.Outcome
) -> None:
    posts = [load.Post(0.0, 0.1, status, name) for status, name in answers]
    outcome = load.tally(posts, arrived)
    assert outcome == wrong
    assert not outcome.exact


def test_rates_run_from_the_first_request_to_the_last_answer_and_arrival() -> None:
    posts = [load.Post(10.0, 0.5, 202, "a"), load.Post(10.5, 1.5, 202, "b")]
    measured = load.Pass(2, posts, {"a": [11.0], "b": [14.0]})
    assert measured.accepted_per_second == 1.0
    assert measured.delivered_per_second == 0.5
    assert measured.end_to_end == [1.0, 3.5]


def test_a_pass_of_which_nothing_arrived_still_has_its_figures() -> None:
    measured = load.Pass(1, [load.Post(10.0, 0.5, 202, "a")])
    assert measured.delivered_per_second == 0.0
    assert figures.in_milliseconds(measured.end_to_end) == {"count": 0}


def test_the_clone_starts_from_the_environment_of_a_fresh_shell() -> None:
    given = {"PATH": "/bin", "MAKEFLAGS": "-w", "MAKELEVEL": "1", "PORT": "1", "ONCE": "1"}
    assert clone.fresh(given | {"PYTHONPATH": "x", "SANDBOX_PORT": "2"}) == {"PATH": "/bin"}


def test_the_steps_of_a_run_are_read_from_what_it_printed() -> None:
    log = "installing .venv/dev\nsam build: 11.4 s\nsam deploy: 7.0 s\nWhat reached whom\n"
    assert clone.steps(log) == {"sam build": 11.4, "sam deploy": 7.0}


def test_what_is_counted_beside_the_path_is_not_held_against_the_budget() -> None:
    ledger = Ledger(
        [
            Call(1, "dynamodb.PutItem", 200, units_by_rule=3),
            Call(2, "dynamodb.TransactWriteItems", 200, units_by_rule=40),
            Call(3, "dynamodb.BatchWriteItem", 200, units_by_rule=13),
        ]
    )
    functions = {1: "Notifications", 2: "Counting", 3: "Listing"}
    found = main.cost(ledger, functions, count=1, batches=0)
    assert (found["write_units"], found["write_units_of_analytics"]) == (3, 40)
    assert found["write_units_of_lists"] == 13
    assert found["within_budget"]
    assert found["calls"]["analytics"] == {"dynamodb.TransactWriteItems": 1}


FAST: Json = {
    "post_ms": {"1": {"p99": 99.9}},
    "delivered_per_s": 16.7,
    "posts": 1000,
    "outcome": {"refused": 1, "lost": 4},
}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, set()),
        ({"post_ms": {"1": {"p99": 100.0}}}, {"answer to a notification, warm, p99"}),
        ({"post_ms": {"1": {"count": 0}}}, {"answer to a notification, warm, p99"}),
        ({"delivered_per_s": 16.6}, {"delivered"}),
        ({"outcome": {"refused": 2, "lost": 4}}, {"delivery success"}),
    ],
)
def test_g19_each_target_is_met_or_missed_with_its_figure(change: Json, missed: set[str]) -> None:
    judged = targets.judge(FAST | change)
    assert {name for name, of in judged.items() if not of["met"]} == missed
    assert judged["delivered"]["measured"] == round((FAST | change)["delivered_per_s"] * 60, 1)


def batch(item: Json) -> Json:
    return {"RequestItems": {"table": [{"PutRequest": {"Item": item}}]}}
