"""``petra bundle rollback``: back to the last good bundle."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from petra.cli.bundle_load import open_ledger, tell
from petra.cli.cluster import FOLLOWER_SETTINGS, follower, timeout_option
from petra.cli.command import petra_command
from petra.cli.registries import registry_options

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command(
    "rollback",
    settings=(
        *("sign_key", "ledger", "insecure_registries", "ca_file", "connections"),
        *FOLLOWER_SETTINGS,
    ),
)
@click.argument("name", required=False)
@timeout_option
def command(call: Call, name: str | None, timeout: float) -> None:
    """Go back to the last good bundle: its manifests become what the cluster reads again.

    NAME is the bundle's, and may be left out where only one was ever loaded. No bundle file is
    needed: what the older bundle put in place is still there, and the ledger knows where. Content
    of the newer one stays until it is pruned. A rollback that was interrupted goes on.
    """
    from petra.cli.places import channel  # noqa: PLC0415  # start-up time
    from petra.content.progress import NoProgress  # noqa: PLC0415  # as above
    from petra.load.rollback import Rollback  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    ledger = open_ledger(call.settings)
    with (
        ledger.lock(),
        RegistryClient(registry_options(call.settings)) as client,
        follower(call, {"action": "rollback"}, timeout=timeout) as cluster,
    ):
        channels = partial(channel, call.settings, client)
        report = Rollback(ledger, channels, NoProgress(), cluster).run(name)
    tell(call, report)
