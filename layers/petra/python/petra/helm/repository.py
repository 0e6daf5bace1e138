"""Finds charts: in HTTP repositories, in OCI registries and in local folders."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from petra.content.digest import Digest
from petra.errors import (
    AccessError,
    DigestMismatchError,
    FormatError,
    IncompleteError,
    NotFoundError,
    TransportError,
    UsageError,
)
from petra.helm.chart import ChartInfo, check_chart, inspect_chart
from petra.helm.folder import ChartFolder
from petra.helm.index_file import INDEX_LIMIT, IndexEntry, find_entry, plain_index
from petra.helm.registry import Registries, fetch_oci_chart
from petra.helm.tarball import COMPRESSED_LIMIT
from petra.helm.versions import check_exact, same_version
from petra.helm.web import HttpGetter, WebUrl
from petra.oci.urls import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.oci.credentials import CredentialStore
    from petra.oci.registry import RegistryClient

#: A provenance file is a signed Chart.yaml and one digest.
PROVENANCE_LIMIT = 1024 * 1024
#: Bytes of indexes that a ChartSource remembers.
REMEMBERED_LIMIT = 32 * 1024 * 1024

_MEMBER_NAME_LIMIT = 100

#: Where the expected digest came from: the repository's index, the OCI manifest, or nowhere.
DigestSource = Literal["index", "manifest", "computed"]


@dataclass(frozen=True, slots=True)
class ResolvedChart:
    """A chart, found, fetched and checked.

    Attributes:
        requested: the version as the caller wrote it; the chart's own may differ by a ``v``.
        repo: the repository as the spec names it, redacted.
        url: where the archive came from, redacted.
        digest: of the ``.tgz``, byte for byte as it was served.
        digest_source: who said so before it was fetched; ``computed`` where nobody did.
        info: what the chart says of itself.
        data: the ``.tgz``.
        provenance: the ``.prov`` beside it, where there is one. Not verified.
        manifest_digest: the digest of the OCI manifest, for charts from a registry.
    """

    requested: str
    repo: str
    url: str
    digest: Digest
    digest_source: DigestSource
    info: ChartInfo
    data: bytes = field(repr=False)
    provenance: bytes | None = field(default=None, repr=False)
    manifest_digest: Digest | None = None

    @property
    def name(self) -> str:
        """The chart's name."""
        return self.info.name

    @property
    def version(self) -> str:
        """The chart's version, as the chart itself writes it."""
        return self.info.version

    @property
    def size(self) -> int:
        """Bytes of the ``.tgz``."""
        return len(self.data)

    @property
    def file_name(self) -> str:
        """``NAME-VERSION.tgz``."""
        return self.info.file_name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """``Chart.yaml``."""
        return self.info.metadata

    @property
    def app_version(self) -> str | None:
        """The version of what the chart installs, where it says."""
        return self.info.app_version

    @property
    def deprecated(self) -> bool:
        """Whether the publisher has given the chart up."""
        return self.info.deprecated


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An archive before it is checked, and what was promised of it."""

    url: str
    data: bytes = field(repr=False)
    expected: Digest | None = None
    source: DigestSource = "computed"
    provenance: bytes | None = field(default=None, repr=False)
    manifest_digest: Digest | None = None


def resolve_chart(
    name: str,
    repo: str,
    version: str,
    *,
    http: HttpGetter,
    registries: Registries,
    folder: Path | None = None,
) -> ResolvedChart:
    """Find one chart; see :meth:`ChartSource.resolve`. For several charts make one ChartSource."""
    return ChartSource(http=http, registries=registries, folder=folder).resolve(name, repo, version)


class ChartSource:
    """Finds charts, and remembers each repository's index for the next chart from it.

    Safe to use from several threads.

    Args:
        http: for repositories with an ``index.yaml``.
        registries: for ``oci://``; a RegistryClient.
        folder: what relative paths of local repositories start from; here where None.
        credentials: Docker's configuration. HTTP repositories are in it by their host, and get
            their Basic credentials when they ask.
    """

    def __init__(
        self,
        *,
        http: HttpGetter,
        registries: Registries,
        folder: Path | None = None,
        credentials: CredentialStore | None = None,
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._registries = registries
        self._folder = folder or Path()
        self._indexes: dict[WebUrl, bytes] = {}
        self._gates: dict[WebUrl, threading.Lock] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, client: RegistryClient, *, folder: Path | None = None) -> Self:
        """Return a source that reaches everything as `client` does, its credentials included."""
        return cls(
            http=client.http, registries=client, folder=folder, credentials=client.credentials
        )

    def resolve(
        self, name: str, repo: str, version: str, *, allow_scripts: Sequence[str] = ()
    ) -> ResolvedChart:
        """Find, fetch and check one chart.

        Args:
            name: the chart's name.
            repo: ``https://HOST/PATH`` of a repository with an ``index.yaml``; ``oci://HOST/PATH``
                for the chart at ``HOST/PATH/NAME``; or a folder, as a path or ``file://`` URL, with
                an ``index.yaml`` or with the archives alone. Userinfo in an HTTP URL is sent to
                that origin only, and never shown.
            version: one version. A leading ``v`` makes no difference, as with Helm.
            allow_scripts: see :func:`petra.helm.chart.check_chart`.

        Raises:
            UsageError: the version is a range, or `repo` is no repository's address.
            NotFoundError: no such repository, chart or version.
            DigestMismatchError: the archive is not the one that the index or manifest names.
            FormatError: index or archive are broken, or the chart is another one.
            ContentRefusedError: the chart carries a program, or is a trap.
            IncompleteError: the chart lacks the charts that it depends on.
            TransportError: the network or the other side failed.

        Source: Helm, "The Chart Repository Guide" and "Use OCI-based registries".
        """
        chart = f"chart {name} {version} of {redact(repo)}"
        check_exact(version, where=chart)
        fetched = self._fetch(name, repo, version)
        digest = Digest.of(fetched.data)
        if fetched.expected and digest != fetched.expected:
            raise DigestMismatchError(
                f"{chart} is not what its repository says",
                where=fetched.url,
                expected=fetched.expected,
                found=digest,
                hint="do not use it; ask the repository's owner, or take another version",
            )
        where = f"{name}-{version}.tgz"
        check_chart(fetched.data, where=where, allow_scripts=allow_scripts)
        info = inspect_chart(fetched.data, where=where)
        _check_identity(info, name, version, fetched.url)
        return ResolvedChart(
            requested=version,
            repo=redact(repo),
            url=fetched.url,
            digest=digest,
            digest_source=fetched.source,
            info=info,
            data=fetched.data,
            provenance=fetched.provenance,
            manifest_digest=fetched.manifest_digest,
        )

    def _fetch(self, name: str, repo: str, version: str) -> _Fetched:
        if repo.startswith("oci://"):
            return self._from_registry(f"{repo.rstrip('/')}/{name}:{version.replace('+', '_')}")
        if repo.startswith(("http://", "https://")):
            return self._from_web(WebUrl.parse(repo), name, version)
        if repo.startswith("file://"):
            return self._from_folder(Path(unquote(urlsplit(repo).path)), name, version)
        if repo.startswith((".", "/")):
            return self._from_folder(self._folder / repo, name, version)
        raise UsageError(
            "not the address of a chart repository",
            where=redact(repo),
            expected="https://HOST/PATH, oci://HOST/PATH, or a folder such as ./charts",
        )

    def _from_registry(self, url: str, expected: Digest | None = None) -> _Fetched:
        chart = fetch_oci_chart(self._registries, url)
        # An index may name an OCI chart by either digest.
        if expected and expected == chart.manifest_digest:
            expected = None
        return _Fetched(
            url,
            chart.data,
            expected or chart.digest,
            "index" if expected else "manifest",
            chart.provenance,
            chart.manifest_digest,
        )

    def _from_web(self, url: WebUrl, name: str, version: str) -> _Fetched:
        where = redact(url.join("index.yaml"))
        entry = find_entry(self._index(url), name, version, where=where)
        return self._first(entry, url)

    def _first(self, entry: IndexEntry, repository: WebUrl) -> _Fetched:
        """Fetch from the first of the entry's URLs that has it."""
        *others, last = [repository.join(url) for url in entry.urls]
        for url in others:
            try:
                return self._from_url(url, entry.digest, repository)
            except (NotFoundError, TransportError):
                continue
        return self._from_url(last, entry.digest, repository)

    def _from_url(self, url: str, digest: Digest | None, repository: WebUrl | None) -> _Fetched:
        if url.startswith("oci://"):
            return self._from_registry(url, digest)
        target = WebUrl.parse(url)
        if repository and repository.is_secure and not target.is_secure and not digest:
            raise FormatError(
                "index leads from https to http, and has no digest to check the chart by",
                where=redact(url),
                hint="ask the repository's owner, or take the chart from elsewhere",
            )
        headers = repository.headers_for(url) if repository else {}
        headers = target.headers_for(target.url) or headers
        data = self._get(target.url, COMPRESSED_LIMIT, headers)
        return _Fetched(
            redact(url),
            data,
            digest,
            "index" if digest else "computed",
            self._provenance(target, headers),
        )

    def _provenance(self, target: WebUrl, headers: Mapping[str, str]) -> bytes | None:
        """Return the ``.prov`` beside a chart, if any."""
        # Storage services that list nothing answer 403 for what is not there.
        try:
            return self._get(target.beside(".prov"), PROVENANCE_LIMIT, headers)
        except (NotFoundError, AccessError):
            return None

    def _index(self, url: WebUrl) -> bytes:
        """Return a repository's index; threads that want the same one wait for the first."""
        with self._lock:
            gate = self._gates.setdefault(url, threading.Lock())
        with gate:
            if (known := self._indexes.get(url)) is not None:
                return known
            data = self._fetch_index(url)
            with self._lock:
                self._indexes[url] = data
                while sum(map(len, self._indexes.values())) > REMEMBERED_LIMIT:
                    del self._indexes[next(iter(self._indexes))]
            return data

    def _fetch_index(self, url: WebUrl) -> bytes:
        address = url.join("index.yaml")
        try:
            data = self._get(address, INDEX_LIMIT, url.headers_for(address))
        except NotFoundError:
            raise NotFoundError(
                "no chart repository there: it has no index.yaml",
                where=redact(address),
                hint="check the URL; a repository in an OCI registry begins with oci://",
            ) from None
        return plain_index(data, where=redact(address))

    def _get(self, url: str, limit: int, headers: Mapping[str, str]) -> bytes:
        """Get `url`, once more with the credentials for its host where it asks for any."""
        try:
            return self._http.get(url, limit=limit, headers=headers)
        except AccessError:
            if "Authorization" in headers or self._credentials is None:
                raise
            known = self._credentials.get(urlsplit(url).netloc)
            if known is None or not known.password:
                raise
            secret = {**headers, "Authorization": known.basic}
            return self._http.get(url, limit=limit, headers=secret)

    def _from_folder(self, path: Path, name: str, version: str) -> _Fetched:
        folder = ChartFolder(path)
        index = folder.index()
        if index is None:
            file = folder.find(name, version)
            return _Fetched(str(file), folder.read(file, COMPRESSED_LIMIT))
        entry = find_entry(index, name, version, where=str(path / "index.yaml"))
        if urlsplit(entry.urls[0]).scheme:
            return self._from_url(entry.urls[0], entry.digest, None)
        file = folder.inside(unquote(entry.urls[0]))
        data = folder.read(file, COMPRESSED_LIMIT)
        return _Fetched(str(file), data, entry.digest, "index" if entry.digest else "computed")


def _check_identity(info: ChartInfo, name: str, version: str, where: str) -> None:
    """Refuse a chart that is another one than was asked for, or that cannot be installed."""
    if info.name != name or not same_version(info.version, version):
        raise FormatError(
            "the archive holds another chart than its repository says",
            where=where,
            expected=f"{name} {version}",
            found=f"{info.name} {info.version}",
            hint="ask the repository's owner, or take another version",
        )
    if len(f"charts/{info.file_name}") > _MEMBER_NAME_LIMIT:
        raise FormatError(
            "name and version of the chart are too long for a bundle",
            where=where,
            expected=f"at most {_MEMBER_NAME_LIMIT} characters",
            found=f"charts/{info.file_name}",
        )
    if info.missing_dependencies:
        raise IncompleteError(
            f"chart {name} {version} lacks charts that it depends on",
            where=where,
            expected=", ".join(info.missing_dependencies),
            hint="package it with `helm dependency build` and `helm package`",
        )
