"""Properties of every resource in every template, whatever the settings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from petra.aws.metering import emit
from petra.aws.metrics import SIDE, Metric, Side
from stacks.settings import ROOT
from stacks.unalarmed import WITHOUT_ALARM
from tests.infra.conftest import run, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.infra.conftest import Template

#: Synthesis takes a minute where others work too.
pytestmark = pytest.mark.timeout(600)

#: Actions that know no resources, or none before they are called.
ANYWHERE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "ecr:GetAuthorizationToken",
    "ecs:DiscoverPollEndpoint",
    "ssm:ListCommands",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def every(templates: list[Template], *kinds: str) -> Iterator[tuple[str, dict[str, Any], Template]]:
    count = 0
    for template in templates:
        for name, each in template.of(*kinds).items():
            count += 1
            yield f"{template.region} {template.name} {name}", each.get("Properties", {}), template
    assert count, f"no {kinds} in any template"


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    return as_list(document["Statement"])


def granted(templates: list[Template]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every policy of a role."""
    for where, properties, _ in every(templates, "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for each in statements(properties["PolicyDocument"]):
            yield where, each
    for where, properties, _ in every(templates, "AWS::IAM::Role"):
        for policy in properties.get("Policies", []):
            for each in statements(policy["PolicyDocument"]):
                yield where, each


def refusing_plain_http(document: dict[str, Any]) -> bool:
    return any(
        each["Effect"] == "Deny"
        and each.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
        for each in statements(document)
    )


def test_every_bucket_is_versioned_encrypted_and_closed(templates: list[Template]) -> None:
    for where, bucket, _ in every(templates, "AWS::S3::Bucket"):
        rule = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        algorithm = rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if "AccessLogs" in where else "aws:kms"), where
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}, where
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, where
        ownership = bucket["OwnershipControls"]["Rules"]
        assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}], where


def test_every_bucket_ends_uploads_that_were_never_finished(templates: list[Template]) -> None:
    for where, bucket, _ in every(templates, "AWS::S3::Bucket"):
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), where


def test_every_bucket_refuses_plain_http_and_old_tls(templates: list[Template]) -> None:
    for template in templates:
        policies = {
            each["Properties"]["Bucket"]["Ref"]: each["Properties"]["PolicyDocument"]
            for each in template.of("AWS::S3::BucketPolicy").values()
        }
        for name in template.of("AWS::S3::Bucket"):
            assert refusing_plain_http(policies[name]), name
            assert "s3:TlsVersion" in json.dumps(policies[name]), name


def test_evidence_is_locked_and_nothing_else_must_be(templates: list[Template]) -> None:
    for where, bucket, _ in every(templates, "AWS::S3::Bucket"):
        if "Evidence" in where:
            retention = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
            assert bucket["ObjectLockEnabled"] is True, where
            assert retention["Days"] >= 365, where


def test_every_queue_is_encrypted_and_refuses_plain_http(templates: list[Template]) -> None:
    for where, queue, template in every(templates, "AWS::SQS::Queue"):
        assert "KmsMasterKeyId" in queue, where
        policies = json.dumps([*template.of("AWS::SQS::QueuePolicy").values()])
        assert where.rpartition(" ")[2] in policies
    for where, policy, _ in every(templates, "AWS::SQS::QueuePolicy"):
        assert refusing_plain_http(policy["PolicyDocument"]), where


def test_every_queue_that_is_read_has_a_dead_letter_queue(templates: list[Template]) -> None:
    for template in templates:
        queues = template.of("AWS::SQS::Queue")
        for source in template.of("AWS::Lambda::EventSourceMapping").values():
            name = source["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]
            assert "RedrivePolicy" in queues[name]["Properties"], name
            assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_every_topic_is_encrypted_and_refuses_plain_http(templates: list[Template]) -> None:
    for where, topic, _ in every(templates, "AWS::SNS::Topic"):
        assert "KmsMasterKeyId" in topic, where
    for where, policy, _ in every(templates, "AWS::SNS::TopicPolicy"):
        assert refusing_plain_http(policy["PolicyDocument"]), where


def test_every_table_is_encrypted_and_can_be_recovered(templates: list[Template]) -> None:
    for where, table, _ in every(templates, "AWS::DynamoDB::Table"):
        assert table["SSESpecification"]["SSEType"] == "KMS", where
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], where


def test_every_log_group_is_encrypted_and_ends(templates: list[Template]) -> None:
    for where, group, _ in every(templates, "AWS::Logs::LogGroup"):
        assert group["RetentionInDays"] > 0, where
        assert "KmsKeyId" in group, where


def test_every_symmetric_key_rotates(templates: list[Template]) -> None:
    for where, key, _ in every(templates, "AWS::KMS::Key"):
        if key.get("KeyUsage") != "SIGN_VERIFY":
            assert key["EnableKeyRotation"] is True, where
        else:
            assert key["KeySpec"] == "ECC_NIST_P256", where


def test_no_role_has_an_action_with_a_star(templates: list[Template]) -> None:
    for where, each in granted(templates):
        for action in as_list(each["Action"]):
            assert "*" not in action, f"{where}: {action}"


def test_only_actions_that_know_no_resources_are_allowed_on_all(templates: list[Template]) -> None:
    for where, each in granted(templates):
        if "*" in as_list(each["Resource"]):
            assert set(as_list(each["Action"])) <= ANYWHERE, where


@pytest.mark.parametrize("role", ["AssembleBundleRole", "SignBundleRole", "TaskRole"])
def test_who_packs_a_bundle_may_tag_it_with_its_digest(
    templates: list[Template], role: str
) -> None:
    for template in (each for each in templates if each.name == "PetraConnected"):
        actions = {
            action
            for name, policy in template.of("AWS::IAM::Policy").items()
            if name.startswith(role)
            for each in statements(policy["Properties"]["PolicyDocument"])
            if "Outbox" in json.dumps(each["Resource"])
            for action in as_list(each["Action"])
        }
        assert {"s3:PutObject", "s3:PutObjectVersionTagging", "s3:AbortMultipartUpload"} <= actions


def test_nobody_may_delete_but_where_manifests_are_switched(templates: list[Template]) -> None:
    for where, each in granted(templates):
        for action in as_list(each["Action"]):
            if action.startswith("s3:Delete") or action == "s3:BypassGovernanceRetention":
                assert "PublishPlatformRole" in where, f"{where}: {action}"


def test_no_role_has_a_managed_policy_of_aws(templates: list[Template]) -> None:
    for where, role, _ in every(templates, "AWS::IAM::Role"):
        assert "ManagedPolicyArns" not in role, where


def test_the_boundary_of_the_settings_is_on_every_role(templates: list[Template]) -> None:
    inside = [each for each in templates if each.region == "us-iso-east-1"]
    for where, role, _ in every(inside, "AWS::IAM::Role"):
        assert role["PermissionsBoundary"].endswith(":policy/boundary"), where


def test_every_role_is_for_one_service(templates: list[Template]) -> None:
    for where, role, _ in every(templates, "AWS::IAM::Role"):
        (trust,) = statements(role["AssumeRolePolicyDocument"])
        assert trust["Action"] == "sts:AssumeRole", where
        assert set(trust["Principal"]) == {"Service"}, where


def test_every_function_is_traced_logged_and_named_in_a_machine(templates: list[Template]) -> None:
    for where, function, template in every(templates, "AWS::Lambda::Function"):
        name = where.rpartition(" ")[2]
        assert function["TracingConfig"] == {"Mode": "Active"}, where
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in template.of("AWS::Logs::LogGroup")
        assert function["Handler"] == "handler.handler", where
        callers = json.dumps(
            [
                *template.of("AWS::StepFunctions::StateMachine").values(),
                *template.of("AWS::Lambda::EventSourceMapping").values(),
            ]
        )
        assert f'"{name}"' in callers, f"{where} is called by nothing"


def test_functions_of_a_vpc_are_all_in_it(templates: list[Template]) -> None:
    inside = [each for each in templates if each.region == "us-iso-east-1"]
    for where, function, _ in every(inside, "AWS::Lambda::Function"):
        assert function["VpcConfig"]["SubnetIds"], where


def test_variables_stay_within_what_lambda_takes(templates: list[Template]) -> None:
    for where, function, _ in every(templates, "AWS::Lambda::Function"):
        variables = function["Environment"]["Variables"]
        assert len(json.dumps(variables)) < 4096, where


def test_machines_are_traced_and_logged(templates: list[Template]) -> None:
    for where, machine, _ in every(templates, "AWS::StepFunctions::StateMachine"):
        assert machine["TracingConfiguration"] == {"Enabled": True}, where
        logging = machine["LoggingConfiguration"]
        assert logging["Level"] == "ALL", where
        assert logging["IncludeExecutionData"] is False, where


def test_every_placeholder_of_a_machine_stands_for_something(templates: list[Template]) -> None:
    for where, machine, _ in every(templates, "AWS::StepFunctions::StateMachine"):
        asked = set(re.findall(r"\$\{(\w+)\}", machine["DefinitionString"]))
        assert asked == set(machine["DefinitionSubstitutions"]), where


def test_every_function_that_a_machine_names_exists_as_a_folder(templates: list[Template]) -> None:
    for where, machine, template in every(templates, "AWS::StepFunctions::StateMachine"):
        definition = machine["DefinitionString"]
        for name in set(re.findall(r'"FunctionName": "\$\{(\w+)\}"', definition)):
            arn = machine["DefinitionSubstitutions"][name]["Fn::GetAtt"][0]
            assert arn in template.of("AWS::Lambda::Function"), f"{where}: {name}"
            folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
            assert (ROOT / "lambdas" / folder).is_dir(), folder


def test_no_template_names_a_partition_or_its_domain(templates: list[Template]) -> None:
    for template in templates:
        given = json.dumps(settings(template.region))
        for found in re.findall(r"arn:aws[a-z-]*:[^\"]*", template.text):
            assert found in given, f"{template.region} {template.name}: {found}"
        principals = re.findall(r'"Service": "([^"]+)"', template.text)
        rest = re.sub(r'"Service": ("[^"]+"|\[[^]]*\])', "", template.text)
        rest = rest.replace('"iam:PassedToService": "ecs-tasks.amazonaws.com"', "")
        assert "amazonaws.com" not in rest, f"{template.region} {template.name}"
        assert "c2s.ic.gov" not in rest
        assert principals or "Data" in template.name


def test_the_sides_share_nothing(templates: list[Template]) -> None:
    for template in templates:
        other = "Classified" if "Connected" in template.name else "Connected"
        assert f"Petra{other}" not in template.text, template.name


def test_the_sender_may_write_and_nothing_else(templates: list[Template]) -> None:
    (data,) = (
        each
        for each in templates
        if (each.region, each.name) == ("us-isob-east-1", "PetraClassifiedData")
    )
    given = [
        each
        for policy in data.of("AWS::S3::BucketPolicy").values()
        for each in statements(policy["Properties"]["PolicyDocument"])
        if "petra-transfer" in json.dumps(each)
    ]
    assert [each["Action"] for each in given] == ["s3:PutObject"]
    assert json.dumps(given[0]["Resource"]).count("/in/*") == 1


def alarmed(template: Template) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each alarm on a metric of ours."""
    for alarm in template.of("AWS::CloudWatch::Alarm").values():
        found = alarm["Properties"]
        if not found["Namespace"].startswith("AWS/"):
            dimensions = {each["Name"]: each["Value"] for each in found["Dimensions"]}
            yield found["Namespace"], found["MetricName"], dimensions


def emitted(side: Side, metric: Metric, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a handler writes for CloudWatch when it emits `metric`."""
    emit(side, {metric: 1}, stage="resolve" if metric is Metric.STAGE_SECONDS else None)
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_every_alarm_is_on_a_metric_just_as_handlers_emit_it(
    templates: list[Template], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = 0
    for template in templates:
        for namespace, name, dimensions in alarmed(template):
            seen += 1
            found = emitted(Side(dimensions[SIDE]), Metric(name), capsys)
            (directive,) = found["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == namespace
            assert [each["Name"] for each in directive["Metrics"]] == [name]
            assert [set(each) for each in directive["Dimensions"]] == [set(dimensions)]
            assert {key: found[key] for key in dimensions} == dimensions
            assert dimensions[SIDE] in template.name.lower()
    assert seen


def test_every_metric_has_an_alarm_or_a_reason_for_none(templates: list[Template]) -> None:
    with_alarm = {name for template in templates for _, name, _ in alarmed(template)}
    assert with_alarm | set(WITHOUT_ALARM) == set(Metric)
    assert with_alarm & set(WITHOUT_ALARM) == set()


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_is_emitted_by_some_handler(metric: Metric) -> None:
    sources = (ROOT / "layers" / "petra" / "python" / "petra" / "aws").rglob("*.py")
    texts = [file.read_text() for file in sources if file.name not in ("metrics.py", "metering.py")]
    assert any(f"Metric.{metric.name}" in text for text in texts)


def test_every_entry_for_an_alarm_has_that_alarm(templates: list[Template]) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    part = runbook.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    entries = set(re.findall(r"^### (.+)$", part, flags=re.MULTILINE))
    rung = set(re.findall(r"docs/runbook.md#([a-z-]+)", "".join(each.text for each in templates)))
    assert entries == rung


def test_every_alarm_tells_somebody_and_names_its_runbook_entry(
    templates: list[Template],
) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    for where, alarm, _ in every(templates, "AWS::CloudWatch::Alarm"):
        assert alarm["AlarmActions"], where
        assert alarm["OKActions"] == alarm["AlarmActions"], where
        entry = re.search(r"docs/runbook.md#([a-z-]+)$", alarm["AlarmDescription"])
        assert entry, where
        assert f"### {entry[1]}\n" in runbook, entry[1]


def test_every_alarm_of_the_project_is_there(templates: list[Template]) -> None:
    for region in {each.region for each in templates}:
        text = "".join(each.text for each in templates if each.region == region)
        for entry in (
            "verification-failed", "quarantine-not-empty", "dead-letters", "machine-failed",
            "machine-timed-out", "transfer-stalled", "release-failed", "scan-database-old",
            "last-success",
        ):  # fmt: skip
            assert f"runbook.md#{entry}" in text, f"{region}: {entry}"


@pytest.mark.usefixtures("_cdk")
def test_a_rule_that_is_broken_stops_synthesis(tmp_path: Path) -> None:
    planted = settings("us-gov-west-1") | {"classified": None}
    done = run(tmp_path, {"planted": planted})
    assert done.status != 0
    assert "AwsSolutions-S10" in done.output


@pytest.mark.parametrize("region", ["us-iso-east-1"])
def test_without_fargate_the_task_runs_on_instances(templates: list[Template], region: str) -> None:
    (pipeline,) = (
        each for each in templates if (each.region, each.name) == (region, "PetraConnected")
    )
    assert pipeline.of("AWS::AutoScaling::AutoScalingGroup")
    (machine,) = pipeline.of("AWS::StepFunctions::StateMachine").values()
    assert machine["Properties"]["DefinitionSubstitutions"]["LaunchType"] == "EC2"
