"""Where a bundle goes, as the settings of a call name it."""

from __future__ import annotations

import dataclasses
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from petra.cli.registries import is_plain, registry_options
from petra.errors import UsageError
from petra.oci.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.cli.settings import Settings
    from petra.load.destination import Destination, OpenBundle
    from petra.load.images import ImageOptions
    from petra.load.rendering import LocalRegistry
    from petra.oci.registry import RegistryClient

#: The settings of commands that load. Mirrors are for reading: what is written has one place.
LOAD_SETTINGS: Final = (
    "images_to",
    "charts_to",
    "manifests_to",
    "sign_key",
    "channel",
    "cluster_registry",
    "cluster_secret",
    "cluster_ca_secret",
    "bootstrap",
    "ledger",
    "insecure_registries",
    "ca_file",
    "connections",
)
_OCI: Final = "oci://"
#: A scheme, or what somebody meant as one: `oci:/…`, `registry:…`.
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+:")


def check_settings(settings: Settings) -> None:
    """Refuse a call that names no destination, before a large file is read.

    Raises:
        SettingError: it names none; says how to.
        UsageError: what it names is no place for charts or manifests.
    """
    if not (settings.images_to or settings.charts_to or settings.manifests_to):
        raise settings.missing("images_to")
    _check_place(settings.charts_to, "--charts-to")
    _check_place(settings.manifests_to, "--manifests-to")


@contextmanager
def destinations(
    settings: Settings,
    bundle: OpenBundle,
    *,
    replace: bool = False,
    images: ImageOptions | None = None,
) -> Iterator[list[Destination]]:
    """Open where the parts of `bundle` go.

    Args:
        settings: of the call.
        bundle: what is to be loaded.
        replace: let its charts take the place of others of the same name and version.
        images: how images are loaded; None for the usual way.

    Raises:
        SettingError: the bundle has a part for which no destination is named.
        UsageError: a destination is none.
    """
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # loads the HTTP stack

    _check_parts(settings, bundle)
    with RegistryClient(registry_options(settings)) as client:
        found = _images(settings, bundle, images)
        if settings.charts_to and bundle.metadata.charts:
            found.append(_charts(settings.charts_to, bundle, client, replace=replace))
        if settings.manifests_to:
            found.append(_manifests(settings, bundle, client, replace=replace))
        if settings.bootstrap:
            found.append(_bootstrap(settings, bundle, found))
        yield found


def _check_parts(settings: Settings, bundle: OpenBundle) -> None:
    """Refuse to leave out images or charts: the manifests would name what is not there."""
    metadata = bundle.metadata
    what = f"bundle {metadata.name} {metadata.version}"
    if metadata.images and not settings.images_to:
        raise settings.missing("images_to", why=f"{what} has {len(metadata.images)} image(s)")
    if metadata.charts and not settings.charts_to:
        raise settings.missing("charts_to", why=f"{what} has {len(metadata.charts)} chart(s)")


def _images(
    settings: Settings, bundle: OpenBundle, options: ImageOptions | None
) -> list[Destination]:
    from petra.load.images import ImageOptions, image_destination  # noqa: PLC0415  # start-up time

    if not bundle.metadata.images:
        return []
    options = options or ImageOptions(registry=registry_options(settings))
    places = dict.fromkeys(_absolute(uri) for uri in settings.images_to)
    return [image_destination(uri, bundle, options) for uri in places]


def _absolute(uri: str) -> str:
    """Return ``k3s:DIR`` and ``layout:DIR`` as any folder would call them: the ledger keeps it."""
    kind, _, path = uri.partition(":")
    return f"{kind}:{Path(path).absolute()}" if kind in ("k3s", "layout") and path else uri


def _charts(
    where: str, bundle: OpenBundle, client: RegistryClient, *, replace: bool
) -> Destination:
    from petra.load.chart_folder import ChartRepositoryFolder  # noqa: PLC0415  # start-up time
    from petra.load.chart_registry import ChartRegistry  # noqa: PLC0415  # as above

    if where.startswith(_OCI):
        return ChartRegistry(bundle, client, where, replace=replace)
    return ChartRepositoryFolder(bundle, Path(where).absolute(), replace=replace)


def _check_place(where: str | None, flag: str) -> None:
    """Refuse a URL of another kind: it would become a folder of that name.

    Raises:
        UsageError: it is one.
    """
    if where and _SCHEME.match(where) and not where.startswith(_OCI):
        raise UsageError(
            "not a place for this part of a bundle",
            where=f"{flag} {redact(where)}",
            expected="oci://HOST[:PORT]/PATH, or a folder",
        )


def _manifests(
    settings: Settings, bundle: OpenBundle, client: RegistryClient, *, replace: bool
) -> Destination:
    from petra.load.manifest_folder import ManifestFolder  # noqa: PLC0415  # start-up time
    from petra.load.manifest_registry import ManifestRegistry  # noqa: PLC0415  # as above

    where, local = settings.manifests_to or "", _local(settings)
    if not where.startswith(_OCI):
        return ManifestFolder(bundle, Path(where).absolute(), local=local)
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above

    signer = signer_from(settings.need("sign_key"))
    url = channel_url(where, settings.channel)
    return ManifestRegistry(bundle, client, url, signer=signer, local=local, replace=replace)


def _bootstrap(
    settings: Settings, bundle: OpenBundle, others: Sequence[Destination]
) -> Destination:
    """Open the folders of a fresh server: it is told of where the other parts go."""
    from petra.helm.template import find_helm  # noqa: PLC0415  # start-up time
    from petra.load.bootstrap import FirstSource, K3sBootstrap, K3sFolders  # noqa: PLC0415  # start-up time
    from petra.load.manifest_registry import ManifestRegistry  # noqa: PLC0415  # as above

    folders = K3sFolders.parse(settings.bootstrap or "")
    manifests = next((one for one in others if isinstance(one, ManifestRegistry)), None)
    if manifests is None:
        raise UsageError(
            "a first deployment begins with manifests in a registry, which Flux follows",
            where="--bootstrap",
            expected="--manifests-to oci://HOST[:PORT]/REPOSITORY",
            found=settings.manifests_to or "none",
        )
    local = _local(settings)
    place = manifests.place.seen_at(settings.cluster_registry)
    source = FirstSource(place, manifests.channel, local, manifests.public_key)
    rules = _mirror_rules(settings, others)
    return K3sBootstrap(bundle, folders, source, rules, helm=find_helm())


def _mirror_rules(settings: Settings, others: Sequence[Destination]) -> bytes | None:
    """Return the rules by which nodes find the images in the registry; None without one."""
    from petra.load.image_registry import RegistryDestination  # noqa: PLC0415  # start-up time
    from petra.load.mirrors import registries_yaml  # noqa: PLC0415  # as above

    found = next((one for one in others if isinstance(one, RegistryDestination)), None)
    if found is None:
        return None
    mirrors = found.mirrors
    if host := (settings.cluster_registry or "").partition("/")[0]:
        url = f"{'http' if is_plain(settings, host) else 'https'}://{host}"
        mirrors = tuple(dataclasses.replace(one, url=url) for one in mirrors)
    return registries_yaml(mirrors)


def channel_url(url: str, channel: str | None) -> str:
    """Return ``oci://HOST/REPOSITORY:CHANNEL``, the channel from the setting where one is given.

    Raises:
        UsageError: `url` is malformed, or names another channel than the setting.
    """
    from petra.load.oci_places import RegistryPlace  # noqa: PLC0415  # start-up time

    place = RegistryPlace.repository(url)
    if channel and place.tag and channel != place.tag:
        raise UsageError(
            "two channels are named", where=url, expected=place.tag, found=f"--channel {channel}"
        )
    return url if place.tag or not channel else f"{url.rstrip('/')}:{channel}"


def _local(settings: Settings) -> LocalRegistry:
    """Return how the cluster reaches the charts: as this machine does, unless told otherwise."""
    from petra.load.oci_places import RegistryPlace  # noqa: PLC0415  # start-up time
    from petra.load.rendering import LocalRegistry  # noqa: PLC0415  # as above

    charts = settings.cluster_registry
    if charts is None and settings.charts_to and settings.charts_to.startswith(_OCI):
        charts = RegistryPlace.folder(settings.charts_to).location
    host = (charts or "").partition("/")[0]
    return LocalRegistry(
        charts=charts,
        insecure=bool(host) and is_plain(settings, host),
        secret=settings.cluster_secret,
        ca_secret=settings.cluster_ca_secret,
    )
