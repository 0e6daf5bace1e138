"""What the handlers of one side are told by its stack: one JSON text in ``PETRA_SETTINGS``.

The stacks write it out of ``cdk.json`` (see :mod:`stacks.settings` in the repository), the
handlers read it; both by these models, so that neither can know a setting that the other does not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from petra.encoding.models import Items, Model

_Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
_Host = Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?$", max_length=253)]
_Source = Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._/-]+)?$")]
_Prefix = Annotated[str, Field(pattern=r"^([a-z0-9._-]+/)*[a-z0-9._-]*$", max_length=128)]

MIB = 1024 * 1024
GIB = 1024 * MIB
#: Step Functions keeps 25,000 events of an execution; a look in a loop costs up to nine.
POLLS = 2000


class Limits(Model):
    """Bounds of what one run takes on."""

    images: int = Field(200, ge=1, le=500, description="Images in one bundle.")
    bundle_bytes: int = Field(200 * GIB, ge=MIB, le=45 * 1024 * GIB, description="Of one bundle.")
    spec_bytes: int = Field(256 * 1024, ge=1024, le=4 * MIB, description="Of an uploaded spec.")


class Transfer(Model):
    """How a bundle leaves the connected side.

    Attributes:
        mode: ``none`` leaves it in the outbox for media, guard or diode to fetch; ``copy`` copies
            inside S3; ``service`` calls an AWS service by a template of calls.
        bucket: where ``copy`` copies to.
        template: file name of the template of calls, in the folder of the configuration.
        max_bytes: of one object; larger bundles are cut in chunks. None: never.
        deadline_minutes: after which a transfer counts as stalled.
        poll_seconds: between two looks at a transfer.
    """

    mode: Literal["none", "copy", "service"] = "none"
    bucket: _Bucket | None = None
    template: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+\.ya?ml$")
    max_bytes: int | None = Field(None, ge=MIB)
    deadline_minutes: int = Field(720, ge=1, le=10080)
    poll_seconds: int = Field(60, ge=1, le=3600)

    @model_validator(mode="after")
    def _whole(self) -> Transfer:
        if self.mode == "copy" and not self.bucket:
            raise ValueError("transfer mode copy needs `bucket`, the landing bucket")
        if self.mode == "service" and not self.template:
            raise ValueError("transfer mode service needs `template`, a file of the configuration")
        _bounded(self.deadline_minutes, self.poll_seconds)
        return self


def _bounded(minutes: int, seconds: int) -> None:
    """Refuse a loop of more looks than a history holds."""
    if minutes * 60 > seconds * POLLS:
        raise ValueError(f"more than {POLLS:,} polls until the deadline: poll less often")


class ConnectedSettings(Model):
    """What the connected side's handlers know.

    Attributes:
        limits: of a run.
        transfer: how a bundle leaves.
        sources: hosts, or HOST/PATH and all below, that specs may name: of images and of charts.
        plain_http: registries that are spoken to without TLS (the demo's).
        registry_secret: name of the secret with Docker's ``config.json``.
        task_bytes: from this size on the task makes the bundle.
    """

    limits: Limits = Limits()
    sources: Items[_Source] = ("cgr.dev",)
    plain_http: Items[_Host] = ()
    registry_secret: str | None = Field(None, pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$")
    transfer: Transfer = Transfer()
    task_bytes: int = Field(
        4 * GIB, ge=MIB, description="Bundles from this size on are packed by the ECS task."
    )


class Cluster(Model):
    """The cluster on the other side.

    Attributes:
        secret: name of the secret in Secrets Manager that holds a kubeconfig, as its whole text.
        receiver: URL of Flux's Receiver, if it is told that way instead of through the API.
        receiver_secret: name of the secret with the Receiver's token.
    """

    secret: str | None = Field(None, pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$")
    receiver: str | None = Field(None, pattern=r"^https?://[^\s@]+$")
    receiver_secret: str | None = Field(None, pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$")


class ClassifiedSettings(Model):
    """What the classified side's handlers know.

    Attributes:
        registry: host of the registry for images and charts; ``ecr`` is the account's own.
        prefix: put before every repository there.
        plain_http: hosts that are spoken to without TLS (the demo's).
        registry_secret: name of the secret with Docker's ``config.json`` for it.
        charts: ``registry`` or ``depot``, the bucket that Flux reads.
        manifests: ``registry`` or ``depot``.
        cluster: None where nothing is told, and Flux finds what is new by its own interval.
        release_minutes: after which releases that are not ready count as failed.
        poll_seconds: between two looks at the releases.
        arrival_hours: how long an incomplete set of files may wait for the rest.
    """

    limits: Limits = Limits()
    registry: _Host | Literal["ecr"] = "ecr"
    prefix: _Prefix = ""
    plain_http: Items[_Host] = ()
    registry_secret: str | None = Field(None, pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$")
    charts: Literal["registry", "depot"] = "registry"
    manifests: Literal["registry", "depot"] = "depot"
    cluster: Cluster | None = None
    release_minutes: int = Field(30, ge=1, le=1440)
    poll_seconds: int = Field(20, ge=1, le=3600)
    arrival_hours: int = Field(72, ge=1, le=720)

    @model_validator(mode="after")
    def _with_bounded_loop(self) -> ClassifiedSettings:
        _bounded(self.release_minutes, self.poll_seconds)
        return self
