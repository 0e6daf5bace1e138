"""Both sides' stacks in one app; neither refers to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import (
    Environment,
    IReusableStackSynthesizer,
    Tags,
)
from aws_cdk import aws_iam as iam

from stacks.classified import Classified
from stacks.classified_data import ClassifiedData
from stacks.connected import Connected
from stacks.connected_data import ConnectedData
from stacks.constructs.acknowledged import check
from stacks.settings import deployment

if TYPE_CHECKING:
    from aws_cdk import App, Stack

    from stacks.settings import ClassifiedSide, ConnectedSide, Side


def build(app: App, synthesizer: IReusableStackSynthesizer | None = None) -> list[Stack]:
    """Make the stacks that the context's ``petra`` describes.

    Args:
        app: with that context.
        synthesizer: None: the usual one, which needs ``cdk bootstrap``.

    Raises:
        SettingError: the settings are not usable.
    """
    settings = deployment(app.node.try_get_context("petra"))
    made: list[Stack] = []
    if settings.connected:
        made += _connected(app, settings.connected, synthesizer)
    if settings.classified:
        made += _classified(app, settings.classified, synthesizer)
    check(app, made)
    return made


def _connected(
    app: App, side: ConnectedSide, synthesizer: IReusableStackSynthesizer | None
) -> list[Stack]:
    common = _common(side, synthesizer)
    data = ConnectedData(app, f"{side.name}ConnectedData", side=side, **common)
    pipeline = Connected(app, f"{side.name}Connected", side=side, data=data, **common)
    return _finished(side, data, pipeline)


def _classified(
    app: App, side: ClassifiedSide, synthesizer: IReusableStackSynthesizer | None
) -> list[Stack]:
    common = _common(side, synthesizer)
    data = ClassifiedData(app, f"{side.name}ClassifiedData", side=side, **common)
    pipeline = Classified(app, f"{side.name}Classified", side=side, data=data, **common)
    return _finished(side, data, pipeline)


def _common(side: Side, synthesizer: IReusableStackSynthesizer | None) -> dict[str, Any]:
    return {
        "env": Environment(account=side.account, region=side.region),
        "analytics_reporting": False,
        "termination_protection": side.retain,
        **({"synthesizer": synthesizer} if synthesizer else {}),
    }


def _finished(side: Side, *stacks: Stack) -> list[Stack]:
    for stack in stacks:
        Tags.of(stack).add("petra", "pipeline")
        if side.permissions_boundary:
            boundary = iam.ManagedPolicy.from_managed_policy_arn(
                stack, "Boundary", side.permissions_boundary
            )
            iam.PermissionsBoundary.of(stack).apply(boundary)
    return [*stacks]
