"""Settings: from a flag, else a ``PETRA_*`` variable, else the one configuration file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from petra.cli.setting_table import SETTINGS
from petra.errors import NotFoundError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.cli.setting_table import Setting

CONFIG_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one call.

    Attributes:
        key: the signing key, a path or a URI such as ``awskms:///alias/petra``.
        verify_key: the public key file of a bundle's sender.
        image_key: the public key file for images.
        policy: the policy file; None for none.
        trusted_root: the trusted root file for keyless signatures; None for the one with Petra.
        output_dir: where bundles are written; None leaves it to the spec.
        store: the content store's folder; None for no store.
        custody: the custody log; None to keep none.
        custody_key: the private key that seals it, a path or a URI.
        custody_from: the log that a new one goes on from; None to begin a chain.
        insecure_registries: hosts that are spoken to in plain HTTP.
        mirrors: what to ask first, by registry.
        ca_file: CA certificates for registries.
        connections: how many fetch at once; None for the client's own choice.
        images_to: where a load puts images.
        charts_to: where it puts charts.
        manifests_to: where it puts the platform's manifests.
        sign_key: the key of this side, which signs manifests.
        channel: the tag that the cluster follows.
        cluster_registry: the charts' registry, as the cluster knows it.
        cluster_secret: the cluster's Secret for it.
        cluster_ca_secret: the cluster's Secret with its CA.
        bootstrap: the fresh server that a load gives what comes before Flux.
        ledger: the folder that remembers loads; None for the usual one.
        allow_skipped: steps that a bundle's sender may have skipped.
        kubeconfig: the cluster's kubeconfig, or ``in-cluster``; None for no cluster.
        flux_receiver: the Receiver to call; None for none.
        flux_receiver_token: the file with its token.
        pipeline: the bucket of the pipeline on AWS.
        config_file: the configuration file, whether it is there or not.
    """

    key: str | None = None
    verify_key: str | None = None
    image_key: str | None = None
    policy: str | None = None
    trusted_root: str | None = None
    output_dir: str | None = None
    store: str | None = None
    custody: str | None = None
    custody_key: str | None = None
    custody_from: str | None = None
    insecure_registries: tuple[str, ...] = ()
    mirrors: Mapping[str, str] | None = None
    ca_file: str | None = None
    connections: int | None = None
    images_to: tuple[str, ...] = ()
    charts_to: str | None = None
    manifests_to: str | None = None
    sign_key: str | None = None
    channel: str | None = None
    cluster_registry: str | None = None
    cluster_secret: str | None = None
    cluster_ca_secret: str | None = None
    bootstrap: str | None = None
    ledger: str | None = None
    allow_skipped: tuple[str, ...] = ()
    kubeconfig: str | None = None
    flux_receiver: str | None = None
    flux_receiver_token: str | None = None
    pipeline: str | None = None
    config_file: Path = Path()

    @classmethod
    def resolve(
        cls,
        flags: Mapping[str, Any],
        environ: Mapping[str, str],
        *,
        config: str | None = None,
    ) -> Self:
        """Return the settings of a call.

        Args:
            flags: values from the command line by name of setting; None and () are not given.
            environ: the environment.
            config: the configuration file that ``--config`` names.

        Raises:
            SettingError: a variable or the configuration file is unusable.
            DocumentError: the configuration file has a wrong field (names file and line).
        """
        path, wanted = config_path(environ, config)
        in_file = _read_config(path, wanted=wanted)
        values: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            flag, text = flags.get(name), environ.get(setting.variable, "")
            if flag not in (None, ()):
                values[name] = _from_flag(setting, flag)
            elif text.strip():
                values[name] = _parsed(setting, text.strip(), setting.variable)
            elif name in in_file:
                values[name] = in_file[name]
        return cls(**values, config_file=path)

    def need(self, name: str) -> str:
        """Return the setting `name`, which the call cannot do without.

        Raises:
            SettingError: it is not given; names the flag, the variable and the file.
        """
        value = getattr(self, name)
        if value is None:
            raise self.missing(name)
        return str(value)

    def missing(self, name: str, *, why: str | None = None) -> SettingError:
        """Return the error that says that the setting `name` is needed, and how to give it.

        Args:
            name: of the setting.
            why: what needs it.
        """
        setting = SETTINGS[name]
        return SettingError(
            f"no {setting.what}",
            where=why,
            hint=f"give {setting.flag}, set {setting.variable}, or put `{setting.key}:` "
            f"into {self.config_file}",
        )


def config_path(environ: Mapping[str, str], flag: str | None = None) -> tuple[Path, bool]:
    """Return the configuration file, and whether somebody named it (and so it must be there).

    ``--config``, else ``PETRA_CONFIG``, else ``$XDG_CONFIG_HOME/petra/config.yaml``, where
    ``$XDG_CONFIG_HOME`` is ``~/.config`` unless it is set.

    Source: XDG Base Directory Specification.
    """
    named = flag or environ.get("PETRA_CONFIG", "")
    if named:
        return Path(named), True
    return _xdg(environ, "XDG_CONFIG_HOME", "~/.config") / "petra" / "config.yaml", False


def state_path(environ: Mapping[str, str]) -> Path:
    """Return the folder of what Petra remembers, ``$XDG_STATE_HOME/petra``.

    Source: XDG Base Directory Specification; ``~/.local/state`` unless the variable is set.
    """
    return _xdg(environ, "XDG_STATE_HOME", "~/.local/state") / "petra"


def _xdg(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Return a base directory; a relative path in the variable does not count, by the source."""
    base = environ.get(variable, "")
    return Path(base) if os.path.isabs(base) else Path(default).expanduser()  # noqa: PTH117


def _from_flag(setting: Setting, value: Any) -> Any:
    """Return a flag's value, which click has split and counted already."""
    if setting.kind == "list":
        return tuple(value)
    if setting.kind == "map":
        return dict(_pair(setting, part, setting.flag) for part in value)
    return _parsed(setting, str(value), setting.flag)


def _parsed(setting: Setting, text: str, where: str) -> Any:
    """Return what `text`, the value of a variable or flag, says."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if setting.kind == "list":
        return tuple(parts)
    if setting.kind == "map":
        return dict(_pair(setting, part, where) for part in parts)
    if setting.kind == "number":
        if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= _MOST:
            raise SettingError(
                f"not a usable {setting.what}",
                where=where,
                expected=f"a number from 1 to {_MOST}",
                found=text[:20],
            )
        return int(text)
    return text


_MOST: Final = 64


def _pair(setting: Setting, text: str, where: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise SettingError(
            f"not a usable value of {setting.what}",
            where=where,
            expected=setting.metavar,
            found=text[:100],
        )
    return name.strip(), value.strip()


def _read_config(path: Path, *, wanted: bool) -> dict[str, Any]:
    """Return the settings in the configuration file, paths resolved against its folder."""
    from petra.cli.files import read_file  # noqa: PLC0415  # the file is seldom there

    try:
        data = read_file(path, limit=CONFIG_LIMIT)
    except NotFoundError:
        if not wanted:
            return {}
        raise SettingError(
            "no such configuration file",
            where=str(path),
            hint="correct --config or PETRA_CONFIG, or leave them out",
        ) from None
    from petra.cli.config import parse_config  # noqa: PLC0415  # pydantic takes a tenth of a second

    found = parse_config(data, where=str(path))
    for name, value in found.items():
        if SETTINGS[name].kind == "location" and "://" not in value:
            found[name] = str(path.parent / Path(value).expanduser())
    return found
