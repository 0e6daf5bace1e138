"""Chunks straight from ``create``: the flags, and the spec's own word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from petra.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from petra.bundle.spec import Spec
    from petra.transfer.chunking import ChunkOptions

F = TypeVar("F", bound="Callable[..., None]")


def chunk_flags(function: F) -> F:
    """Give a command ``--chunks-to``, ``--max-size`` and ``--parity``."""
    for option in (
        click.option(
            "--parity",
            type=click.IntRange(min=0),
            metavar="N",
            help="With --chunks-to: add N parity chunks.",
        ),
        click.option("--max-size", metavar="SIZE", help="With --chunks-to: the most of a chunk."),
        click.option(
            "--chunks-to",
            metavar="DIR",
            help="Write a chunk folder in the same pass, and no file; see petra bundle chunk.",
        ),
    ):
        function = option(function)
    return function


def chunk_options(spec: Spec, folder: Path, flags: Mapping[str, Any]) -> ChunkOptions | None:
    """Return how the bundle is cut, as the flags or else the spec say; None for one file.

    Args:
        spec: the spec.
        folder: where a chunk folder goes that only the spec asks for.
        flags: what :func:`chunk_flags` gave the command.

    Raises:
        UsageError: the flags do not go together, or the bundle is not signed.
        SettingError: the size is none.
    """
    wanted = spec.spec.output.chunks
    size = flags["max_size"] or (wanted and wanted.max_size)
    given = [name for name in ("chunks_to", "max_size", "parity") if flags[name] is not None]
    if not given and not wanted:
        return None
    if not size or not (flags["chunks_to"] or wanted):
        raise UsageError(
            "chunks need a folder and a size", expected="--chunks-to DIR --max-size SIZE"
        )
    if not spec.spec.output.sign:
        raise UsageError(
            "chunks are only written signed", where="spec.output.sign", expected="true"
        )
    from petra.transfer.chunking import ChunkOptions  # noqa: PLC0415  # start-up time
    from petra.transfer.sizes import parse_size  # noqa: PLC0415  # as above

    where = "--max-size" if flags["max_size"] else "spec.output.chunks.maxSize"
    parity = flags["parity"] if flags["parity"] is not None else (wanted.parity if wanted else 0)
    to = Path(flags["chunks_to"]) if flags["chunks_to"] else folder / f"{spec.stem}.chunks"
    return ChunkOptions(to, parse_size(size, where=where), parity)
