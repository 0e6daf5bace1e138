"""What a function finds in its environment: names of resources, and its side's settings.

Source of the names: the stacks, which set for each function those that it needs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from petra.aws.side_settings import ClassifiedSettings, ConnectedSettings
from petra.encoding.json import load_json
from petra.encoding.models import Model, validate
from petra.errors import PetraError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.aws.metrics import Side

PREFIX: Final = "PETRA_"
SETTINGS: Final = "PETRA_SETTINGS"
SIDE: Final = "PETRA_SIDE"

S = TypeVar("S", bound=Model)


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables of a process that are Petra's.

    Attributes:
        variables: all of them, the process's others too.
    """

    variables: Mapping[str, str]

    @classmethod
    def current(cls) -> Environment:
        """Return this process's."""
        return cls(os.environ)

    def need(self, name: str) -> str:
        """Return the variable ``PETRA_NAME``.

        Raises:
            SettingError: it is not set.
        """
        found = self.get(name)
        if found is None:
            raise SettingError(
                f"{PREFIX}{name} is not set",
                where="the function's environment",
                hint="deploy the stack again; it sets what each function needs",
            )
        return found

    def get(self, name: str) -> str | None:
        """Return the variable ``PETRA_NAME``, None where it is missing or empty."""
        return self.variables.get(PREFIX + name) or None

    @property
    def side(self) -> Side:
        """Which side this is.

        Raises:
            SettingError: it is not said.
        """
        from petra.aws.metrics import Side  # noqa: PLC0415  # only here

        text = self.need("SIDE")
        if text not in list(Side):
            raise SettingError("no such side", where=SIDE, expected=" or ".join(Side), found=text)
        return Side(text)

    def connected(self) -> ConnectedSettings:
        """Return the settings of the connected side.

        Raises:
            SettingError: they are no such settings.
        """
        return self._settings(ConnectedSettings)

    def classified(self) -> ClassifiedSettings:
        """Return the settings of the classified side.

        Raises:
            SettingError: they are no such settings.
        """
        return self._settings(ClassifiedSettings)

    def _settings(self, model: type[S]) -> S:
        text = self.variables.get(SETTINGS) or "{}"
        try:
            value = load_json(text.encode(), where=SETTINGS)
        except PetraError as error:
            raise SettingError(error.message, where=error.where) from None
        return validate(model, value, where=SETTINGS, error=SettingError)
