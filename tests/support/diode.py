"""A diode's own software, played: takes what lies in a hot folder, and loses, cuts and repeats."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class ScriptedDiode:
    """Carries files from one folder into another, in an order and with faults of its own.

    Attributes:
        hot: the sending side's folder; what is taken is gone from it.
        landing: the receiving side's.
        lose: names of files that do not arrive.
        cut: names of files of which half arrives.
        flip: names of files that arrive with a changed byte.
        twice: whether each file arrives a second time.
        seed: of the order.
        taken: how often each file was taken.
    """

    hot: Path
    landing: Path
    lose: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    flip: frozenset[str] = frozenset()
    twice: bool = False
    seed: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311  # an order, and the same each time
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.landing.mkdir(parents=True, exist_ok=True)

    def carry(self) -> list[str]:
        """Carry what lies there now; return the names in the order of arrival."""
        found = sorted(path for path in self.hot.glob("[!.]*") if path.is_file())
        self._chance.shuffle(found)
        contents = {path.name: path.read_bytes() for path in found}
        for path in found:
            path.unlink()
            self.taken[path.name] = self.taken.get(path.name, 0) + 1
        for name, data in [*contents.items()] * (2 if self.twice else 1):
            self._arrive(name, data)
        return [*contents]

    def _arrive(self, name: str, data: bytes) -> None:
        if name in self.lose:
            return
        if name in self.cut:
            data = data[: len(data) // 2]
        if name in self.flip:
            data = bytes([data[0] ^ 1]) + data[1:]
        # Not all diodes write aside: it grows where it is looked for.
        with (self.landing / name).open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            file.write(data[len(data) // 2 :])

    def __enter__(self) -> Self:
        """Carry on and on, on a thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            self.carry()
