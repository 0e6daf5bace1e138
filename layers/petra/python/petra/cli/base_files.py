"""``--base``: what the receiver holds, by its signed inventory or by an older bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from petra.cli.output import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from petra.bundle.differential import Held
    from petra.bundle.metadata import Base
    from petra.cli.command import Call
    from petra.trust.signer import Signer

F = TypeVar("F", bound="Callable[..., Any]")

_FLAGS = (
    click.option(
        "--base",
        metavar="FILE",
        envvar="PETRA_BASE",
        help="Leave out the layers that the receiver holds, by its signed inventory "
        "(petra inventory), or by an older bundle that it has loaded. [PETRA_BASE]",
    ),
    click.option(
        "--base-key",
        metavar="KEY",
        envvar="PETRA_BASE_KEY",
        help="Public key that signs the base: the receiver's; for an older bundle that of --key "
        "by default. [PETRA_BASE_KEY]",
    ),
)
_BRACE: Final = b"{"


def base_options(function: F) -> F:
    """Give a command these flags, which it gets by name."""
    for flag in reversed(_FLAGS):
        function = flag(function)
    return function


def read_base(call: Call, flags: Mapping[str, Any], signer: Future[Signer] | None) -> Held | None:
    """Return what a receiver holds; None where no base is named.

    Args:
        call: settings and console.
        flags: the values of these flags, by name. The base is a signed inventory, or a bundle (a
            file or a chunk folder).
        signer: who signs the new bundle; an older one may be theirs.

    Raises:
        SettingError: nobody says whose signature counts.
        VerificationError: the signature or the document is not good.
    """
    file, key = flags["base"], flags["base_key"]
    if file is None:
        return None
    path = Path(file)
    if path.is_file() and _begins_with_brace(path):
        return _read_inventory(path, key)
    return _read_bundle(call, file, key, signer)


def _begins_with_brace(path: Path) -> bool:
    """Say whether a file is JSON: a bundle begins with the magic of zstd or gzip."""
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == _BRACE


def _read_inventory(path: Path, key: str | None) -> Held:
    from petra.bundle.differential import Held  # noqa: PLC0415  # start-up time
    from petra.bundle.inventory import INVENTORY_LIMIT, load_inventory  # noqa: PLC0415  # as above
    from petra.bundle.signatures import verified_document  # noqa: PLC0415  # as above
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above
    from petra.content.digest import Digest  # noqa: PLC0415  # as above
    from petra.errors import SettingError  # noqa: PLC0415  # as above

    if key is None:
        raise SettingError(
            "no public key for the inventory",
            where=f"--base {path}",
            hint="give --base-key or set PETRA_BASE_KEY: the public key of the receiver's side",
        )
    data, _ = verified_document(path, public_keys(key), limit=INVENTORY_LIMIT)
    return Held.of_inventory(load_inventory(data, where=str(path)), Digest.of(data))


def _read_bundle(call: Call, file: str, key: str | None, signer: Future[Signer] | None) -> Held:
    from petra.bundle.differential import Held  # noqa: PLC0415  # start-up time
    from petra.cli.keys import public_keys  # noqa: PLC0415  # as above
    from petra.cli.opening import verified  # noqa: PLC0415  # as above

    own = [signer.result().public_key] if signer and key is None else []
    keys = own or public_keys(key or call.settings.need("verify_key"))
    with verified(call, file, key=keys) as bundle:
        return Held.of_bundle(bundle.metadata, bundle.archive.digest)


def base_value(base: Base | None) -> dict[str, Any] | None:
    """Return what ``--output json`` says of a bundle's base; None for a whole bundle."""
    if base is None:
        return None
    return {
        "kind": base.kind,
        "name": base.name,
        "version": base.version,
        "serial": base.serial,
        "digest": base.digest,
        "absent": [{"digest": one.digest, "size": one.size} for one in base.absent],
    }


def base_line(base: Base) -> str:
    """Return in a line what stays out of a differential bundle, and who has it."""
    size = human_size(sum(blob.size for blob in base.absent))
    return f"{len(base.absent)} layers, {size}, that {base} has ({base.digest})"
