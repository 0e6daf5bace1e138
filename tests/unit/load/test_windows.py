from __future__ import annotations

import pytest
import zstandard

from petra.load.image_k3s import _window


@pytest.mark.parametrize("log", [17, 20, 23, 25, 27])
def test_a_window_is_what_the_library_says_it_is(log: int) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=0)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = compressor.compress(b"x" * 3_000_000) + compressor.flush()

    assert _window(frame[:18]) == zstandard.get_frame_parameters(frame).window_size == 1 << log


@pytest.mark.parametrize("size", [100, 300, 70_000, 3_000_000])
def test_a_single_segments_window_is_its_content(size: int) -> None:
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(size))

    assert _window(frame[:18]) == zstandard.get_frame_parameters(frame).window_size
