"""Calling a Receiver of Flux's, where the cluster's API itself is out of reach.

Source: notification-controller v1.9.3, ``api/v1/receiver_types.go`` (``GetWebhookPath``) and
``internal/server/receiver_handlers.go``, type ``generic-hmac``.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from petra.content.digest import Digest
from petra.encoding.json import canonical_json
from petra.errors import AccessError, NotFoundError, PetraError, SettingError
from petra.oci.transport import Request
from petra.oci.urls import Url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from petra.oci.transport import Transport

_OK: Final = frozenset({200, 202, 204})
_REFUSED: Final = frozenset({400, 401, 403})
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Receiver:
    """A Receiver of type ``generic-hmac``.

    Attributes:
        url: where notification-controller's receiver is reached, ``https://HOST[/PREFIX]``.
        namespace: the object's namespace.
        name: the object's name.
        token: what its Secret holds as ``token``. A secret.
    """

    url: str
    namespace: str
    name: str
    token: bytes = field(repr=False)

    def path(self) -> str:
        """Return the hook's path, which only who has the token can tell."""
        told = self.token + self.name.encode() + self.namespace.encode()
        return f"/hook/{Digest.of(told).hex}"

    def signature(self, body: bytes) -> str:
        """Return what ``X-Signature`` holds for `body`."""
        return f"sha256={hmac.digest(self.token, body, 'sha256').hex()}"


def call_receiver(receiver: Receiver, event: Mapping[str, Any], transport: Transport) -> None:
    """Tell a Receiver that something is new; it asks the resources that it lists to reconcile.

    Args:
        receiver: whom to call.
        event: what to tell, JSON without fractions: the Receiver's filters see it as ``req``.
        transport: tries again where that can help, a Receiver that is not ready among it.

    Raises:
        SettingError: the token is empty.
        NotFoundError: there is no Receiver of this name, namespace and token.
        AccessError: it refuses the signature.
        TransportError: it cannot be reached, or failed.
    """
    where = f"Receiver {receiver.namespace}/{receiver.name} at {receiver.url.rstrip('/')}"
    if not receiver.token:
        raise SettingError("the Receiver's token is empty", where=where)
    body, path = canonical_json(dict(event)), receiver.path()
    request = Request(
        "POST",
        Url.parse(receiver.url.rstrip("/") + path),
        f"Receiver {receiver.namespace}/{receiver.name}",
        headers={"Content-Type": "application/json"},
        private={"X-Signature": receiver.signature(body)},
        body=body,
        ok=_OK | _REFUSED | {_NOT_FOUND},
        secret=path,
    )
    try:
        answer = transport.send(request)
    except PetraError as error:
        error.where = where  # the path is for those who have the token
        error.hint = "check that the Receiver is ready, not suspended, and reached under this URL"
        raise
    answer.discard()
    if answer.status == _NOT_FOUND:
        raise NotFoundError(
            "there is no such Receiver",
            where=where,
            hint="check name, namespace and token: all three make the hook's path "
            "(a line end in the Secret's token counts there, too)",
        )
    if answer.status in _REFUSED:
        raise AccessError(
            f"the Receiver refuses the request: HTTP {answer.status}",
            where=where,
            hint="check that its type is generic-hmac, and the token in its Secret",
        )
