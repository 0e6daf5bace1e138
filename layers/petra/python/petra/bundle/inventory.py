"""A receiver's inventory: the blobs that it holds, proven and signed. Bundle format, section 7.

The sender leaves out of the next bundle what the inventory lists. It is a file of its own, signed
as a bundle is, and the same content always gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, model_validator

from petra.bundle.fields import (
    API_VERSION,
    INTEGER_LIMIT,
    DigestField,
    Label,
    Moment,
    Text,
    Version,
)
from petra.bundle.metadata import HeldBlob
from petra.encoding.json import dump_json, load_json
from petra.encoding.models import FieldError, Items, Model, to_value, validate
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from petra.content.digest import Digest

#: Some three hundred thousand blobs.
INVENTORY_LIMIT: Final = 64 * 1024 * 1024


class HeldBundle(Model):
    """A bundle whose blobs the receiver holds, as far as the inventory lists them."""

    name: Label
    version: Version
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    signer: Text = Field(description="The SHA-256 fingerprint of the key that signed it, hex.")
    digest: DigestField = Field(description="Of the whole file.")


class Inventory(Model):
    """The whole document.

    Attributes:
        name: the receiver's.
        serial: grows with each load; a later inventory of the same receiver has no smaller one.
        bundles: sorted by name, serial and digest.
        blobs: each once, sorted by digest.
    """

    api_version: Literal["petra.sh/v1alpha1"] = API_VERSION
    kind: Literal["Inventory"] = "Inventory"
    name: Label
    serial: int = Field(ge=0, le=INTEGER_LIMIT)
    created: Moment
    bundles: Items[HeldBundle] = ()
    blobs: Items[HeldBlob] = ()

    @model_validator(mode="after")
    def _sorted(self) -> Inventory:
        digests = [blob.digest for blob in self.blobs]
        if digests != sorted(set(digests)):
            raise FieldError("the blobs are not sorted by digest, each once")
        return self


def new_inventory(
    name: str,
    serial: int,
    created: datetime,
    bundles: Iterable[HeldBundle],
    blobs: Mapping[Digest, int],
) -> Inventory:
    """Return the inventory of a receiver.

    Args:
        name: the receiver's.
        serial: see :class:`Inventory`.
        created: the time.
        bundles: whose blobs were looked for, in any order.
        blobs: what is there, sizes in bytes by digest.
    """
    unique = {bundle.digest: bundle for bundle in bundles}.values()
    return Inventory(
        name=name,
        serial=serial,
        created=created,
        bundles=tuple(sorted(unique, key=lambda one: (one.name, one.serial, one.digest))),
        blobs=tuple(HeldBlob(digest=one, size=blobs[one]) for one in sorted(blobs)),
    )


def load_inventory(data: bytes, *, where: str) -> Inventory:
    """Return the inventory in `data`, whose signature was verified.

    Raises:
        FormatError: it is no such document.
    """
    return validate(Inventory, load_json(data, where=where), where=where, error=FormatError)


def dump_inventory(inventory: Inventory) -> bytes:
    """Return `inventory` as JSON, always the same bytes for the same value."""
    return dump_json(to_value(inventory))
