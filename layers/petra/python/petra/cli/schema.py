"""``petra schema``: print the JSON Schema of a document."""

from __future__ import annotations

import sys
from importlib.resources import files

import click

from petra.cli.command import Call, petra_command

_KINDS = ("bundle",)


@petra_command("schema")
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    default="bundle",
    show_default=True,
    help="The kind of document.",
)
def command(call: Call, kind: str) -> None:  # noqa: ARG001  # a schema has one form for all
    """Print the JSON Schema (2020-12) of a document that petra reads.

    Editors check and complete a bundle.yaml with it:

    \b
      petra schema > bundle.schema.json
    """  # noqa: D301  # click's own mark: a paragraph that is not wrapped
    text = files("petra.bundle").joinpath(f"schema/{kind}.schema.json").read_text("utf-8")
    sys.stdout.write(text)
    sys.stdout.flush()
