"""``petra schema``: print the JSON Schema of a document."""

from __future__ import annotations

import sys
from importlib.resources import files

import click

from petra.cli.command import Call, petra_command

_KINDS = click.Choice(["bundle", "policy"])


@petra_command("schema")
@click.argument("kind", type=_KINDS, default="bundle")
@click.option("--kind", "named", type=_KINDS, help="The kind of document; the same as KIND.")
def command(call: Call, kind: str, named: str | None) -> None:  # noqa: ARG001  # one form for all
    """Print the JSON Schema (2020-12) of a document that petra reads.

    Editors check and complete a bundle.yaml or a policy.yaml with it:

    \b
      petra schema > bundle.schema.json
      petra schema policy > policy.schema.json
    """  # noqa: D301  # click's own mark: a paragraph that is not wrapped
    name = f"schema/{named or kind}.schema.json"
    sys.stdout.write(files("petra.bundle").joinpath(name).read_text("utf-8"))
    sys.stdout.flush()
