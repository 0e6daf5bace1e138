"""Synthesizes several settings in one process: ``python synthesize.py OUT NAME=CONTEXT.json …``.

Each ends in a folder of its own below OUT; with it goes what cdk-nag has to say: nothing, or an
error, which ends the program with status 1. A name that begins with ``planted`` gets a bucket that
breaks the rules.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aws_cdk import App
from aws_cdk import aws_s3 as s3

from stacks.app import build
from stacks.closed_region import write


def synthesize(out: Path, name: str, context: Path) -> None:
    """Write the templates of one context to ``OUT/NAME``."""
    value = json.loads(context.read_text(encoding="utf-8"))
    if name.startswith("closed"):
        write(out / name, value)
        return
    app = App(context=value, outdir=str(out / name), analytics_reporting=False)
    stacks = build(app)
    if name.startswith("planted"):
        s3.Bucket(stacks[0], "Open")
    app.synth()


def main(arguments: list[str]) -> None:
    """Synthesize each."""
    out = Path(arguments[0])
    for each in arguments[1:]:
        name, _, context = each.partition("=")
        synthesize(out, name, Path(context))


if __name__ == "__main__":
    main(sys.argv[1:])
