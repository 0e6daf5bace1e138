"""What the steps of each side work with: clients, names of resources, settings, configuration."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from petra.aws.clients import kms_signer, service_client
from petra.aws.config_folder import ConfigFolder, find_folder
from petra.aws.environment import Environment
from petra.aws.pipeline.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3.client import S3Client

    from petra.aws.metrics import Metric
    from petra.aws.side_settings import ClassifiedSettings, ConnectedSettings
    from petra.load.kubernetes import Cluster
    from petra.oci.registry import RegistryClient
    from petra.trust.signer import Signer


def _now() -> datetime:
    return datetime.now(UTC)


@cache
def _client(service: str) -> Any:
    """Return the client for a service, one for all calls: to make one takes a tenth of a second."""
    return service_client(service, where=f"service {service}")


def _unheard(_values: dict[Metric, float]) -> None:
    """Pass over what was measured."""


@dataclass
class _Base:
    """What both sides have."""

    environment: Environment = field(default_factory=Environment.current)
    #: Takes what was measured.
    emit: Callable[[dict[Metric, float]], None] = _unheard

    def client(self, service: str) -> Any:
        """Return the client for a service."""
        return _client(service)

    @cached_property
    def s3(self) -> S3Client:
        """The client for S3."""
        client: S3Client = self.client("s3")
        return client

    @cached_property
    def config(self) -> ConfigFolder:
        """The stack's configuration."""
        return ConfigFolder(find_folder(self.environment.variables))

    @property
    def now(self) -> datetime:
        """The clock's time."""
        return _now()

    def signer(self) -> Signer:
        """Return who signs: this side's key in KMS."""
        return kms_signer(self.environment.need("SIGNING_KEY"))

    def _registries(self, plain_http: tuple[str, ...], secret: str | None) -> RegistryClient:
        from petra.aws.registry_access import AwsCredentials, secret_text  # noqa: PLC0415  # start-up time
        from petra.oci.registry import RegistryClient, RegistryOptions  # noqa: PLC0415  # as above

        config = (lambda: secret_text(self.client("secretsmanager"), secret)) if secret else None
        return RegistryClient(
            RegistryOptions(insecure_registries=frozenset(plain_http)),
            credentials=AwsCredentials(lambda: self.client("ecr"), config),
        )


class Connected(_Base):
    """The connected side."""

    @cached_property
    def settings(self) -> ConnectedSettings:
        """Its settings."""
        return self.environment.connected()

    @cached_property
    def staging(self) -> str:
        """The bucket of specs, documents and status."""
        return self.environment.need("STAGING")

    @cached_property
    def outbox(self) -> str:
        """The bucket of finished bundles."""
        return self.environment.need("OUTBOX")

    def runs(self, run: str) -> Runs:
        """Return the documents of a run."""
        return Runs(self.s3, self.staging, run)

    def registries(self) -> RegistryClient:
        """Return a client for registries."""
        return self._registries(self.settings.plain_http, self.settings.registry_secret)


class Classified(_Base):
    """The classified side."""

    @cached_property
    def settings(self) -> ClassifiedSettings:
        """Its settings."""
        return self.environment.classified()

    @cached_property
    def landing(self) -> str:
        """The bucket in which bundles arrive."""
        return self.environment.need("LANDING")

    @cached_property
    def quarantine(self) -> str:
        """The bucket of what was refused."""
        return self.environment.need("QUARANTINE")

    @cached_property
    def depot(self) -> str:
        """The bucket of manifests, documents and status."""
        return self.environment.need("DEPOT")

    def runs(self, run: str) -> Runs:
        """Return the documents of a run."""
        return Runs(self.s3, self.depot, run)

    def registries(self) -> RegistryClient:
        """Return a client for registries."""
        return self._registries(self.settings.plain_http, self.settings.registry_secret)

    @contextmanager
    def cluster(self) -> Iterator[Cluster | None]:
        """Give the cluster's API; None where there is none to ask.

        Raises:
            NotFoundError: the secret with its kubeconfig is not there.
            SettingError: what is in it is unusable.
        """
        from petra.aws.registry_access import secret_file, secret_text  # noqa: PLC0415  # as needed
        from petra.load.kubeconfig import connect  # noqa: PLC0415  # as above

        named = self.settings.cluster
        if named is None or named.secret is None:
            yield None
            return
        path = secret_file(secret_text(self.client("secretsmanager"), named.secret))
        with connect(str(path)) as found:
            yield found
