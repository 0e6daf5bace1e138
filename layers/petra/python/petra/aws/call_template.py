"""A transfer by calls of any AWS service, written down as data.

Services that carry objects across domains have no public model. Who holds one (``AWS_DATA_PATH``)
writes down which operation starts a transfer and which one tells its state; boto3 sends the calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from petra.aws.faults import petra_errors
from petra.bundle.fields import Text  # noqa: TC001  # a model's field
from petra.encoding.models import Items, Model, reading, validate
from petra.errors import DocumentError, SettingError, TransportError
from petra.transfer.crossing import State, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.transfer.crossing import Parcel

TEMPLATE_LIMIT: Final = 1024 * 1024
_FIELD: Final = re.compile(r"\{([a-z]+)\}")
_FIELDS: Final = ("bucket", "key", "version", "digest", "size", "description", "token", "id")


class CallSpec(Model):
    """One operation."""

    operation: Text = Field(description="Its name in the service's model, such as StartTransfer.")
    parameters: dict[str, Any] = Field(
        description="Its parameters; in texts {bucket}, {key}, {version}, {digest}, {size}, "
        "{description}, {token} and, once started, {id} are filled in."
    )


class StartSpec(CallSpec):
    """The operation that starts a transfer."""

    id: Text = Field(description="Where the answer has the transfer's id, a JMESPath expression.")


class PollSpec(CallSpec):
    """The operation that tells where a transfer stands."""

    state: Text = Field(description="Where the answer has the state, a JMESPath expression.")
    done: Items[Text] = Field(min_length=1, description="States that mean: it has arrived.")
    failed: Items[Text] = Field(min_length=1, description="States that mean: it will not arrive.")
    detail: Text | None = Field(None, description="Where the answer has the reason.")


class EventSpec(Model):
    """Where an event of the service has the same things."""

    id: Text = Field(description="A JMESPath expression.")
    state: Text = Field(description="A JMESPath expression.")
    detail: Text | None = Field(None, description="A JMESPath expression.")


class ServiceSpec(Model):
    """How a service is called."""

    service: Text = Field(description="The service's name, as boto3 knows it.")
    start: StartSpec
    poll: PollSpec
    event: EventSpec | None = Field(None, description="For those that are told by events.")
    retryable: Items[Text] = Field(
        (), description="Error codes that a retry can help, besides AWS's own throttling."
    )


class CallTemplate(Model):
    """The whole document."""

    api_version: Literal["petra.sh/v1alpha1"] = Field(description="The version of this format.")
    kind: Literal["TransferCall"] = Field(description="The kind of document.")
    spec: ServiceSpec


def load_template(data: bytes, *, where: str) -> CallTemplate:
    """Return the call template in `data`, YAML.

    Raises:
        DocumentError: it is none, or a text in it names something that cannot be filled in.
    """
    document = reading(data, TEMPLATE_LIMIT, where=where, error=DocumentError)
    template = validate(CallTemplate, document.value, where=where, document=document)
    for call, known in ((template.spec.start, _FIELDS[:-1]), (template.spec.poll, _FIELDS)):
        for name in _named(call.parameters):
            if name not in known:
                raise DocumentError(
                    f"nothing fills in {{{name}}} in {call.operation}",
                    where=where,
                    expected=", ".join(f"{{{one}}}" for one in known),
                )
    return template


class CallTransfer:
    """Sends objects by the calls of a template. A :class:`petra.transfer.crossing.Transfer`.

    Args:
        client: for the template's service.
        template: the calls.
    """

    def __init__(self, client: Any, template: CallTemplate) -> None:
        self._client = client
        self._spec = template.spec

    def start(self, parcel: Parcel) -> str:
        """Call the operation that starts a transfer; return the id in its answer.

        Raises:
            TransportError: the service failed, or is busy.
            SettingError: the service refuses the call, or the answer has no id.
        """
        answer = self._call(self._spec.start, _values(parcel))
        identifier = _found(self._spec.start.id, answer)
        if not identifier:
            raise SettingError(
                "the service's answer has no transfer id",
                where=self._spec.start.operation,
                expected=self._spec.start.id,
                hint="correct spec.start.id in the call template",
            )
        return identifier

    def status(self, parcel: Parcel, identifier: str) -> Status:
        """Call the operation that tells where a transfer stands.

        Raises:
            TransportError: the service failed, or is busy.
            SettingError: the service refuses the call, or the answer has no state.
        """
        answer = self._call(self._spec.poll, {**_values(parcel), "id": identifier})
        return _status(self._spec.poll, self._spec.poll, answer, self._spec.poll.operation)

    def of_event(self, event: Mapping[str, Any]) -> tuple[str, Status]:
        """Return the transfer's id and where it stands, as an event of the service says.

        Raises:
            SettingError: the template says nothing of events, or the event lacks either.
        """
        if self._spec.event is None:
            raise SettingError("the call template has no spec.event", where=self._spec.service)
        identifier = _found(self._spec.event.id, event)
        if not identifier:
            raise SettingError("the event has no transfer id", expected=self._spec.event.id)
        return identifier, _status(self._spec.event, self._spec.poll, event, "event")

    def _call(self, call: CallSpec, values: Mapping[str, str]) -> Any:
        from botocore import xform_name  # noqa: PLC0415  # boto3 is an extra
        from botocore.exceptions import ClientError, ParamValidationError  # noqa: PLC0415

        name = xform_name(call.operation)
        if name not in self._client.meta.method_to_api_mapping:
            raise SettingError(
                f"the service has no operation {call.operation}",
                where=self._spec.service,
                hint="correct the call template, or the model that AWS_DATA_PATH leads to",
            )
        with petra_errors(doing=call.operation, where=f"service {self._spec.service}"):
            try:
                return getattr(self._client, name)(**_filled(call.parameters, values))
            except ParamValidationError as error:
                raise SettingError(
                    f"the service's model does not take the parameters of {call.operation}",
                    where=self._spec.service,
                    found=str(error).replace("\n", "; ")[:500],
                    hint="correct the call template",
                ) from None
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in self._spec.retryable:
                    raise TransportError(
                        f"{call.operation}: the service asks to try again",
                        where=self._spec.service,
                        found=code,
                    ) from None
                raise


def _values(parcel: Parcel) -> dict[str, str]:
    return {
        "bucket": parcel.bucket,
        "key": parcel.key,
        "version": parcel.version or "",
        "digest": parcel.digest.hex,
        "size": str(parcel.size),
        "description": parcel.description,
        "token": parcel.token,
    }


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _FIELD.sub(lambda match: values[match[1]], value)
    if isinstance(value, dict):
        return {key: _filled(part, values) for key, part in value.items()}
    return [_filled(part, values) for part in value] if isinstance(value, list) else value


def _named(value: Any) -> list[str]:
    if isinstance(value, str):
        return _FIELD.findall(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [name for part in parts for name in _named(part)]


def _found(expression: str, answer: Any) -> str:
    import jmespath  # noqa: PLC0415  # botocore's own, and so an extra

    try:
        found = jmespath.search(expression, answer)
    except jmespath.exceptions.JMESPathError as error:
        raise SettingError("not a JMESPath expression", where=expression, found=error) from None
    return str(found) if isinstance(found, str | int) else ""


def _status(where: PollSpec | EventSpec, states: PollSpec, answer: Any, name: str) -> Status:
    state = _found(where.state, answer)
    if not state:
        raise SettingError("no state", where=name, expected=where.state)
    detail = _found(where.detail, answer) if where.detail else ""
    text = f"{state}: {detail}" if detail else state
    if state in states.done:
        return Status(State.DONE, text)
    return Status(State.FAILED if state in states.failed else State.UNDER_WAY, text)
