"""What ``cdk`` deploys: the sides that the context of ``cdk.json`` describes."""

from __future__ import annotations

import sys

from aws_cdk import App

from petra.errors import PetraError
from stacks.app import build


def main() -> int:
    """Make the stacks and write their templates; a mistake in the settings is told in words."""
    app = App()
    try:
        build(app)
    except PetraError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
