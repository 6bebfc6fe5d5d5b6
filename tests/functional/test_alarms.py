"""Each alarm is told to the topic, and the runbook has its section; what they cost is said."""

import re
from collections.abc import Iterator

import pytest
from cloudformation import ROOT, resources, template
from functional.test_observability import ALARM_FILES, BURN, Json


def told_by_itself() -> Iterator[tuple[str, str, Json]]:
    """Yield each alarm that tells somebody: its file, its name and its properties."""
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for path in (*ALARM_FILES, BURN):
            for name, alarm in resources(kind, path).items():
                if path != BURN or kind.endswith("CompositeAlarm"):
                    yield path, name, alarm


def test_g14_every_alarm_is_told_to_the_topic() -> None:
    for _, _, alarm in told_by_itself():
        for actions in ("AlarmActions", "OKActions"):
            assert alarm[actions] == [{"Ref": "AlarmTopicArn"}]
    for path in ALARM_FILES:
        for alarm in resources("AWS::CloudWatch::Alarm", path).values():
            assert alarm["TreatMissingData"] == "notBreaching"
    stacks = [
        stack
        for stack in resources("AWS::CloudFormation::Stack").values()
        if stack["TemplateURL"] in ALARM_FILES
    ]
    assert len(stacks) == 9
    for stack in stacks:
        topic = {"Fn::GetAtt": "AlarmTopic.Outputs.Arn"}
        assert stack["Parameters"]["AlarmTopicArn"] == topic


def test_g14_the_topic_is_made_unless_one_is_given_and_takes_alarms_alone() -> None:
    topic = template("infra/topic.yaml")
    assert topic["Conditions"]["MakesTopic"] == {"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}
    either = {"Fn::If": ["MakesTopic", {"Ref": "Topic"}, {"Ref": "AlarmTopicArn"}]}
    assert topic["Outputs"]["Arn"]["Value"] == either
    assert topic["Resources"]["Email"]["Properties"]["TopicArn"] == either
    (policy,) = resources("AWS::SNS::TopicPolicy", "infra/topic.yaml").values()
    allowed = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
    (only,) = allowed
    assert only["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert only["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def sections() -> dict[str, str]:
    """Return the runbook's sections about alarms, by their heading."""
    told = (ROOT / "docs/runbook.md").read_text()
    parts = re.split(r"^### (\w+)$", told, flags=re.MULTILINE)[1:]
    texts = [re.split(r"^## ", text, flags=re.MULTILINE)[0] for text in parts[1::2]]
    return dict(zip(parts[::2], texts, strict=True))


def described() -> dict[str, str]:
    """Return what each alarm that tells somebody says, by the name its section must have."""
    burns = {
        name: stack["Parameters"]
        for name, stack in resources("AWS::CloudFormation::Stack").items()
        if stack["TemplateURL"] == BURN
    }
    said = {}
    for path, name, alarm in told_by_itself():
        text = alarm["AlarmDescription"]
        text = text if isinstance(text, str) else text["Fn::Sub"]
        if path != BURN:
            said[name] = text
            continue
        for stack, told in burns.items():
            said[stack] = text.replace("${Section}", told["Section"])
    return said


def test_g14_every_alarm_has_its_section_in_the_runbook_and_names_it() -> None:
    said = described()
    assert sections().keys() == said.keys()
    for name, text in said.items():
        assert text.rstrip().endswith(f"(docs/runbook.md#{name.lower()})")


def test_h13_each_section_says_what_it_means_where_to_look_what_to_do_and_when_it_is_over() -> None:
    for name, text in sections().items():
        steps = re.findall(r"^\*\*(Means|Look|Do|Over)\b", text, re.MULTILINE)
        assert steps == ["Means", "Look", "Do", "Over"], name
        assert "```console\n$ " in text, name


BURNS = [("Fast", 14.4, 3600, 300), ("Slow", 6, 21_600, 1800)]


@pytest.mark.parametrize(("speed", "rate", "long", "short"), BURNS)
def test_g19_a_budget_s_burning_is_judged_in_two_windows_of_google_s_workbook(
    speed, rate, long, short
) -> None:
    alarms = resources("AWS::CloudWatch::Alarm", BURN)
    for window, seconds in (("Long", long), ("Short", short)):
        alarm = alarms[f"{speed}{window}"]
        expression, *queries = alarm["Metrics"]
        assert alarm["Threshold"] == rate
        assert {query["MetricStat"]["Period"] for query in queries} == {seconds}
        stats = {query["Id"]: query["MetricStat"]["Stat"] for query in queries}
        assert stats == {"good": "Average", "events": "SampleCount"}
        assert "(1 - good) / ${Budget}" in expression["Expression"]["Fn::Sub"]
        assert "AlarmActions" not in alarm
    (whole,) = resources("AWS::CloudWatch::CompositeAlarm", BURN).values()
    assert (
        f'(ALARM("${{{speed}Long}}") AND ALARM("${{{speed}Short}}"))'
        in (whole["AlarmRule"]["Fn::Sub"])
    )


def test_h4_what_the_alarms_cost_is_what_operators_are_told() -> None:
    """$0.10 a month for each metric in an alarm, $0.50 for a composite one."""

    def cents(*, computed: bool) -> int:
        total = 0
        for name, stack in template()["Resources"].items():
            path = stack.get("Properties", {}).get("TemplateURL", "")
            if path not in ALARM_FILES or (stack.get("Condition") and not computed):
                continue
            for alarm in template(path)["Resources"].values():
                if alarm.get("Condition") and not computed:
                    continue
                if alarm["Type"] == "AWS::CloudWatch::CompositeAlarm":
                    total += 50
                elif alarm["Type"] == "AWS::CloudWatch::Alarm":
                    queries = alarm["Properties"].get("Metrics", [{"MetricStat": name}])
                    total += 10 * sum("MetricStat" in query for query in queries)
        return total

    told = " ".join((ROOT / "docs/operating.md").read_text().split())
    whole, least = re.findall(r"\$([\d.]+) a month for all of them, \$([\d.]+) without", told)[0]
    assert cents(computed=True) / 100 == pytest.approx(float(whole), abs=0.5)
    assert cents(computed=False) / 100 == pytest.approx(float(least), abs=0.2)
