"""What starts the pipeline, and what each step of both state machines is given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

#: 32 hex digits that name a run; see :func:`petra.aws.pipeline.runs.run_of`.
Run = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
_Bucket = Annotated[str, StringConstraints(min_length=3, max_length=63)]
_Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Event(BaseModel):
    """Base of all of them. Fields that are not known are passed over: events grow some."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class RunInput(Event):
    """A step of a run."""

    run: Run


class StartInput(RunInput):
    """The first step of a run: one version of one object.

    Attributes:
        bucket: where it lies.
        key: its key, as it is.
        version: its version.
    """

    bucket: _Bucket
    key: _Key
    version: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class ImageInput(RunInput):
    """A step about one image.

    Attributes:
        index: its place in the bundle, from 0.
    """

    index: int = Field(ge=0, le=10_000)


class TransferInput(RunInput):
    """The step that begins to send, or looks how far it is."""

    action: Literal["start", "poll"]


class PublishInput(RunInput):
    """The step that publishes manifests, or lets the cluster read them."""

    action: Literal["publish", "switch"]


class Failure(Event):
    """What Step Functions says of an error."""

    error: str = Field("Unknown", validation_alias=AliasChoices("Error", "error"))
    cause: str = Field("", validation_alias=AliasChoices("Cause", "cause"))


class ImageFailure(Failure):
    """… of one image's."""

    index: int = 0


class ReportInput(StartInput):
    """The step that ends a run.

    Attributes:
        outcome: how it ended.
        error: what ended it.
        failures: what ended the steps of single images.
    """

    outcome: Literal["succeeded", "refused", "failed", "stalled", "unreconciled"]
    error: Failure | None = None
    failures: tuple[ImageFailure, ...] = ()


class _Bucketed(Event):
    name: _Bucket


class _Object(Event):
    key: _Key
    version: str = Field("null", alias="version-id")
    size: int = 0


class _Detail(Event):
    bucket: _Bucketed
    object: _Object


class ObjectCreated(Event):
    """An object that was put, as EventBridge tells it.

    Source: S3 User Guide, "EventBridge event message structure". Keys are there as they are, not
    URL-encoded as in S3's own notifications.
    """

    source: Literal["aws.s3"]
    type: Literal["Object Created"] = Field(alias="detail-type")
    detail: _Detail
