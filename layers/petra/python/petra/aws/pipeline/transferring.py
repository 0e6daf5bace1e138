"""Sends a bundle's files across, group by group; looks how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from petra.aws.call_template import CallTransfer, load_template
from petra.aws.objects import Place
from petra.aws.pipeline.status import tell
from petra.aws.s3_copy import S3Copy
from petra.content.digest import Digest
from petra.errors import SettingError, TransportError
from petra.transfer.crossing import Parcel, State

if TYPE_CHECKING:
    from petra.aws.pipeline.sides import Connected
    from petra.transfer.crossing import Transfer

_STATE: Final = "transfer-state.json"


def transfer_run(side: Connected, run: str, action: str) -> dict[str, Any]:
    """Begin to send a run's files, or look how far they are and go on with the next group.

    What announces a set is sent when the set has arrived.

    Args:
        side: the connected side.
        run: the run.
        action: ``start`` or ``poll``.

    Returns:
        ``run`` and ``done``.

    Raises:
        TransportError: a transfer failed.
        PetraError: the service refuses.
    """
    runs = side.runs(run)
    listed = runs.read_json("transfer.json")
    plan = runs.read_json("plan.json")
    transfer = _transfer(side, plan["stem"])
    if transfer is None:
        return {"run": run, "done": True}
    state = runs.find_json(_STATE) or {"group": 0, "ids": {}, "done": []}
    if action == "start":
        tell(side.s3, side.staging, runs.read_json("origin.json"), side.now, stage="transfer")
    while state["group"] < len(listed["groups"]):
        parcels = [
            _parcel(side, plan, one)
            for one in listed["groups"][state["group"]]
            if one["name"] not in state["done"]
        ]
        _go_on(transfer, parcels, state)
        runs.put_json(_STATE, state)
        if not {one.key.rpartition("/")[2] for one in parcels} <= set(state["done"]):
            return {"run": run, "done": False}
        state["group"] += 1
    runs.put_json(_STATE, state)
    return {"run": run, "done": True}


def _go_on(transfer: Transfer, parcels: list[Parcel], state: dict[str, Any]) -> None:
    """Start what was not started, and note what has arrived."""
    for parcel in parcels:
        name = parcel.key.rpartition("/")[2]
        if name not in state["ids"]:
            state["ids"][name] = transfer.start(parcel)
        found = transfer.status(parcel, state["ids"][name])
        if found.state is State.FAILED:
            raise TransportError(
                "the transfer of an object failed",
                where=f"s3://{parcel.bucket}/{parcel.key}",
                expected="an object on the other side",
                found=f"{found.detail or 'failed'} (transfer {state['ids'][name]})",
                hint="read what the service says of that transfer",
            )
        if found.state is State.DONE:
            state["done"].append(name)


def _transfer(side: Connected, stem: str) -> Transfer | None:
    how = side.settings.transfer
    if how.mode == "none":
        return None
    if how.mode == "copy":
        return S3Copy(side.s3, Place(str(how.bucket), f"in/{stem}/"))
    if how.template is None:
        raise SettingError("no template of calls", where="transfer.template")
    template = load_template(side.config.read(how.template), where=how.template)
    return CallTransfer(side.client(template.spec.service), template)


def _parcel(side: Connected, plan: dict[str, Any], one: dict[str, Any]) -> Parcel:
    return Parcel(
        bucket=side.outbox,
        key=one["key"],
        version=one["version"],
        size=one["size"],
        digest=Digest.parse(one["digest"], where="transfer.json"),
        description=f"{plan['name']} {plan['bundleVersion']}",
    )
