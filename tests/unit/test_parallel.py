from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from petra.content.parallel import in_parallel


def test_results_come_in_the_items_order() -> None:
    def work(item: int) -> int:
        time.sleep(0.01 * (3 - item % 4))
        return item * item

    assert in_parallel(work, range(10), workers=4) == tuple(n * n for n in range(10))
    assert in_parallel(work, [], workers=4) == ()


def test_several_are_worked_on_at_a_time_and_no_more() -> None:
    together = threading.Barrier(3, timeout=10)
    names = set()

    def work(_: int) -> None:
        names.add(threading.current_thread().name)
        together.wait()

    in_parallel(work, range(6), workers=3)

    assert len(names) == 3


def test_the_first_error_in_order_is_raised_and_nothing_more_is_begun() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.02 if item == 0 else 0)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        in_parallel(work, range(100), workers=2)
    assert len(begun) <= 3


def test_an_interruption_does_not_wait_for_the_threads() -> None:
    code = (
        "import os, signal, sys, threading, time\n"
        "from petra.content.parallel import in_parallel\n"
        # Whoever runs the tests in a shell's background hands down that SIGINT is passed over.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try: in_parallel(time.sleep, [60, 60], workers=2)\n"
        "except KeyboardInterrupt: sys.exit(7)\n"
    )
    started = time.monotonic()

    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)

    assert (done.returncode, done.stderr) == (7, b"")
    assert time.monotonic() - started < 20
