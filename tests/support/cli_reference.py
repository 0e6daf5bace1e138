"""Writes docs/cli.md from the commands themselves: ``python -m tests.support.cli_reference``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from petra.cli.main import petra
from petra.cli.setting_table import SETTINGS
from tests.support.tools import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = REPOSITORY / "docs" / "cli.md"
_WIDTH = 100
_HEAD = """\
# Command line

This page is made from the commands' own help (`make docs`); a test fails when the two differ.

## Exit status

| status | meaning |
|---|---|
| 0 | done |
| 1 | failed: the network, a registry, the disk, or something that is not there |
| 2 | the call, a setting or a document of yours is wrong |
| 3 | verification failed: something is not what it claims to be |

Errors go to standard error, with what went wrong, where, what was expected and found, and what to
do next. With `--output json` both results and errors are one JSON object each; an error's has a
stable `code`.
"""


def cli_reference() -> str:
    """Return the whole page."""
    root = _context(petra, "petra", None)
    parts = [_HEAD, _settings(), *(_section(context) for context in _commands(root))]
    return "\n".join(parts)


def _settings() -> str:
    lines = [
        "## Settings",
        "",
        "From the flag, else the variable, else the configuration file: the one that `--config`",
        "or `PETRA_CONFIG` names, otherwise `~/.config/petra/config.yaml`.",
        "",
        "| flag | variable | key in the file | what |",
        "|---|---|---|---|",
    ]
    for setting in SETTINGS.values():
        flag = f"`{setting.flag} {setting.metavar}`"
        lines.append(f"| {flag} | `{setting.variable}` | `{setting.key}` | {setting.help} |")
    return "\n".join(lines) + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Yield `context` and those of all commands below it."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(_context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """Return the context that the command line makes, the command's own settings in it."""
    return command.make_context(
        name, [], parent=parent, resilient_parsing=True, terminal_width=_WIDTH
    )


def _section(context: click.Context) -> str:
    return f"## `{context.command_path}`\n\n```text\n{context.get_help().rstrip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(cli_reference())
