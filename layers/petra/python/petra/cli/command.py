"""What all commands share: settings, output options, and the call they are given."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from petra.cli.output import Console
from petra.cli.setting_table import SETTINGS
from petra.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from petra.cli.setting_table import Setting

F = TypeVar("F", bound="Callable[..., None]")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command.

    Attributes:
        console: where to speak.
        settings: flags, variables and configuration file, resolved.
    """

    console: Console
    settings: Settings


def petra_command(
    name: str, *, settings: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function into a command that takes a Call first, and its own options after it.

    Args:
        name: the command's name.
        settings: the SETTINGS that it has flags for.
        attributes: passed on to ``click.Command``.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        def run(**values: Any) -> None:
            function(_call(values, settings), **values)

        # In help: the command's own options, its settings', then everybody's.
        own = [*reversed(getattr(function, "__click_params__", []))]
        params = [*own, *_setting_options(settings), *_common_options()]
        return click.Command(
            name, callback=run, params=params, help=inspect.getdoc(function), **attributes
        )

    return decorate


def file_option(help_text: str, *, metavar: str = "FILE") -> Callable[[F], F]:
    """Return ``-f, --file``, which the command gets as `file`, text."""
    return click.option(
        "-f", "--file", required=True, metavar=metavar, type=click.Path(), help=help_text
    )


def _call(values: dict[str, Any], names: tuple[str, ...]) -> Call:
    """Take the shared options out of `values`."""
    flags = {name: values.pop(name) for name in names}
    console = Console(
        json=values.pop("output") == "json",
        quiet=values.pop("quiet"),
        debug=values.pop("debug"),
    )
    return Call(console, Settings.resolve(flags, os.environ, config=values.pop("config")))


def _setting_options(names: tuple[str, ...]) -> list[click.Option]:
    return [
        click.Option(
            [setting.flag, name],
            metavar=setting.metavar,
            multiple=setting.kind in ("list", "map"),
            help=_help(setting),
        )
        for name, setting in ((name, SETTINGS[name]) for name in names)
    ]


def _help(setting: Setting) -> str:
    again = " May stand several times." if setting.kind in ("list", "map") else ""
    return f"{setting.help}{again} [{setting.variable}]"


def _common_options() -> list[click.Option]:
    return [
        click.Option(
            ["--output"],
            type=click.Choice(["text", "json"]),
            default="text",
            envvar="PETRA_OUTPUT",
            help="Print results and errors as text, or as one JSON object.",
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="No progress and no notes."),
        click.Option(
            ["--debug"], is_flag=True, envvar="PETRA_DEBUG", help="Tracebacks for what goes wrong."
        ),
        click.Option(
            ["--config"],
            metavar="FILE",
            help="The configuration file. [PETRA_CONFIG; ~/.config/petra/config.yaml]",
        ),
    ]
