"""What is measured against what."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.charts import chart_repository
from bench.chunks import chunks
from bench.environment import cache, ensure_pushed, ensure_update_pushed, write_spec
from bench.evidence import evidence
from bench.measure import Command, Comparison, compare
from bench.ways import ways
from tests.support.docker_registry import running_registry
from tests.support.processes import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.images import ImageSet
    from tests.support.tools import Toolbox

_PETRA = Path(sys.executable).with_name("petra")
# No settings of the user's own.
_ENVIRONMENT = {"COSIGN_PASSWORD": "bench", "XDG_CONFIG_HOME": "/nonexistent"}


@dataclass
class Bench:
    """What every case needs.

    Attributes:
        toolbox: finds the peers.
        host: the running registry.
        scale: of the image set; 1 is 1.1 GB.
        pairs: how often each pair runs.
    """

    toolbox: Toolbox
    host: str
    scale: float
    pairs: int

    @cached_property
    def work(self) -> Path:
        """The folder for all outputs."""
        folder = cache() / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def images(self, scale: float | None = None) -> ImageSet:
        """Return the image set, in the registry."""
        return ensure_pushed(self.host, self.scale if scale is None else scale)[0]

    def layer_bytes(self, scale: float | None = None) -> int:
        """Return the bytes of the set's layers, each once."""
        return ensure_pushed(self.host, self.scale if scale is None else scale)[1]

    @cached_property
    def key(self) -> Path:
        """An encrypted signing key, ``cosign.pub`` beside it."""
        key = self.work / "keys" / "cosign.key"
        if not key.exists():
            key.parent.mkdir(exist_ok=True)
            subprocess.run(
                [self.toolbox.find("cosign"), "generate-key-pair"],
                cwd=key.parent,
                env={"COSIGN_PASSWORD": _ENVIRONMENT["COSIGN_PASSWORD"], "HOME": str(self.work)},
                check=True,
                capture_output=True,
            )
        return key

    @property
    def public_key(self) -> Path:
        """The public half."""
        return self.key.with_suffix(".pub")

    def petra(self, label: str, *arguments: str | Path, outputs: tuple[Path, ...] = ()) -> Command:
        """Return a call of petra."""
        return Command(label, [_PETRA, *arguments], outputs, _ENVIRONMENT)

    def create(
        self, images: ImageSet, *options: str | Path, label: str = "petra bundle create"
    ) -> Command:
        """Return the call that makes and signs the bundle of `images`."""
        spec = write_spec(self.work / images.label, images, self.host)
        output = self.work / images.label / "dist"
        arguments = ("-f", spec, "--key", self.key, "--output-dir", output, *options)
        return self.petra(label, "bundle", "create", *arguments, outputs=(output,))

    def crane(
        self, images: ImageSet, host: str | None = None, label: str = "crane pull"
    ) -> Command:
        """Return the call that only pulls `images`."""
        target = self.work / "crane"
        pull = (self.toolbox.find("crane"), "pull", "--format=oci")
        return Command(label, [*pull, *images.references(host or self.host), target], (target,))

    def skopeo(self, images: ImageSet) -> Command:
        """Return the calls that copy `images` into one layout, one after another."""
        target, program = self.work / "skopeo", self.toolbox.find("skopeo")
        copy = (str(program), "copy", "--quiet", "--src-tls-verify=false")
        lines = [
            shlex.join([*copy, f"docker://{reference}", f"oci:{target}:image{number}"])
            for number, reference in enumerate(images.references(self.host))
        ]
        return Command("skopeo copy", ["sh", "-ec", "\n".join(lines)], (target,))

    def bundle(self, images: ImageSet) -> Path:
        """Return a fresh bundle of `images`, made outside the clock, kept until it is made anew."""
        kept = self.work / images.label / "kept"
        found = sorted(kept.glob("*.tar.zst"))
        if not found or found[0].stat().st_mtime < _newest_source():
            spec = write_spec(self.work / images.label, images, self.host)
            options = ("-f", spec, "--key", self.key, "--output-dir", kept)
            subprocess.run(
                [_PETRA, "bundle", "create", *options],
                env=_environment(_ENVIRONMENT),
                check=True,
                capture_output=True,
            )
            found = sorted(kept.glob("*.tar.zst"))
        return found[0]


def peers(bench: Bench) -> Iterator[Comparison]:
    """Crane and skopeo alone: what this machine does today."""
    images = bench.images()
    commands = [bench.skopeo(images), bench.crane(images)]
    yield compare("peers alone", commands, pairs=bench.pairs)


def create(bench: Bench) -> Iterator[Comparison]:
    """Create and sign, whole, against crane and skopeo, which only pull."""
    images = bench.images()
    commands = [bench.create(images), bench.crane(images), bench.skopeo(images)]
    comparison = compare("create and sign", commands, pairs=bench.pairs, goal=1.1)
    size = bench.bundle(images).stat().st_size
    written = comparison.series[0].median("written") / size
    peak = comparison.series[0].peak() / (1 << 20)
    note = f"written {written:.3f} x the bundle (goal 1.02), peak {peak:.0f} MiB (goal 128)"
    yield Comparison(comparison.name, comparison.series, comparison.goal, note)


def verify(bench: Bench) -> Iterator[Comparison]:
    """Signature, members and digests, against hashing the file once."""
    bundle = bench.bundle(bench.images())
    ours = bench.petra(
        "petra bundle verify", "bundle", "verify", "-f", bundle, "--key", bench.public_key
    )
    openssl = Command(
        "openssl dgst -sha256", [bench.toolbox.find("openssl"), "dgst", "-sha256", bundle]
    )
    yield compare("verify", [ours, openssl], pairs=bench.pairs, goal=1.3)


def inspect(bench: Bench) -> Iterator[Comparison]:
    """Inspect, whatever the size: a small bundle beside the large one."""
    commands = [
        bench.petra(
            f"petra bundle inspect, {bundle.stat().st_size / 1e6:.0f} MB",
            *("bundle", "inspect", "-f", bundle, "--output", "json"),
        )
        for bundle in (bench.bundle(bench.images()), bench.bundle(bench.images(bench.scale / 8)))
    ]
    comparison = compare("inspect", commands, pairs=bench.pairs)
    wall = comparison.series[0].median("wall")
    yield Comparison(comparison.name, comparison.series, None, f"{wall:.2f} s (goal 0.3)")


def store(bench: Bench) -> Iterator[Comparison]:
    """The second create with the content store on and one new layer, against the first."""
    images = bench.images()
    folder = bench.work / "store"
    first = bench.create(images, "--store", folder, label="first create, store on")
    first = Command(first.label, first.arguments, (*first.outputs, folder), first.environment)
    second = bench.create(
        ensure_update_pushed(bench.host, images, bench.scale),
        *("--store", folder),
        label="second create, one new layer",
    )
    yield compare(
        "content store", [second, first], pairs=bench.pairs, warm_up=0, goal=0.25, in_order=True
    )


def serve(bench: Bench) -> Iterator[Comparison]:
    """The same pull, from the bundle and from the registry."""
    images = bench.images()
    with _served(bench, images) as host:
        commands = [
            bench.crane(images, host, "crane pull from petra serve"),
            bench.crane(images, label="crane pull from registry"),
        ]
        yield compare("serve", commands, pairs=bench.pairs)


@contextmanager
def _served(bench: Bench, images: ImageSet) -> Iterator[str]:
    arguments = ["-f", bench.bundle(images), "--key", bench.public_key, "--listen", "127.0.0.1:0"]
    command = [str(part) for part in (_PETRA, "bundle", "serve", *arguments)]
    log = bench.work / "serve.log"
    with Server("petra serve", command, log, _environment(_ENVIRONMENT)) as server:
        yield server.wait_for_log(r"(127\.0\.0\.1:[1-9]\d*)")


def load(bench: Bench) -> Iterator[Comparison]:
    """Images into an emptied registry, and again with one new layer, against crane push."""
    images = bench.images()
    storage = bench.work / "load" / "storage"
    with tempfile.TemporaryDirectory() as folder:
        program = bench.toolbox.find("docker-registry")
        with running_registry(program, Path(folder), storage=storage) as registry:
            ours = _load(bench, images, registry.host, storage)
            pushes = [
                _crane_push(bench, images, registry.host, storage),
                _crane_push_index(bench, images, registry.host, storage),
                _whole_load(bench, images, registry.host, storage),
            ]
            comparison = compare("load", [ours, *pushes], pairs=bench.pairs, goal=0.8)
            written = comparison.series[0].median("written") / 1e6
            peak = comparison.series[0].peak() / (1 << 20)
            note = f"peak {peak:.0f} MiB (goal 128), {written:.1f} MB of scratch (goal 0)"
            yield Comparison(comparison.name, comparison.series, comparison.goal, note)
            changed = ensure_update_pushed(bench.host, images, bench.scale)
            second = _load(bench, changed, registry.host)
            second = Command("second load, one new layer", second.arguments, (), second.environment)
            label = "first load, all that it has"
            first = Command(label, ours.arguments, ours.outputs, ours.environment)
            yield compare(
                "second load", [second, first], pairs=bench.pairs, warm_up=0, in_order=True
            )


def _load(bench: Bench, images: ImageSet, host: str, *outputs: Path) -> Command:
    """Return the call that loads the images of a bundle that was verified."""
    arguments = (sys.executable, "-m", "bench.load", bench.bundle(images))
    uri = f"registry://{host}/bench"
    return Command("petra load, verified before", [*arguments, uri], outputs, _ENVIRONMENT)


def _whole_load(bench: Bench, images: ImageSet, host: str, *outputs: Path) -> Command:
    """Return the command itself, which verifies the bundle first."""
    ledger = bench.work / "load" / "ledger"
    options = ("--key", bench.public_key, "--ledger", ledger, "--allow-skipped", "verify,scan")
    arguments = ("-f", bench.bundle(images), *options, "--images-to", f"registry://{host}/bench")
    outputs = (*outputs, ledger)
    return bench.petra("petra bundle load, whole", "bundle", "load", *arguments, outputs=outputs)


def _crane_push(bench: Bench, images: ImageSet, host: str, *outputs: Path) -> Command:
    """Return the calls that push each image from a layout of its own, made outside the clock."""
    crane = str(bench.toolbox.find("crane"))
    lines = []
    for number, reference in enumerate(images.references(bench.host)):
        layout = _layout(bench, images, str(number), reference)
        there = f"{host}/bench/{reference.partition('/')[2]}"
        lines.append(shlex.join([crane, "push", str(layout), there]))
    script = "\n".join(lines)
    return Command(f"crane push, {len(lines)} times", ["sh", "-ec", script], outputs)


def _crane_push_index(bench: Bench, images: ImageSet, host: str, *outputs: Path) -> Command:
    """Return the call that pushes all images to one repository, where each blob goes once."""
    layout = _layout(bench, images, "all", *images.references(bench.host))
    push = (bench.toolbox.find("crane"), "push", "--index", layout, f"{host}/bench/all:1")
    return Command("crane push --index, one repository", push, outputs)


def _layout(bench: Bench, images: ImageSet, name: str, *references: str) -> Path:
    """Return a layout that crane pulled these into, kept."""
    layout = bench.work / images.label / "layouts" / name
    if not layout.exists():
        layout.parent.mkdir(parents=True, exist_ok=True)
        pull = (str(bench.toolbox.find("crane")), "pull", "--format=oci", *references, str(layout))
        subprocess.run(pull, check=True, capture_output=True)
    return layout


def charts(bench: Bench) -> Iterator[Comparison]:
    """A bundle of ten charts against ten times helm pull."""
    with chart_repository(bench.work / "charts") as (url, names):
        spec = bench.work / "charts" / "bundle.yaml"
        spec.write_text(_chart_spec(url, names))
        output = bench.work / "charts" / "dist"
        arguments = ("-f", spec, "--key", bench.key, "--output-dir", output)
        ours = bench.petra("petra bundle create", "bundle", "create", *arguments, outputs=(output,))
        target = bench.work / "charts" / "helm"
        lines = [
            shlex.join(
                [
                    *(str(bench.toolbox.find("helm")), "pull", name, "--repo", url),
                    *("--version", "1.0.0", "-d", str(target)),
                ]
            )
            for name in names
        ]
        script = "\n".join([f"mkdir {shlex.quote(str(target))}", *lines])
        helm = Command(f"helm pull, {len(names)} times", ["sh", "-ec", script], (target,))
        yield compare("charts", [ours, helm], pairs=bench.pairs)


def _chart_spec(url: str, names: list[str]) -> str:
    lines = ["apiVersion: petra.sh/v1alpha1", "kind: Bundle"]
    lines += ["metadata: {name: charts, version: 1.0.0}", "spec:", "  charts:"]
    lines += [f"    - {{name: {name}, repo: '{url}', version: 1.0.0}}" for name in names]
    return "\n".join(lines) + "\n"


def verified_and_scanned(bench: Bench) -> Iterator[Comparison]:
    """Thirty images verified and scanned by their SBOMs, against neither and grype by itself."""
    made = evidence(bench.work / "evidence", bench.host)
    grype, workers = bench.toolbox.find("grype"), min(4, os.cpu_count() or 1)
    environment = {**_ENVIRONMENT, **made.environment, "PETRA_GRYPE": str(grype), "PETRA_SYFT": ""}
    output = made.folder / "dist"
    create = (str(_PETRA), "bundle", "create", "--key", str(bench.key))
    calls = {
        spec: shlex.join([*create, "--output-dir", str(output), "-f", str(spec)])
        for spec in (made.with_checks, made.without)
    }
    scripts = {
        "create, verified and scanned": calls[made.with_checks],
        "create without, then grype": f"{calls[made.without]} && {made.grype(grype, workers)}",
        "create without": calls[made.without],
        "grype": made.grype(grype, workers),
    }
    commands = [
        Command(label, ["sh", "-ec", script], (output,), environment)
        for label, script in scripts.items()
    ]
    comparison = compare("evidence, 30 images", commands, pairs=bench.pairs)
    pairs = zip(comparison.series[0].runs, comparison.series[1].runs, strict=True)
    added = sorted(ours.wall - theirs.wall for ours, theirs in pairs)
    note = f"{added[len(added) // 2]:.2f} s beside the scanner's own time (goal 2)"
    yield Comparison(comparison.name, comparison.series, None, note)


def growth(bench: Bench) -> Iterator[Comparison]:
    """Time and memory against size: 1, 2, 4 and 8 times the input."""
    for part in (8, 4, 2, 1):
        images = bench.images(bench.scale / part)
        size = bench.layer_bytes(bench.scale / part) / 1e6
        commands = [bench.create(images), bench.crane(images)]
        name = f"growth {8 // part} x ({size:.0f} MB)"
        yield compare(name, commands, pairs=max(3, bench.pairs // 2))


def memory(bench: Bench) -> Iterator[Comparison]:
    """Peak memory at this size and at five times of it."""
    for scale in (bench.scale, 5 * bench.scale):
        images = bench.images(scale)
        size = bench.layer_bytes(scale) / 1e9
        commands = [bench.create(images), bench.crane(images)]
        made = compare(f"memory, create {size:.1f} GB", commands, pairs=1, warm_up=0)
        yield _with_peak(made)
        command = bench.petra(
            "petra bundle verify",
            *("bundle", "verify", "-f", bench.bundle(images), "--key", bench.public_key),
        )
        read = compare(f"memory, verify {size:.1f} GB", [command], pairs=1, warm_up=0)
        yield _with_peak(read)


def _with_peak(comparison: Comparison) -> Comparison:
    note = f"peak {comparison.series[0].peak() / (1 << 20):.0f} MiB (goal 128)"
    return Comparison(comparison.name, comparison.series, None, note)


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **added}


def _newest_source() -> float:
    root = Path(__file__).resolve().parents[1] / "layers" / "petra" / "python"
    return max(path.stat().st_mtime for path in root.rglob("*.py"))


#: By name, in the order in which they run.
CASES: dict[str, Callable[[Bench], Iterator[Comparison]]] = {
    "peers": peers,
    "create": create,
    "verify": verify,
    "inspect": inspect,
    "store": store,
    "serve": serve,
    "load": load,
    "charts": charts,
    "evidence": verified_and_scanned,
    "chunks": chunks,
    "ways": ways,
    "growth": growth,
    "memory": memory,
}
