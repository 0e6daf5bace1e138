"""``petra bundle serve``: a bundle as a registry and a chart repository."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from petra.cli.command import file_option, petra_command
from petra.cli.opening import verified
from petra.cli.policy_files import RECEIVER_SETTINGS, receiver_of
from petra.errors import UsageError

if TYPE_CHECKING:
    from petra.cli.command import Call
    from petra.serve.server import BundleServer


@petra_command("serve", settings=("verify_key", *RECEIVER_SETTINGS))
@file_option("The bundle, or its chunk folder.")
@click.option(
    "--signature",
    metavar="FILE",
    help="The signature, .sig or .sigstore.json, instead of those beside the bundle.",
)
@click.option(
    "--listen",
    default="127.0.0.1:5000",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes a free one.",
)
def command(call: Call, file: str, signature: str | None, listen: str) -> None:
    """Serve a bundle as an OCI registry and a chart repository, straight out of the file.

    The bundle is verified first. Images are at HOST:PORT/REGISTRY/REPOSITORY (a containerd mirror
    asks for them by itself), charts at http://HOST:PORT/charts. Read-only; Ctrl-C ends it.
    """
    from petra.archive.target import ArchiveTarget  # noqa: PLC0415  # start-up time
    from petra.bundle.agreement import bundle_lock  # noqa: PLC0415  # as above
    from petra.bundle.differential import require_whole  # noqa: PLC0415  # as above
    from petra.serve.bundle import BundleCharts, BundleRepositories  # noqa: PLC0415  # as above
    from petra.serve.server import BundleServer  # noqa: PLC0415  # as above

    host, port = _address(listen)
    receiver = receiver_of(call.settings)
    with verified(call, file, signature, receiver=receiver) as bundle:
        require_whole(bundle.metadata, "serve")
        reader = bundle.archive.reader
        target = ArchiveTarget(reader)
        repositories = BundleRepositories(target, bundle_lock(reader, bundle.metadata))
        charts = BundleCharts(reader)
        server = BundleServer(
            host, port, repositories, charts, report=lambda access: call.console.note(str(access))
        )
        # Serving ends when it is told to, and that is no failure.
        with suppress(KeyboardInterrupt):
            _announce(call, server, file)
            server.serve_forever()


def _announce(call: Call, server: BundleServer, file: str) -> None:
    value = {"listening": server.host, "registry": server.url, "charts": f"{server.url}/charts"}
    text = f"serving   {file}\nregistry  {server.host}\ncharts    {server.url}/charts"
    call.console.result(value, text)


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise UsageError("not an address", where="--listen", expected="HOST:PORT", found=listen)
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # asked for by ":PORT"
