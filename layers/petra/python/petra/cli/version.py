"""``petra version``: print the version, and those of what decides a bundle's bytes."""

from __future__ import annotations

import platform

from petra import __version__
from petra.cli.command import Call, petra_command


@petra_command("version")
def command(call: Call) -> None:
    """Print petra's version, Python's and libzstd's."""
    import zstandard  # noqa: PLC0415  # only this command wants to know

    value = {
        "petra": __version__,
        "python": platform.python_version(),
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
    }
    call.console.result(value, "\n".join(f"{name} {version}" for name, version in value.items()))
