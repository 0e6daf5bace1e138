"""Where a bundle goes on the classified side: destinations of petra.load, by the settings."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from petra.aws.pipeline.depot_manifests import DepotManifests
from petra.aws.registry_access import create_repositories, is_ecr
from petra.errors import AccessError, UnsupportedError
from petra.load.chart_registry import ChartRegistry
from petra.load.image_registry import RegistryDestination
from petra.load.manifest_registry import ManifestRegistry
from petra.load.places import Place
from petra.load.rendering import LocalRegistry
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from petra.aws.pipeline.sides import Classified
    from petra.load.destination import Destination, OpenBundle, Publication
    from petra.oci.registry import RegistryClient

#: Below the settings' prefix.
CHARTS: Final = "charts"
PLATFORM: Final = "platform"
MANIFESTS: Final = "manifests/"
#: Their members in a bundle.
_FOLDER: Final = "platform/"


class Places:
    """The places of one bundle, open while a block lasts.

    Args:
        side: the classified side.
        bundle: what goes there.
    """

    def __init__(self, side: Classified, bundle: OpenBundle) -> None:
        self._side = side
        self._bundle = bundle
        self._stack = ExitStack()
        self._host: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def host(self) -> str:
        """The registry.

        Raises:
            AccessError: the account has none of ECR's.
        """
        named = self._side.settings.registry
        if self._host is None:
            self._host = self._account_host() if named == "ecr" else named
        return self._host

    def _account_host(self) -> str:
        """Return the account's own host: it tells its name with a token, in every partition."""
        from petra.aws.faults import petra_errors  # noqa: PLC0415  # as needed

        with petra_errors(doing="find the registry", where="service ECR"):
            found = self._side.client("ecr").get_authorization_token()["authorizationData"]
        if not found:
            raise AccessError("ECR tells no registry", where="service ECR")
        return str(found[0]["proxyEndpoint"]).removeprefix("https://")

    def _below(self, *parts: str) -> str:
        return "/".join(filter(None, (self.host, self._side.settings.prefix.strip("/"), *parts)))

    def images(self, index: int | None = None) -> RegistryDestination:
        """Return the place of all images, or of the one at `index`."""
        place = Place.parse(f"registry://{self._below()}")
        place.check(Reference.parse(one.reference) for one in self._bundle.lock.images)
        bundle = self._bundle
        if index is not None:
            lock = bundle.lock.model_copy(update={"images": (bundle.lock.images[index],)})
            bundle = replace(bundle, lock=lock)
        self._make(place.repository(Reference.parse(one.reference)) for one in bundle.lock.images)
        return RegistryDestination(
            f"registry://{self._below()}",
            place,
            bundle,
            self._side.registries,
            sparse_index="child",
        )

    def charts(self) -> Destination | None:
        """Return the place of the charts; None for a bundle without.

        Raises:
            UnsupportedError: they are to go to the depot.
        """
        if not self._bundle.metadata.charts:
            return None
        if self._side.settings.charts != "registry":
            raise UnsupportedError(
                "charts are loaded into a registry alone",
                where="settings: charts",
                expected="registry",
                hint="set `charts` to registry; Flux reads them there as OCIRepository",
            )
        url = self._below(CHARTS)
        path = url.partition("/")[2]
        self._make(f"{path}/{one.name}" for one in self._bundle.metadata.charts)
        return ChartRegistry(self._bundle, self._client(), f"oci://{url}")

    def manifests(self) -> Publication | None:
        """Return the place of the platform's manifests; None for a bundle without."""
        if not any(name.startswith(_FOLDER) for name in self._bundle.reader.members):
            return None
        side, local = self._side, self._local()
        if side.settings.manifests == "depot":
            return DepotManifests(self._bundle, side.s3, side.depot, MANIFESTS, local=local)
        url = self._below(PLATFORM)
        self._make([url.partition("/")[2]])
        return ManifestRegistry(
            self._bundle, self._client(), f"oci://{url}", signer=side.signer(), local=local
        )

    def survey(self) -> None:
        """Look at the places of charts and manifests; change nothing but ECR's empty repositories.

        Raises:
            PolicyError: another chart, or other manifests, of the same version are there.
            PetraError: a place cannot be reached, or refuses us.
        """
        for one in (self.charts(), self.manifests()):
            if one is not None:
                one.survey()

    def _client(self) -> RegistryClient:
        return self._stack.enter_context(self._side.registries())

    def _make(self, paths: object) -> None:
        if is_ecr(self.host):
            create_repositories(self._side.client("ecr"), paths)  # type: ignore[arg-type]  # texts

    def _local(self) -> LocalRegistry:
        plain = self.host in self._side.settings.plain_http
        return LocalRegistry(charts=self._below(CHARTS), insecure=plain)
