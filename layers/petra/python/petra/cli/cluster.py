"""The cluster that a call tells and watches, by its settings."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from petra.cli.durations import Duration
from petra.errors import SettingError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from petra.cli.command import Call
    from petra.cli.settings import Settings
    from petra.load.follower import ClusterFollower
    from petra.load.receiver import Receiver

#: The settings of commands that tell a cluster of what they did.
FOLLOWER_SETTINGS: Final = ("kubeconfig", "flux_receiver", "flux_receiver_token")
TOKEN_VARIABLE: Final = "PETRA_FLUX_RECEIVER_TOKEN"  # noqa: S105  # a name, no token

#: How long a command that changes something waits for the cluster.
timeout_option = click.option(
    "--timeout",
    type=Duration(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long the cluster's releases have to come to their end, where a cluster is named.",
)

_TOKEN_LIMIT: Final = 64 * 1024
#: Credentials would stand in every message that says where the Receiver is.
_RECEIVER: Final = re.compile(
    r"(?P<base>https?://[^@?#\s]+)/(?P<namespace>[a-z0-9-]{1,63})/(?P<name>[a-z0-9.-]{1,253})"
)


@contextmanager
def follower(
    call: Call, event: Mapping[str, Any], *, timeout: float
) -> Iterator[ClusterFollower | None]:
    """Give the cluster that the settings name, with a live table; None where they name none.

    Args:
        call: settings and console.
        event: what a Receiver is told, as it stands when that is called.
        timeout: seconds that the releases have.

    Raises:
        SettingError: a setting is unusable.
        NotFoundError: a file that one names is not there.
    """
    from petra.cli.release_table import following  # noqa: PLC0415  # start-up time
    from petra.load.follower import ClusterFollower  # noqa: PLC0415  # as above
    from petra.load.kubeconfig import connect  # noqa: PLC0415  # as above

    settings = call.settings
    if not (settings.kubeconfig or settings.flux_receiver):
        yield None
        return
    with ExitStack() as stack:
        notice = stack.enter_context(_caller(settings, event)) if settings.flux_receiver else None
        cluster = None
        if settings.kubeconfig:
            cluster = stack.enter_context(connect(settings.kubeconfig))
        listen = stack.enter_context(following(call.console, timeout))
        yield ClusterFollower(cluster, notice, timeout, listen)


@contextmanager
def _caller(settings: Settings, event: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    from petra.cli.registries import registry_options  # noqa: PLC0415  # start-up time
    from petra.load.receiver import call_receiver  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    receiver = flux_receiver(settings, os.environ)
    with RegistryClient(registry_options(settings)) as client:
        yield lambda: call_receiver(receiver, event, client.http)


def flux_receiver(settings: Settings, environ: Mapping[str, str]) -> Receiver:
    """Return the Receiver that the settings name, with its token.

    Args:
        settings: of the call.
        environ: the environment, which may hold the token.

    Raises:
        SettingError: its URL or its token is missing or unusable.
        NotFoundError: the token's file is not there.
    """
    from petra.load.receiver import Receiver  # noqa: PLC0415  # start-up time

    url = settings.need("flux_receiver").rstrip("/")
    named = _RECEIVER.fullmatch(url)
    if not named or not _is_url(named["base"]):
        raise SettingError(
            "not a usable Receiver",
            where="--flux-receiver",
            expected="https://HOST[/PREFIX]/NAMESPACE/NAME, no user, no password, no query",
            hint="the URL of notification-controller's receiver, and which Receiver is meant",
        )
    return Receiver(named["base"], named["namespace"], named["name"], _token(settings, environ))


def _is_url(text: str) -> bool:
    from petra.oci.urls import Url  # noqa: PLC0415  # start-up time

    try:
        Url.parse(text)
    except TransportError:
        return False
    return True


def _token(settings: Settings, environ: Mapping[str, str]) -> bytes:
    from petra.cli.files import read_file  # noqa: PLC0415  # as needed

    if settings.flux_receiver_token:
        # Editors end a file with a line end, which is no part of a token.
        token = read_file(settings.flux_receiver_token, limit=_TOKEN_LIMIT).rstrip(b"\r\n")
    else:
        token = os.fsencode(environ.get(TOKEN_VARIABLE, ""))
    if not token:
        raise SettingError(
            "no token for the Receiver",
            hint=f"give --flux-receiver-token-file, or set {TOKEN_VARIABLE}",
        )
    return token
