"""Credentials: what Docker's configuration and its helpers know about a registry."""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.encoding.json import load_json
from petra.errors import AccessError, FormatError, SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HUB_KEY: Final = "https://index.docker.io/v1/"
_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS: Final = 30
_CONFIG_LIMIT: Final = 4 * 1024 * 1024
# What helpers say, by Docker's protocol, about a registry that they do not know.
_UNKNOWN: Final = "credentials not found"


@dataclass(frozen=True, slots=True)
class Credential:
    """Who we are at a registry. One of the secrets is set; none of them is ever printed.

    Attributes:
        username: for Basic authentication and for asking for tokens.
        password: goes with the name.
        identity_token: buys tokens, instead of name and password.
        registry_token: is sent as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The Authorization header of Basic authentication (RFC 7617)."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


class CredentialStore:
    """Docker's ``config.json``: ``auths``, ``credsStore`` and ``credHelpers``. Thread-safe.

    Read when it is first needed; each registry is looked up once.

    Args:
        path: the file, or the folder that holds it; None for ``DOCKER_CONFIG`` or ``~/.docker``.
        environ: the process's environment; helpers get it too.
    """

    def __init__(
        self, path: Path | None = None, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._must_exist = path is not None
        folder = self._environ.get("DOCKER_CONFIG")
        home = Path(self._environ.get("HOME") or Path("~").expanduser())
        self.path = _config_file(path or (Path(folder) if folder else home / ".docker"))
        self._config: dict[str, Any] | None = None
        self._known: dict[str, Credential | None] = {}
        self._lock = threading.Lock()

    def get(self, registry: str, *, fresh: bool = False) -> Credential | None:
        """Return the credential for `registry`, None where there is none.

        Args:
            registry: ``host[:port]``, as references have it.
            fresh: ask again; a helper may have a newer one by now.

        Raises:
            SettingError: the configuration is unreadable or malformed.
            AccessError: a helper failed.
        """
        with self._lock:
            if fresh or registry not in self._known:
                self._known[registry] = self._look_up(registry)
            return self._known[registry]

    def _look_up(self, registry: str) -> Credential | None:
        config, keys = self._load(), _keys(registry)
        helpers = _section(config, "credHelpers", self.path)
        for key in keys:
            if helper := helpers.get(key):
                return self._ask_helper(str(helper), keys[0])
        store = config.get("credsStore")
        if store and (found := self._ask_helper(str(store), keys[0])):
            return found
        return self._in_file(_section(config, "auths", self.path), keys, registry)

    def _load(self) -> dict[str, Any]:
        if self._config is None:
            self._config = self._read()
        return self._config

    def _read(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                data = file.read(_CONFIG_LIMIT)
            config = load_json(data, where=str(self.path))
        except (FileNotFoundError, NotADirectoryError):
            if not self._must_exist:
                return {}
            raise SettingError("no such Docker configuration", where=str(self.path)) from None
        except OSError as error:
            raise SettingError(
                "unreadable Docker configuration", where=str(self.path), found=error.strerror
            ) from None
        except FormatError as error:
            # Its text says where, not what: the document holds secrets.
            raise SettingError(
                f"malformed Docker configuration: {error.message}", where=error.where
            ) from None
        if not isinstance(config, dict):
            raise SettingError("malformed Docker configuration", where=str(self.path))
        return config

    def _in_file(
        self, auths: Mapping[str, Any], keys: tuple[str, ...], registry: str
    ) -> Credential | None:
        by_host = {_host(name): entry for name, entry in auths.items() if entry}
        for key in keys:
            entry = auths.get(key) or by_host.get(_host(key))
            if entry:
                return _entry(entry, where=f"{self.path}: auths of {registry}")
        return None

    def _ask_helper(self, name: str, server: str) -> Credential | None:
        """Run ``docker-credential-NAME get``; nothing that it prints goes into an error."""
        import subprocess  # noqa: PLC0415  # only where a helper is configured

        if not _HELPER_NAME.fullmatch(name):
            raise SettingError("not the name of a credential helper", where=str(self.path))
        program = f"docker-credential-{name}"
        try:
            done = subprocess.run(  # noqa: S603  # the user's own configuration names it
                [_find(program, self._environ), "get"],
                input=server.encode(),
                capture_output=True,
                timeout=_HELPER_SECONDS,
                check=False,
                env=dict(self._environ),
            )
        except FileNotFoundError:
            raise _helper_failed(program, server, "it is not installed") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise _helper_failed(program, server, type(error).__name__) from None
        if done.returncode:
            if _UNKNOWN in done.stdout.decode(errors="replace"):
                return None
            raise _helper_failed(program, server, f"exit status {done.returncode}")
        return _from_helper(done.stdout, program, server)


def _config_file(path: Path) -> Path:
    is_file = path.is_file() or (path.suffix == ".json" and not path.is_dir())
    return path if is_file else path / "config.json"


def _find(program: str, environ: Mapping[str, str]) -> str:
    import shutil  # noqa: PLC0415

    found = shutil.which(program, path=environ.get("PATH"))
    if found is None:
        raise FileNotFoundError(program)
    return found


def _from_helper(output: bytes, program: str, server: str) -> Credential | None:
    """Return what a helper printed as a credential.

    Source: docker/docker-credential-helpers, "Development": the user name ``<token>`` says that the
    secret is an identity token.
    """
    try:
        value = load_json(output, where=program)
        username, secret = value["Username"], value["Secret"]
    except (FormatError, LookupError, TypeError):
        raise _helper_failed(program, server, "its answer cannot be read") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _helper_failed(program, server, "its answer cannot be read")
    if not secret:
        return None
    if username == "<token>":
        return Credential(identity_token=secret)
    return Credential(username, secret)


def _helper_failed(program: str, server: str, reason: str) -> AccessError:
    return AccessError(
        f"{program} gave no credentials for {server}: {reason}",
        hint=f"run `echo {server} | {program} get` to see why, or take it out of config.json",
    )


def _keys(registry: str) -> tuple[str, ...]:
    """Return the names under which Docker files `registry`, its own first."""
    if registry in _HUB:
        return (_HUB_KEY, *sorted(_HUB))
    return (registry,)


def _host(key: str) -> str:
    """Return the host in a key of ``auths``, which may be a URL."""
    return re.sub(r"^https?://", "", key).partition("/")[0]


def _section(config: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise SettingError(f"malformed Docker configuration: {key} is no object", where=str(path))
    return value


def _entry(entry: Any, *, where: str) -> Credential | None:
    if not isinstance(entry, dict):
        raise SettingError("malformed Docker configuration", where=where)
    texts = {
        name: entry.get(name) or ""
        for name in (
            "auth",
            "username",
            "password",
            "identitytoken",
            "registrytoken",
        )
    }
    if not all(isinstance(text, str) for text in texts.values()):
        raise SettingError("malformed Docker configuration", where=where)
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        try:
            pair = base64.b64decode(texts["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise SettingError(
                "malformed Docker configuration: auth is not base64", where=where
            ) from None
        username, _, password = pair.partition(":")
        password = password.rstrip("\0")
    found = Credential(username, password, texts["identitytoken"], texts["registrytoken"])
    empty = not (found.password or found.identity_token or found.registry_token)
    return None if empty else found
