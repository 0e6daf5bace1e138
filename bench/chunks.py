"""Chunks and parity: what they cost, and what a loss costs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench.measure import Command, Comparison, compare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.cases import Bench

#: Chunks of a bundle, and parity chunks: a fifth of all files may be lost.
_CHUNKS, _PARITY = 11, 3
_MIB = 1 << 20


def chunks(bench: Bench) -> Iterator[Comparison]:
    """Chunks in the pass of create, parity, and three lost chunks rebuilt."""
    yield _in_the_pass(bench)
    yield from _parity(bench)
    yield _rebuilt(bench)


def _size(bench: Bench) -> str:
    return str(-(-bench.bundle(bench.images()).stat().st_size // _CHUNKS))


def _in_the_pass(bench: Bench) -> Comparison:
    images = bench.images()
    folder = bench.work / "chunks-created"
    cut = bench.create(
        images, "--chunks-to", folder, "--max-size", _size(bench), label="create in chunks"
    )
    cut = Command(cut.label, cut.arguments, (*cut.outputs, folder), cut.environment)
    whole = bench.create(images, label="create one file")
    made = compare("chunks in the pass", [cut, whole], pairs=bench.pairs, goal=1.2)
    return _with_peak(made)


def _cut(bench: Bench, folder: Path, parity: int) -> Command:
    options = ("--max-size", _size(bench), "--key", bench.key, "--to", folder)
    bundle = bench.bundle(bench.images())
    arguments = ("bundle", "chunk", "-f", bundle, *options, "--parity", str(parity))
    return bench.petra(f"chunk, {parity} parity", *arguments, outputs=(folder,))


def _parity(bench: Bench) -> Iterator[Comparison]:
    folder = bench.work / "chunks"
    commands = [_cut(bench, folder, _PARITY), _cut(bench, folder, 0)]
    yield _with_peak(compare("parity", commands, pairs=bench.pairs))


def _rebuilt(bench: Bench) -> Comparison:
    folder = bench.work / "chunks-lost"
    cut = _cut(bench, folder, _PARITY)
    whole = bench.petra("verify", "bundle", "verify", "-f", folder, "--key", bench.public_key)
    lost = [f"{folder}/*.000{number}-of-*" for number in (2, 5, 9)]
    line = shlex.join(map(str, whole.arguments))
    rebuild = Command("lose, rebuild, verify", ["sh", "-ec", f"rm {' '.join(lost)}; {line}"])
    again = Command("verify", whole.arguments)
    made = compare(
        "three chunks lost",
        [again, rebuild, Command("cut", cut.arguments, cut.outputs, cut.environment)],
        pairs=max(1, bench.pairs // 3),
        warm_up=0,
        in_order=True,
    )
    return _with_peak(Comparison(made.name, [made.series[1], made.series[0]]))


def _with_peak(made: Comparison) -> Comparison:
    peak = made.series[0].peak() / _MIB
    return Comparison(made.name, made.series, made.goal, f"peak {peak:.0f} MiB (goal 192)")
