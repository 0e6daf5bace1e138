"""The first deployment: what a fresh k3s server is given, so that Flux and its network come up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from petra.archive.sink import write_file
from petra.bundle.platform import releases
from petra.content.digest import Digest
from petra.encoding.yaml import dump_yaml
from petra.errors import NotFoundError, StorageError, UsageError
from petra.helm.chart import inspect_chart
from petra.helm.template import rendered_images
from petra.helm.versions import same_version
from petra.load import k3s_objects as objects
from petra.load.chart_files import bundled_charts
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.pinned_values import pin_values, release_pins
from petra.load.rendering import LocalRegistry, local_manifests, platform_files
from petra.load.sending import check_space

if TYPE_CHECKING:
    from petra.bundle.platform import PlatformFiles, Release
    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle
    from petra.load.oci_places import RegistryPlace
    from petra.trust.keys import PublicKey

#: The charts that cannot come by Flux: the network that it needs, and Flux itself, in this order.
FIRST_CHARTS = ("cilium", "flux2")
K3S = Path("/var/lib/rancher/k3s")
K3S_CONFIG = Path("/etc/rancher/k3s")

_HEAD = "Written by `petra bundle load --bootstrap k3s`; the next one writes it anew."
_REGISTRIES = "registries.yaml"


@dataclass(frozen=True, slots=True)
class FirstSource:
    """Where Flux finds the manifests, and what it verifies them with.

    Attributes:
        place: the repository and the channel, as the cluster knows them.
        channel: the tag that the cluster follows.
        local: how the cluster reaches the registry.
        key: the local domain's public key.
    """

    place: RegistryPlace
    channel: str
    local: LocalRegistry
    key: PublicKey


@dataclass(frozen=True, slots=True)
class K3sFolders:
    """k3s's folders on a server.

    Attributes:
        data: holds ``server/manifests`` and ``agent/images``.
        config: holds ``config.yaml`` and ``registries.yaml``.
    """

    data: Path = K3S
    config: Path = K3S_CONFIG

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the folders that ``k3s`` or ``k3s:DIR`` names.

        With `DIR`, a data folder of another place or of another machine, the settings go to
        ``DIR/etc``, for a person to copy.

        Raises:
            UsageError: it is something else.
        """
        kind, colon, path = text.partition(":")
        if kind != "k3s" or bool(colon) != bool(path):
            raise UsageError(
                "not something to bootstrap", found=text[:200], expected="k3s or k3s:DIR"
            )
        return cls(Path(path), Path(path) / "etc") if path else cls()

    @property
    def manifests(self) -> Path:
        """What k3s applies by itself."""
        return self.data / "server" / "manifests"

    @property
    def images(self) -> Path:
        """What k3s imports by itself: the destination of the bundle's images."""
        return self.data / "agent" / "images"


class K3sBootstrap:
    """The folders of a fresh k3s server that take what comes before Flux.

    Files have the same names for every bundle, and appear whole; one that is there already, word
    for word, is not touched, so that k3s does nothing. The images go to ``agent/images`` by a
    destination of their own.

    Args:
        bundle: whose charts and manifests.
        folders: k3s's.
        source: where Flux finds the manifests.
        registries: the mirror rules, a ``registries.yaml``; None where nodes need none.
        helm: the program that shows whether the charts take the values and the digests; None to
            go without.

    Raises:
        UsageError: the bundle lacks Cilium, Flux or manifests.
        IncompleteError: a manifest points outside.
    """

    part: Part = "bootstrap"

    def __init__(
        self,
        bundle: OpenBundle,
        folders: K3sFolders,
        source: FirstSource,
        registries: bytes | None = None,
        *,
        helm: Path | None = None,
    ) -> None:
        self.name = f"k3s:{folders.data}"
        self._folders = folders
        self._source = source
        self._helm = helm
        self._notes: list[str] = []
        self._charts = self._first_charts(bundle, platform_files(bundle))
        self._files = self._make(bundle, registries)

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            StorageError: a file there cannot be read.
            NoSpaceError: it does not fit.
            ToolError: helm cannot render a chart with its values.
        """
        present = [_same(path, data) for path, data in self._files.items()]
        sizes = [len(data) for data in self._files.values()]
        to_send = sum(size for size, done in zip(sizes, present, strict=True) if not done)
        check_space(self._folders.manifests, to_send, "the first deployment")
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(sizes),
            present=sum(present),
            bytes_total=sum(sizes),
            bytes_to_send=to_send,
            notes=(*self._notes, *self._replacing(), *self._unpinned()),
        )

    def load(self, progress: Progress) -> Loaded:
        """Write each file that is not there; the settings of k3s first, its manifests last.

        Raises:
            NoSpaceError: the disk is full.
            StorageError: the disk refused for another reason.
        """
        progress.on_start(f"bootstrap of {self.name}", sum(map(len, self._files.values())))
        placed = []
        for path, data in self._files.items():
            sent = not _same(path, data)
            if sent:
                write_file(path, data)
            placed.append(Placed(path.name, str(path), Digest.of(data), sent))
            progress.on_progress(len(data))
        progress.on_done()
        size = sum(
            len(data) for data, one in zip(self._files.values(), placed, strict=True) if one.sent
        )
        notes = (*self._notes, *self._next())
        return Loaded(self.part, self.name, tuple(placed), size, notes)

    def _make(self, bundle: OpenBundle, registries: bytes | None) -> dict[Path, bytes]:
        """Return every file by path, in the order in which they are written."""
        files = local_manifests(bundle, self._source.local)
        charts = self._charts
        config, manifests = self._folders.config, self._folders.manifests
        made: dict[Path, bytes] = {}
        if registries is not None:
            made[self._registries_path(registries)] = _headed(registries)
        settings = dump_yaml(objects.k3s_config(charts[0].values))
        made[config / "config.yaml.d" / "50-petra.yaml"] = _headed(settings)
        made[manifests / "petra-10-namespace.yaml"] = objects.dump_objects(
            [objects.first_namespace(files)], _HEAD
        )
        for number, chart in zip((20, 30), charts, strict=True):
            path = manifests / f"petra-{number}-{chart.release}.yaml"
            made[path] = objects.dump_objects([objects.helm_chart(chart)], _HEAD)
        made[manifests / "petra-40-platform.yaml"] = objects.dump_objects(
            self._platform(files), _HEAD
        )
        return made

    def _platform(self, files: PlatformFiles) -> list[dict[str, Any]]:
        source = self._source
        return [
            objects.key_secret(source.key),
            objects.platform_source(source.place.location, source.channel, source.local),
            *objects.first_kustomizations(files),
        ]

    def _first_charts(self, bundle: OpenBundle, files: PlatformFiles) -> list[objects.FirstChart]:
        by_chart = {release.chart: release for release in releases(files)}
        if missing := [name for name in FIRST_CHARTS if name not in by_chart]:
            raise UsageError(
                f"the bundle does not install {' and '.join(missing)}",
                where=f"{bundle.metadata.name} {bundle.metadata.version}",
                expected=f"HelmReleases of the charts {' and '.join(FIRST_CHARTS)}",
                hint="ask for a bundle with spec.platform.includeBase: true",
            )
        return [self._first_chart(bundle, by_chart[name]) for name in FIRST_CHARTS]

    def _first_chart(self, bundle: OpenBundle, release: Release) -> objects.FirstChart:
        for chart in bundled_charts(bundle):
            record = chart.record
            if record.name == release.chart and same_version(record.version, release.version):
                break
        else:
            raise NotFoundError(
                "the bundle lacks a chart that its manifests install",
                where=release.file,
                expected=f"{release.chart} {release.version}",
            )
        self._notes += [
            f"{release.key} takes values from {unseen}: k3s installs it without them"
            for unseen in release.unseen
        ]
        data = chart.read()
        info = inspect_chart(data, where=record.member)
        values = pin_values(
            release.values, info.values, release_pins(release), info.app_version or ""
        )
        return objects.FirstChart(release.release_name, release.target_namespace, data, values)

    def _registries_path(self, registries: bytes) -> Path:
        """Return where the mirror rules go: never over rules that somebody else wrote."""
        path = self._folders.config / _REGISTRIES
        there = _read(path)
        if there is None or there.startswith(f"# {_HEAD}".encode()):
            return path
        if there == registries:
            return path
        beside = path.with_name(f"{_REGISTRIES}.petra")
        self._notes.append(f"{path} is somebody else's: merge {beside.name} into it by hand")
        return beside

    def _replacing(self) -> list[str]:
        charts = [path for path in self._files if path.name.startswith(("petra-20", "petra-30"))]
        changed = [path for path in charts if path.exists() and not _same(path, self._files[path])]
        return [
            f"{path.name} changes: a running k3s upgrades that release by itself; once Flux "
            "manages it, load without --bootstrap instead"
            for path in changed
        ]

    def _unpinned(self) -> list[str]:
        """Name the images that the charts ask for without a digest, as far as helm shows them."""
        return [
            f"{image.reference} of {chart.release} is asked for by tag: its chart has no value "
            "that takes the digest"
            for chart in (self._charts if self._helm else ())
            for image in rendered_images(
                chart.data,
                helm=self._helm,
                values=chart.values,
                release_name=chart.release,
                namespace=chart.namespace,
            ).images
            if "@" not in image.reference
        ]

    def _next(self) -> list[str]:
        """Return what the person does next, one sentence each."""
        local = self._source.local
        secrets = [name for name in (local.secret, local.ca_secret) if name]
        config = self._folders.config
        is_aside = config != K3S_CONFIG
        copies = [f"copy what is in {config} to {K3S_CONFIG}"] if is_aside else []
        steps = [
            (
                "have k3s's own images in agent/images too (k3s-airgap-images-ARCH.tar.zst of its "
                "release): among them is klipper-helm, which installs these charts"
            ),
            *copies,
            f"check {K3S_CONFIG}, then start the server: systemctl enable --now k3s",
            *(f"create the Secret {name} in {objects.FLUX_NAMESPACE}" for name in secrets),
            (
                "watch it come up: kubectl -n kube-system get pods; then kubectl -n "
                f"{objects.FLUX_NAMESPACE} get kustomizations,helmreleases"
            ),
            "give further nodes the images and the settings as well; they need no manifests",
        ]
        return [*local.notes(), *steps]


def _headed(data: bytes) -> bytes:
    return f"# {_HEAD}\n".encode() + data


def _same(path: Path, data: bytes) -> bool:
    return _read(path, len(data) + 1) == data


def _read(path: Path, limit: int = -1) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"cannot read: {error.strerror}", where=str(path), hint="run it as root"
        ) from None
