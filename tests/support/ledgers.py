"""Stamps and events of a receiver's ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from petra.content.digest import Digest
from petra.load.ledger import Event, Stamp

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def stamp(serial: int, *, name: str = "shop", signer: str = "ours", seed: str = "") -> Stamp:
    """Return the stamp of a bundle; another `seed` gives another bundle of the same serial."""
    digest = Digest.of(f"{name} {serial} {signer} {seed}".encode())
    return Stamp(name=name, version=f"1.{serial}.0", serial=serial, signer=signer, digest=digest)


def event(kind: Any, bundle: Stamp, *, to: Stamp | None = None) -> Event:
    """Return an event."""
    return Event(time=NOON, event=kind, bundle=bundle, to=to.digest if to else None)


def loaded(*bundles: Stamp) -> list[Event]:
    """Return the events of loads one after the other."""
    kinds = ("begun", "complete")
    return [event(kind, one) for one in bundles for kind in kinds]
