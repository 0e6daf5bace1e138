"""Credentials for registries: ECR's own, or those of a secret, never on a disk."""

from __future__ import annotations

import base64
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petra.aws.faults import petra_errors
from petra.errors import AccessError
from petra.oci.credentials import Credential, CredentialStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from types_boto3_ecr.client import ECRClient

#: Source: Amazon ECR User Guide, "Registry concepts", and of the isolated partitions their own.
_ECR: Final = re.compile(r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.[a-z0-9.-]+")
#: Tokens last 12 hours; they are asked for anew before.
_FRESH: Final = timedelta(hours=1)


def is_ecr(host: str) -> bool:
    """Say whether `host` is a private registry of ECR's."""
    return _ECR.fullmatch(host) is not None


def secret_file(data: bytes) -> Path:
    """Return a path under which this process alone reads `data`, kept in memory."""
    number = os.memfd_create("petra-secret", os.MFD_CLOEXEC)
    os.write(number, data)
    return Path(f"/proc/self/fd/{number}")


class AwsCredentials(CredentialStore):
    """ECR's tokens for ECR, and Docker's configuration, out of a secret, for all others.

    Args:
        ecr: makes a client for ECR; called when it is first needed.
        config: gives Docker's ``config.json``; None where there is none.
    """

    def __init__(
        self, ecr: Callable[[], ECRClient], config: Callable[[], bytes] | None = None
    ) -> None:
        # Whoever's home this is, its Docker configuration does not count.
        environ = {"DOCKER_CONFIG": "/nonexistent"}
        super().__init__(secret_file(config()) if config else None, environ=environ)
        self._ecr = ecr
        self._token: tuple[Credential, datetime] | None = None
        self._asking = threading.Lock()

    def get(self, registry: str, *, fresh: bool = False) -> Credential | None:
        """Return the credential for `registry`; see :class:`CredentialStore`.

        Raises:
            AccessError: ECR gives none.
        """
        if not is_ecr(registry):
            return super().get(registry, fresh=fresh)
        with self._asking:
            if fresh or self._token is None or self._token[1] < datetime.now(UTC) + _FRESH:
                self._token = self._asked(registry)
            return self._token[0]

    def _asked(self, registry: str) -> tuple[Credential, datetime]:
        with petra_errors(doing="get a token", where=f"service ECR for {registry}"):
            found = self._ecr().get_authorization_token()["authorizationData"]
        if not found:
            raise AccessError("ECR gives no token", where=registry)
        name, _, password = base64.b64decode(found[0]["authorizationToken"]).decode().partition(":")
        return Credential(name, password), found[0]["expiresAt"]


def create_repositories(ecr: ECRClient, paths: Iterable[str]) -> None:
    """Create repositories of ECR's that are not there; unlike other registries it makes none.

    Raises:
        AccessError: ECR refuses.
        TransportError: ECR failed or cannot be reached.
    """
    for path in dict.fromkeys(paths):
        with petra_errors(doing="create the repository", where=f"service ECR, repository {path}"):
            try:
                ecr.create_repository(repositoryName=path)
            except ecr.exceptions.RepositoryAlreadyExistsException:
                continue


def secret_text(client: Any, name: str) -> bytes:
    """Return a secret of Secrets Manager.

    Raises:
        AccessError: it may not be read.
        NotFoundError: there is none of this name.
        TransportError: AWS failed or cannot be reached.
    """
    with petra_errors(doing="read the secret", where=f"secret {name}"):
        answer = client.get_secret_value(SecretId=name)
    text = answer.get("SecretString")
    return text.encode() if text is not None else bytes(answer["SecretBinary"])
