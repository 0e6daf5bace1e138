"""Authentication: Basic, and Bearer tokens fetched, kept and renewed."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from petra.encoding.json import load_json
from petra.errors import AccessError, FormatError
from petra.oci.challenge import Challenge, parse_challenges
from petra.oci.transport import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from petra.oci.credentials import Credential, CredentialStore
    from petra.oci.transport import Transport
    from petra.oci.urls import Url

_TOKEN_LIMIT: Final = 1024 * 1024
#: What a token lives where its issuer does not say (distribution's token specification).
_DEFAULT_SECONDS: Final = 60.0
#: Of its life, the part in which a token is used: requests take time and clocks differ.
_USED_PART: Final = 0.9
_FOREVER: Final = float("inf")
_CLIENT_ID: Final = "petra"
# A header takes visible ASCII; anything else could break out of it.
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")


@dataclass(frozen=True, slots=True)
class _Pass:
    """An Authorization header and when it ends, by the clock."""

    header: str
    ends: float


class Authenticator:
    """Knows each registry's way in, and keeps one token for each registry and scope.

    Args:
        transport: fetches tokens.
        credentials: who we are.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self.credentials = credentials
        self.clock = clock
        self._registries: dict[str, Registry] = {}
        self._scopes: dict[tuple[str, tuple[str, ...]], ScopedAuth] = {}
        self._lock = threading.Lock()

    def scoped(self, registry: str, api: Url, *scopes: str) -> ScopedAuth:
        """Return the way in to `registry` for `scopes`.

        Args:
            registry: as Docker's configuration names it.
            api: where its API is.
            scopes: ``repository:NAME:pull`` and the like.
        """
        key = registry, tuple(sorted(scopes))
        with self._lock:
            if key not in self._scopes:
                entry = self._registries.setdefault(registry, Registry(registry, api))
                self._scopes[key] = ScopedAuth(self, entry, key[1])
            return self._scopes[key]


@dataclass(slots=True)
class Registry:
    """What is known of one registry.

    Attributes:
        name: as Docker's configuration has it.
        api: where its API is.
        challenge: the last one that it made; with it a token can be had before the next request.
    """

    name: str
    api: Url
    challenge: Challenge | None = None


class ScopedAuth:
    """The Authorization header for one registry and one set of scopes. Thread-safe.

    Source: distribution, "Token Authentication Specification" and "OAuth2 Token Authentication".
    """

    def __init__(self, owner: Authenticator, registry: Registry, scopes: tuple[str, ...]) -> None:
        self._owner = owner
        self._registry = registry
        self._scopes = scopes
        self._pass: _Pass | None = None
        self._lock = threading.Lock()

    def header(self) -> str | None:
        """Return a header that is good for now; None before the registry has asked for one."""
        current = self._current()
        if current or self._registry.challenge is None:
            return current
        with self._lock:
            return self._current() or self._obtain(self._registry.challenge, None)

    def renew(self, refused: str | None, challenges: Sequence[str]) -> str | None:
        """Return another header than the `refused` one; None where the registry offers no way.

        Raises:
            AccessError: the token server refuses.
            TransportError: it fails.
        """
        challenge = _choose(parse_challenges(challenges))
        if challenge is None:
            return None
        with self._lock:
            current = self._current()
            if current and current != refused:
                return current  # another thread was faster
            self._pass = None
            # The scope that it names is this request's; the rest holds for all.
            lasting = {name: text for name, text in challenge.parameters.items() if name != "scope"}
            self._registry.challenge = Challenge(challenge.scheme, lasting)
            return self._obtain(challenge, refused)

    def hint(self) -> str:
        """Return what a user can do about a refusal."""
        name, path = self._registry.name, self._owner.credentials.path
        if self._owner.credentials.get(name) is None:
            return f"no credentials for {name} in {path}: run `docker login {name}`"
        return f"the credentials for {name} come by {path}: do they allow this?"

    def _current(self) -> str | None:
        current = self._pass
        return current.header if current and self._owner.clock() < current.ends else None

    def _obtain(self, challenge: Challenge, refused: str | None) -> str | None:
        credential = self._owner.credentials.get(self._registry.name)
        made: _Pass | None
        if credential and credential.registry_token:
            made = _Pass(f"Bearer {credential.registry_token}", _FOREVER)
        elif challenge.scheme == "basic":
            made = self._basic(credential, refused)
        else:
            made = self._token(challenge, credential)
        if made is None or made.header == refused:
            return None
        self._pass = made
        return made.header

    def _basic(self, credential: Credential | None, refused: str | None) -> _Pass | None:
        if credential and credential.basic == refused:
            # A helper's password may have run out; it has a new one then.
            credential = self._owner.credentials.get(self._registry.name, fresh=True)
        return _Pass(credential.basic, _FOREVER) if credential and credential.password else None

    def _token(self, challenge: Challenge, credential: Credential | None) -> _Pass:
        started = self._owner.clock()
        request, auth = self._token_request(challenge, credential)
        answer, body = self._owner.transport.document(request, auth, limit=_TOKEN_LIMIT)
        token, seconds = _read_token(body, where=str(answer.url))
        return _Pass(f"Bearer {token}", started + seconds * _USED_PART)

    def _token_request(
        self, challenge: Challenge, credential: Credential | None
    ) -> tuple[Request, FixedAuth | None]:
        realm = self._owner.transport.follow_link(self._registry.api, challenge.parameters["realm"])
        asked = challenge.parameters.get("scope", "").split()
        fields = [("scope", scope) for scope in dict.fromkeys([*self._scopes, *asked])]
        if service := challenge.parameters.get("service"):
            fields.insert(0, ("service", service))
        subject = f"a token for {self._registry.name}"
        if credential and credential.identity_token:
            scopes = " ".join(text for name, text in fields if name == "scope")
            form = {"grant_type": "refresh_token", "service": service or "", "scope": scopes}
            form |= {"client_id": _CLIENT_ID, "refresh_token": credential.identity_token}
            request = Request("POST", realm, subject, body=urlencode(form).encode())
            request.headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request.secret = credential.identity_token
            return request, FixedAuth(self, None)
        if credential:
            fields.append(("account", credential.username))
        url = realm.with_query(urlencode(fields)) if fields else realm
        return Request("GET", url, subject), FixedAuth(self, credential)


class FixedAuth:
    """Name and password for a token server, sent whether it asks or not."""

    def __init__(self, owner: ScopedAuth, credential: Credential | None) -> None:
        self._owner = owner
        self._header = credential.basic if credential else None

    def header(self) -> str | None:
        """Return the header."""
        return self._header

    def renew(self, refused: str | None, challenges: Sequence[str]) -> None:
        """Return None: there is no other."""

    def hint(self) -> str:
        """Return what a user can do about a refusal."""
        return self._owner.hint()


def _choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the best way in that Petra knows: a token before the password itself."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return challenge
    return next((challenge for challenge in challenges if challenge.scheme == "basic"), None)


def _read_token(body: bytes, *, where: str) -> tuple[str, float]:
    """Return the token in a token server's answer and the seconds that it lives."""
    try:
        value: Any = load_json(body, where=where)
        token = value.get("token") or value.get("access_token")
        seconds = value.get("expires_in") or _DEFAULT_SECONDS
    except (FormatError, AttributeError):
        token, seconds = None, _DEFAULT_SECONDS
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise AccessError("the token server gave no usable token", where=where)
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        seconds = _DEFAULT_SECONDS
    return token, max(float(seconds), 1.0)
