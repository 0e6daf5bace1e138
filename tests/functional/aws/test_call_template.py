"""Calls from a template, on an invented service whose model AWS_DATA_PATH leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from petra.aws.call_template import CallTransfer, load_template
from petra.aws.clients import service_client
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.encoding.yaml import dump_yaml
from petra.errors import DocumentError, SettingError, TransportError
from petra.transfer.crossing import Limits, Parcel, State, carry
from tests.support.clock import Clock
from tests.support.invented_service import SERVICE, Ferryman, running_ferryman, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARCEL = Parcel("outbox", "a/app.tar.zst", "v7", 12, Digest.of(b"app"), "app 1.0")


def _template(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "service": SERVICE,
        "start": {
            "operation": "BoardCargo",
            "parameters": {
                "Cargo": {"Shore": "{bucket}", "Name": "{key}"},
                "Passage": "{token}",
                "Note": "{description}, {size} bytes, version {version}",
            },
            "id": "Voyage.Number",
        },
        "poll": {
            "operation": "AskCargo",
            "parameters": {"Number": "{id}"},
            "state": "Water",
            "done": ["ASHORE"],
            "failed": ["SUNK"],
            "detail": "Why",
        },
        "event": {"id": "detail.number", "state": "detail.water"},
        "retryable": ["HighSeas"],
    }
    for section, change in changes.items():
        spec[section] = {**spec[section], **change} if isinstance(change, dict) else change
    return {"apiVersion": "petra.sh/v1alpha1", "kind": "TransferCall", "spec": spec}


@pytest.fixture
def ferryman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ferryman]:
    monkeypatch.setenv("AWS_DATA_PATH", str(write_model(tmp_path / "models")))
    with running_ferryman() as service:
        yield service


def _transfer(ferryman: Ferryman, **changes: Any) -> CallTransfer:
    template = load_template(dump_yaml(_template(**changes)), where="call.yaml")
    client = service_client(SERVICE, where="call.yaml", endpoint=ferryman.url)
    return CallTransfer(client, template)


def _carry(transfer: CallTransfer) -> Clock:
    clock = Clock()
    carry(transfer, [[PARCEL]], Limits(), NoProgress(), clock)
    return clock


def test_every_field_of_the_template_is_filled_in(ferryman: Ferryman) -> None:
    _carry(_transfer(ferryman))
    assert ferryman.calls[0] == (
        "BoardCargo",
        {
            "Cargo": {"Shore": "outbox", "Name": "a/app.tar.zst"},
            "Passage": PARCEL.token,
            "Note": "app 1.0, 12 bytes, version v7",
        },
    )
    assert ferryman.calls[1] == ("AskCargo", {"Number": f"v-{PARCEL.token[:8]}"})


def test_it_is_watched_until_it_has_arrived(ferryman: Ferryman) -> None:
    ferryman.looks = 3
    _carry(_transfer(ferryman))
    assert [operation for operation, _ in ferryman.calls].count("AskCargo") == 4


def test_sending_again_starts_nothing_new(ferryman: Ferryman) -> None:
    transfer = _transfer(ferryman)
    _carry(transfer)
    _carry(transfer)
    assert len(ferryman.voyages) == 1


def test_what_the_service_lost_is_told_in_its_words(ferryman: Ferryman) -> None:
    ferryman.sunk = ("a/app.tar.zst",)
    with pytest.raises(TransportError) as caught:
        _carry(_transfer(ferryman))
    assert "SUNK: too heavy" in str(caught.value)


def test_an_error_that_the_template_calls_passing_is_tried_again(ferryman: Ferryman) -> None:
    ferryman.failures = ["HighSeas", "HighSeas"]
    _carry(_transfer(ferryman))
    assert len(ferryman.voyages) == 1


def test_any_other_error_of_the_service_ends_it(ferryman: Ferryman) -> None:
    ferryman.failures = ["NoSuchShore"]
    with pytest.raises(SettingError) as caught:
        _carry(_transfer(ferryman))
    assert "NoSuchShore: not now" in str(caught.value)
    assert len(ferryman.calls) == 1


def test_parameters_that_the_model_does_not_know_are_named(ferryman: Ferryman) -> None:
    transfer = _transfer(ferryman, start={"parameters": {"Cargoo": "x"}})
    with pytest.raises(SettingError) as caught:
        _carry(transfer)
    assert 'Unknown parameter in input: "Cargoo"' in str(caught.value)
    assert ferryman.calls == []


@pytest.mark.parametrize("name", ["SwimAcross", "Meta", "GeneratePresignedUrl"])
def test_an_operation_that_the_service_lacks_is_named(ferryman: Ferryman, name: str) -> None:
    with pytest.raises(SettingError, match=f"no operation {name}"):
        _carry(_transfer(ferryman, start={"operation": name}))


def test_an_answer_without_the_id_is_a_fault_of_the_template(ferryman: Ferryman) -> None:
    with pytest.raises(SettingError, match="no transfer id"):
        _carry(_transfer(ferryman, start={"id": "Voyage.Name"}))


def test_an_event_says_the_same_as_a_look(ferryman: Ferryman) -> None:
    transfer = _transfer(ferryman)
    identifier, status = transfer.of_event({"detail": {"number": "v-1", "water": "ASHORE"}})
    assert (identifier, status.state) == ("v-1", State.DONE)
    assert transfer.of_event({"detail": {"number": "v-1", "water": "SUNK"}})[1].state == "failed"
    assert transfer.of_event({"detail": {"number": "v-1", "water": "?"}})[1].state == "under-way"
    with pytest.raises(SettingError, match="no transfer id"):
        transfer.of_event({"detail": {}})


def test_a_field_that_nothing_fills_in_is_refused_at_once() -> None:
    document = _template(start={"parameters": {"Note": ["{bucket} {secret}"]}})
    with pytest.raises(DocumentError, match=r"nothing fills in \{secret\}") as caught:
        load_template(dump_yaml(document), where="call.yaml")
    assert "{token}" in str(caught.value)


def test_the_id_is_not_known_when_a_transfer_starts() -> None:
    with pytest.raises(DocumentError, match=r"nothing fills in \{id\} in BoardCargo"):
        load_template(
            dump_yaml(_template(start={"parameters": {"Passage": "{id}"}})), where="call.yaml"
        )


def test_a_service_without_a_model_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    with pytest.raises(SettingError, match="AWS_DATA_PATH"):
        service_client(SERVICE, where="call.yaml")
