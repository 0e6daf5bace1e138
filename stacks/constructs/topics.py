"""One SNS topic per audience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import aws_sns as sns

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from constructs import Construct


@dataclass(frozen=True)
class Topics:
    """The topics of one side.

    Attributes:
        operators: who runs the pipeline: what failed, what stands still.
        security: who answers for what crosses: what was refused, what is in quarantine.
        releases: who waits for a bundle: what arrived.
    """

    operators: sns.Topic
    security: sns.Topic
    releases: sns.Topic

    @classmethod
    def make(cls, scope: Construct, key: kms.IKey) -> Topics:
        """Make them, encrypted with `key`, TLS only."""

        def topic(name: str, audience: str) -> sns.Topic:
            return sns.Topic(
                scope, name, display_name=f"Petra: {audience}", master_key=key, enforce_ssl=True
            )

        return cls(
            operators=topic("Operators", "operators"),
            security=topic("Security", "security"),
            releases=topic("Releases", "releases"),
        )

    def environment(self) -> dict[str, str]:
        """Return the variables by which handlers find them."""
        return {
            "PETRA_TOPIC_OPERATORS": self.operators.topic_arn,
            "PETRA_TOPIC_SECURITY": self.security.topic_arn,
            "PETRA_TOPIC_RELEASES": self.releases.topic_arn,
        }

    def outputs(self) -> dict[str, str]:
        """Return the outputs by which people subscribe."""
        return {
            "OperatorsTopicArn": self.operators.topic_arn,
            "SecurityTopicArn": self.security.topic_arn,
            "ReleasesTopicArn": self.releases.topic_arn,
        }

    def arns(self) -> list[str]:
        """Return the ARNs of all."""
        return [self.operators.topic_arn, self.security.topic_arn, self.releases.topic_arn]
