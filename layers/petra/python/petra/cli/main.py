"""The ``petra`` command. Subcommands are imported only when they are called."""

from __future__ import annotations

import os
import select
import signal
import sys
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from petra import __version__
from petra.cli.output import EXIT_BROKEN_PIPE, Console, Terminated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

_BUNDLE = {
    "create": "Make a bundle from a spec: resolve, verify, pack and sign.",
    "lock": "Resolve a spec and write what it stands for beside it.",
    "verify": "Check a bundle's signature and every member.",
    "inspect": "Show what is in a bundle, without unpacking it.",
    "report": "Write one page about a bundle, to read, filter and print.",
    "diff": "Show how two bundles differ.",
    "scan": "Scan a bundle's images for vulnerabilities, without unpacking it.",
    "lint": "Hold a bundle to a guard's profile.",
    "load": "Load a bundle to registries, nodes and a cluster.",
    "rollback": "Go back to the last good bundle that was loaded.",
    "prune": "Take away what only older bundles brought.",
    "serve": "Serve a bundle as a registry and a chart repository.",
    "sign": "Sign a bundle that is there already.",
    "chunk": "Cut a bundle into chunks that fit a medium, with parity if wanted.",
    "join": "Put the chunks of a folder together into one file.",
}
_TRANSFER = {
    "media": "Write a bundle to a removable medium, and read it back.",
    "diode": "Send a bundle through a hardware diode, by its hot folder or as a stream.",
    "s3": "Send a bundle across by S3, or by a service that takes objects from S3.",
}
_CUSTODY = {
    "verify": "Check a chain of custody logs, line by line and seal by seal.",
}
_PIPELINE = {
    "submit": "Put a spec into the pipeline on AWS, and follow it if wanted.",
    "status": "Show how the pipeline's runs are.",
}
_RECEIPT = {
    "write": "Write a signed receipt for the bundle that is loaded now.",
    "verify": "Check a receipt or an inventory, and show what it says.",
}
_TOP = {
    "bundle": "Make, check, read, serve and load bundles.",
    "transfer": "Send bundles across the gap.",
    "status": "Show what became of a bundle's HelmReleases in the cluster.",
    "custody": "Check who did what with a bundle on its way.",
    "receive": "Take in what has arrived, verified and rebuilt.",
    "inventory": "Write a signed inventory of the blobs that this side holds.",
    "receipt": "Write and check receipts for bundles that were loaded.",
    "pipeline": "Use the pipeline on AWS: submit specs, see how they are.",
    "keygen": "Make a pair of keys that sign and verify bundles.",
    "schema": "Print the JSON Schema of the documents that petra reads.",
    "version": "Print petra's version.",
}

_EPILOG = """\b
Settings come from flags, else PETRA_* variables, else the configuration file.
Exit status: 0 ok, 1 failed, 2 wrong call or document, 3 verification failed."""


class LazyGroup(click.Group):
    """A group that knows its commands by one line each, and imports the one that is called.

    Args:
        modules: the start of the names of the modules; each has its command as ``command``.
        lines: what each command does, by name, in the order in which people meet them.
    """

    def __init__(self, *args: Any, modules: str, lines: Mapping[str, str], **others: Any) -> None:
        super().__init__(*args, **others)
        self._modules = modules
        self._lines = lines

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's interface
        """Return the names."""
        return [*self._lines]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None where there is none of this name."""
        if cmd_name in self.commands or cmd_name not in self._lines:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"{self._modules}{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with, or name the nearest."""
        if args[0] in self._lines or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415  # typing errors are rare

        near = get_close_matches(args[0], self._lines, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(f"no such command {args[0]!r}{meant}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*self._lines.items()])


@click.group(
    cls=LazyGroup,
    modules="petra.cli.",
    lines=_TOP,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
    no_args_is_help=True,
)
@click.version_option(__version__, message="petra %(version)s")
def petra() -> None:
    """Carry software across an air gap: one signed file with everything in it.

    The shortest way there and back:

    \b
      petra bundle create -f bundle.yaml
      petra bundle verify -f dist/NAME-VERSION.tar.zst
    """  # noqa: D301  # click's own mark: a paragraph that is not wrapped


@petra.group(cls=LazyGroup, modules="petra.cli.bundle_", lines=_BUNDLE, no_args_is_help=True)
def bundle() -> None:
    """Make, check, read, serve and load bundles."""


@petra.group(cls=LazyGroup, modules="petra.cli.transfer_", lines=_TRANSFER, no_args_is_help=True)
def transfer() -> None:
    """Send bundles across the gap: by medium, diode or S3."""


@petra.group(cls=LazyGroup, modules="petra.cli.custody_", lines=_CUSTODY, no_args_is_help=True)
def custody() -> None:
    """Check who did what with a bundle on its way."""


@petra.group(cls=LazyGroup, modules="petra.cli.receipt_", lines=_RECEIPT, no_args_is_help=True)
def receipt() -> None:
    """Write and check receipts for bundles that were loaded."""


@petra.group(cls=LazyGroup, modules="petra.cli.pipeline_", lines=_PIPELINE, no_args_is_help=True)
def pipeline() -> None:
    """Use the pipeline on AWS: submit specs, see how they are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: what follows the program's name; None for the process's own.
    """
    if "_PETRA_COMPLETE" in os.environ:
        petra.main(prog_name="petra")  # click answers the shell, and exits
    args = [*(sys.argv[1:] if arguments is None else arguments)]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with petra.make_context("petra", args) as context:
            petra.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last place to tell it
        if isinstance(error, BrokenPipeError) and _reader_left():
            # Nobody reads on (`petra … | head`); nor shall Python complain when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_BROKEN_PIPE
        return _console(args).fail(error)
    return 0


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # signal's interface
    raise Terminated


def _reader_left() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))


def _console(args: Sequence[str]) -> Console:
    """Return where to tell an error, though the command line itself may be what is wrong."""
    words = [word for arg in args for word in arg.split("=", 1)]
    named = [value for word, value in pairwise(words) if word == "--output"]
    output = named[-1] if named else os.environ.get("PETRA_OUTPUT", "")
    debug = "--debug" in args or os.environ.get("PETRA_DEBUG", "0") not in ("", "0", "false")
    return Console(json=output == "json", debug=debug)
