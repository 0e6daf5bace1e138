"""Each way across the gap, with a bundle of about 1 GB, end to end: digests and peak memory.

Both ends are the real command as processes of their own. What is asserted here is what must hold
whatever the machine: the digest on the other side. Times are for people.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from bench.measure import Command, CommandFailedError, Comparison, Series, run
from tests.support.relay import LossyRelay, free_udp_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.cases import Bench
    from bench.measure import Figures

#: Chunks of a bundle, and parity chunks: a fifth of all files may be lost.
_CHUNKS, _PARITY = 32, 8
_MIB = 1 << 20
_GOAL = 192
_SEED = 1
#: The stream: loss per datagram, copies of each, rounds, and bytes a second.
_LOSS, _COPIES, _ROUNDS, _RATE = 0.02, 2, 2, "32MiB/s"


class _Ways:
    """What all ways share: the bundle, its chunks, and where it arrives."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.bundle = bench.bundle(bench.images())
        self.digest = _digest([self.bundle])
        self.work = bench.work / "ways"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        self.key = ("--key", bench.public_key)

    def petra(self, label: str, *arguments: str | Path) -> Command:
        return self.bench.petra(label, *arguments)

    def cut(self) -> tuple[Path, Figures]:
        """Cut the bundle, with parity for a fifth of all files."""
        folder = self.work / "chunks"
        size = str(-(-self.bundle.stat().st_size // _CHUNKS))
        options = ("--max-size", size, "--parity", str(_PARITY), "--to", folder)
        arguments = ("bundle", "chunk", "-f", self.bundle, "--key", self.bench.key, *options)
        return folder, run(self.petra("chunk", *arguments))

    def arrived(self, way: str, inbox: Path, *figures: tuple[str, Figures]) -> Comparison:
        """Compare what arrived with what was sent."""
        parts = sorted(inbox.rglob("*-of-????")) or sorted(inbox.rglob("*.tar.zst"))
        return self.equal(way, _digest(parts), *figures)

    def equal(self, way: str, digest: str, *figures: tuple[str, Figures]) -> Comparison:
        """Return the figures of a way on which nothing changed.

        Raises:
            CommandFailedError: something did.
        """
        if digest != self.digest:
            raise CommandFailedError(f"{way}: sent {self.digest}, arrived {digest}")
        peak = max(one.memory for _, one in figures) / _MIB
        note = f"sha256:{digest[:16]}… on both sides, peak {peak:.0f} MiB (goal {_GOAL})"
        return Comparison(way, [Series(label, [one]) for label, one in figures], note=note)


def ways(bench: Bench) -> Iterator[Comparison]:
    """Media, lost chunks, hot-folder diode, stream, guard and S3."""
    shared = _Ways(bench)
    print(f"\n{shared.bundle.name}, {shared.bundle.stat().st_size / 1e9:.2f} GB", end="")
    print(f", sha256:{shared.digest}")
    yield _media(shared)
    chunks, cut = shared.cut()
    yield _hot_folder(shared, chunks)
    yield _stream(shared, chunks)
    yield _lost_chunks(shared, chunks, cut)
    shutil.rmtree(chunks)
    yield _guard(shared)
    if importlib.util.find_spec("flask"):
        yield _s3(shared)
    else:
        print("\nS3 left out: pip install 'moto[server]' gives the server", file=sys.stderr)


def _media(ways: _Ways) -> Comparison:
    medium, inbox = ways.work / "medium", ways.work / "medium-inbox"
    write = ("transfer", "media", "-f", ways.bundle, *ways.key, "--to", medium)
    sent = run(ways.petra("media", *write))
    taken = run(ways.petra("receive", "receive", medium, *ways.key, "--to", inbox))
    shutil.rmtree(medium)
    return _done(ways.arrived("media", inbox, ("media", sent), ("receive", taken)), inbox)


def _hot_folder(ways: _Ways, chunks: Path) -> Comparison:
    hot, landing, inbox = (ways.work / name for name in ("hot", "landing", "hot-inbox"))
    landing.mkdir()
    chance = Random(_SEED)  # noqa: S311  # losses, and the same each time
    names = sorted(path.name for path in chunks.iterdir() if path.stat().st_size > _MIB)
    lost = set(chance.sample(names, _PARITY))
    listen = ("--watch", "--once", "--give-up", "5m", "--settle", "1")
    receive = ("receive", landing, *ways.key, "--to", inbox, *listen)
    send = (
        "transfer",
        "diode",
        "-f",
        chunks,
        *ways.key,
        "--to",
        hot,
        "--rate",
        "0",
        "--wait-taken",
    )

    def carry() -> None:
        for path in sorted(hot.glob("[!.]*")):
            if path.name in lost:
                path.unlink()
            else:
                path.rename(landing / path.name)

    with ThreadPoolExecutor(1) as pool, _again(carry):
        receiving = pool.submit(run, ways.petra("receive --watch", *receive))
        sent = run(ways.petra("diode, hot folder", *send))
        taken = receiving.result()
    figures = (("receive --watch", taken), ("diode, hot folder", sent))
    return _done(ways.arrived(f"diode, {len(lost)} files lost", inbox, *figures), landing, inbox)


def _stream(ways: _Ways, chunks: Path) -> Comparison:
    port, landing, inbox = free_udp_port(), ways.work / "stream", ways.work / "stream-inbox"
    listen = ("--stream", f"127.0.0.1:{port}", "--once", "--give-up", "5m", "--settle", "1")
    receive = ("receive", landing, *ways.key, "--to", inbox, *listen)
    options = ("--rate", _RATE, "--copies", str(_COPIES), "--repeat", str(_ROUNDS))
    with ThreadPoolExecutor(1) as pool, LossyRelay(0, ("127.0.0.1", port), _LOSS, _SEED) as relay:
        receiving = pool.submit(run, ways.petra("receive --stream", *receive))
        _until_listening(port)
        to = ("--stream", f"127.0.0.1:{relay.port}")
        send = ("transfer", "diode", "-f", chunks, *ways.key, *to, *options)
        sent = run(ways.petra("diode, stream", *send))
        taken = receiving.result()
    share = relay.dropped / (relay.dropped + relay.passed)
    figures = (("receive --stream", taken), ("diode, stream", sent))
    return _done(ways.arrived(f"stream, {share:.1%} lost", inbox, *figures), landing, inbox)


def _lost_chunks(ways: _Ways, chunks: Path, cut: Figures) -> Comparison:
    chance = Random(_SEED + 1)  # noqa: S311  # as above
    names = sorted(path for path in chunks.iterdir() if path.stat().st_size > _MIB)
    gone = chance.sample(names, _PARITY)
    for path in gone:
        path.unlink()
    verify = run(ways.petra("verify", "bundle", "verify", "-f", chunks, *ways.key))
    _require_named(ways, chunks)
    figures = (("verify, rebuilding", verify), (f"chunk, {_PARITY} parity", cut))
    return ways.arrived(f"{len(gone)} of {len(names)} lost", chunks, *figures)


def _require_named(ways: _Ways, chunks: Path) -> None:
    """Lose one more than parity makes up for: verify must name exactly those, in a copy.

    Raises:
        CommandFailedError: it does not.
    """
    copy = ways.work / "one-more"
    subprocess.run(["cp", "-rl", chunks, copy], check=True)
    gone = sorted(copy.glob("*-of-????"))[: _PARITY + 1]
    for path in gone:
        path.unlink()
    arguments = ("bundle", "verify", "-f", copy, *ways.key, "--output", "json", "-q")
    result = subprocess.run(
        [Path(sys.executable).with_name("petra"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(copy)
    if result.returncode != 3 or not all(path.name in result.stdout for path in gone):  # noqa: PLR2004
        raise CommandFailedError(f"one more lost: {result.stdout[-2000:]}{result.stderr[-2000:]}")


def _guard(ways: _Ways) -> Comparison:
    made = ways.work / "guarded"
    spec = ways.bundle.parents[1] / "bundle.yaml"
    options = ("--format", "tar.gz", "--output-dir", made, "--key", ways.bench.key)
    create = run(ways.petra("create", "bundle", "create", "-f", spec, *options))
    (bundle,) = made.glob("*.tar.gz")
    lint = run(ways.petra("lint", "bundle", "lint", "-f", bundle, "--profile", "default"))
    carried, inbox = ways.work / "carried", ways.work / "guard-inbox"
    shutil.copytree(made, carried)
    sent = _digest([bundle])
    taken = run(ways.petra("receive", "receive", carried, *ways.key, "--to", inbox))
    ways.digest, kept = sent, ways.digest  # it is another file than the others
    arrived = _digest(sorted(inbox.rglob("*.tar.gz")))
    figures = (("lint", lint), ("create, tar.gz", create), ("receive", taken))
    made_of = ways.equal("guard", arrived, *figures)
    ways.digest = kept
    return _done(made_of, made, carried, inbox)


def _s3(ways: _Ways) -> Comparison:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # this case alone

    from petra.aws.clients import service_client  # noqa: PLC0415  # as above

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request otherwise
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with _set(settings):
            client = service_client("s3", where="bench")
            for name in ("outbox", "landing"):
                client.create_bucket(Bucket=name)
            to = ("--outbox", "s3://outbox", "--to", "s3://landing")
            send = ("transfer", "s3", "-f", ways.bundle, *ways.key, *to)
            sent = run(ways.petra("transfer s3", *send))
            body = client.get_object(Bucket="landing", Key=ways.bundle.name)["Body"]
            hasher = hashlib.sha256()
            for piece in body.iter_chunks(_MIB):
                hasher.update(piece)
    finally:
        server.stop()
    return ways.equal("S3 to S3", hasher.hexdigest(), ("transfer s3", sent))


@contextmanager
def _set(settings: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for the block."""
    import os  # noqa: PLC0415  # this case alone

    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            os.environ.pop(name)


def _done(comparison: Comparison, *folders: Path) -> Comparison:
    """Make room for the next way."""
    for folder in folders:
        shutil.rmtree(folder)
    print(".", end="", flush=True)
    return comparison


@contextmanager
def _again(carry: Callable[[], None]) -> Iterator[None]:
    """Carry on and on, as a diode's software does."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.1):
            carry()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _until_listening(port: int) -> None:
    wanted = f":{port:04X} "
    for _ in range(600):
        if wanted in Path("/proc/net/udp").read_text():
            return
        threading.Event().wait(0.1)
    raise CommandFailedError("the receiver does not listen")


def _digest(files: list[Path]) -> str:
    hasher = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_MIB):
                hasher.update(piece)
    return hasher.hexdigest()
