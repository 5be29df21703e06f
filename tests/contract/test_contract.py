"""What every codec keeps, whatever its kind and medium: see `subjects`.

Odd sizes; rates are bytes; the same results whatever the threads, kernels, batches, runtimes and the program around
are; every damage noticed; a part as in the whole; one codec shared by threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import LecFile, frame, parse
from lecodec.codec import registry
from lecodec.codec.codec import Codec
from lecodec.codec.media.signal import Signal
from lecodec.codec.media.video_signal import VideoSignal, clip_signal
from lecodec.entropy import runtime
from lecodec.errors import CodecError, CorruptFile, UnsupportedFile

from ..container_examples import contents_of
from .hosts import HOSTS
from .subjects import SUBJECTS, Subject, same_layout, samples_of


@dataclass(frozen=True)
class Tried:
    """A subject, loaded, with its signals, their files, and what these decode to."""

    subject: Subject
    codec: Codec
    signals: list[Signal]
    files: list[bytes]
    decoded: list[np.ndarray]

    def agrees(self, found: np.ndarray, wanted: np.ndarray) -> bool:
        """Equal, with loss within one grey level, or as much of a sound: samples are float."""
        if wanted.dtype == np.float32:
            return found.shape == wanted.shape and bool(np.abs(found - wanted).max(initial=0) <= 2**-12)
        levels = 0 if not self.subject.lossy else 1 if wanted.dtype == np.uint8 else 257
        same = found.shape == wanted.shape and found.dtype == wanted.dtype
        return same and int(np.abs(found.astype(np.int64) - wanted.astype(np.int64)).max(initial=0)) <= levels

    def check(self, codec: Codec | None = None) -> None:
        """All files decode to what they did."""
        codec = codec or self.codec
        for data, wanted in zip(self.files, self.decoded, strict=True):
            assert self.subject.latents(codec, data) == self.subject.latents(self.codec, data)
            assert self.agrees(codec.decode(data), wanted)


@pytest.fixture(scope="module", params=SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def tried(request: pytest.FixtureRequest) -> Tried:
    subject = request.param
    codec, signals = subject.codec(), subject.signals()
    files = [codec.encode_signals([signal], subject.target)[0] for signal in signals]
    return Tried(subject, codec, signals, files, [codec.decode(data) for data in files])


def test_signals_of_any_size_come_back(tried: Tried) -> None:
    for signal, data, decoded in zip(tried.signals, tried.files, tried.decoded, strict=True):
        samples = samples_of(signal)
        assert decoded.shape == samples.shape and decoded.dtype == samples.dtype
        assert same_layout(signal.layout, parse(data).header.layout)
        assert tried.subject.lossy or np.array_equal(decoded, samples)
        tried.codec.test(data)


def test_rates_are_bytes(tried: Tried) -> None:
    """What `info` says is the file's length, and its units hold nearly all of it."""
    for data in tried.files:
        facts = lecodec.info(data)
        assert facts["bytes"] == len(data)
        file = parse(data)
        units = sum(len(chunk.payload) for chunk in (*file.data, *file.alpha))
        assert 0 <= len(data) - units <= 150 + 80 * file.header.layout.units


@pytest.mark.parametrize(("threads", "onednn"), [(1, False), (2, True), (3, False)])
def test_threads_and_kernels_change_nothing(tried: Tried, threads: int, onednn: bool) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.backends.mkldnn.flags(enabled=onednn):
            tried.check()
    finally:
        torch.set_num_threads(before)


def test_the_batch_changes_nothing(tried: Tried) -> None:
    """Libraries change kernels at a batch of 16: many together decode alone, and the reverse."""
    signal, data, wanted = tried.signals[0], tried.files[0], tried.decoded[0]
    assert all(tried.agrees(found, wanted) for found in tried.codec.decode_batch([data] * 17))
    for each in tried.codec.encode_signals([signal] * 17, tried.subject.target):
        tried.codec.test(each)
        assert tried.agrees(tried.codec.decode(each), wanted)
    together = tried.codec.encode_signals(tried.signals, tried.subject.target)
    for each, alone in zip(tried.codec.decode_batch(together), tried.decoded, strict=True):
        assert tried.agrees(each, alone)


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_change_nothing(tried: Tried, host: str) -> None:
    """Also where the model is loaded, and the machine verified, under the host."""

    def forget() -> None:
        registry._load.cache_clear()
        runtime.verified.cache_clear()

    forget()
    try:
        with HOSTS[host]():
            codec = tried.subject.codec()
            again = [codec.encode_signals([signal], tried.subject.target)[0] for signal in tried.signals]
            tried.check(codec)
        assert again == tried.files
    finally:
        forget()


def test_threads_may_share_a_codec(tried: Tried) -> None:
    with ThreadPoolExecutor(4) as pool:
        encoded = pool.map(lambda s: tried.codec.encode_signals([s], tried.subject.target)[0], tried.signals)
        assert list(encoded) == tried.files
        for found, wanted in zip(pool.map(tried.codec.decode, tried.files), tried.decoded, strict=True):
            assert np.array_equal(found, wanted)


def test_a_part_is_as_in_the_whole(tried: Tried) -> None:
    for signal, data, decoded in zip(tried.signals, tried.files, tried.decoded, strict=True):
        whole = clip_signal(decoded) if isinstance(signal, VideoSignal) else Signal(decoded, signal.layout)
        for part, wanted in tried.subject.parts(whole):
            (found,) = tried.codec.decode_files([LecFile.open(data)], part)
            assert same_layout(signal.layout, found.layout) and tried.agrees(samples_of(found), wanted), part


def test_every_flip_and_cut_is_noticed(tried: Tried) -> None:
    data = tried.codec.encode_signals([tried.subject.small()], tried.subject.target)[0]
    damaged = [data[:n] for n in range(len(data))]
    damaged += [data[: n // 8] + bytes([data[n // 8] ^ 1 << n % 8]) + data[n // 8 + 1 :] for n in range(8 * len(data))]
    for bad in damaged:
        with pytest.raises(CodecError):
            tried.codec.decode(bad)


def test_damage_with_a_right_crc_is_noticed(tried: Tried) -> None:
    """Only what was decoded exactly, and its digest, can say so. Without loss some bits of deflate and of the coder's
    last word mean nothing: what is decoded is right then.
    """
    data = tried.codec.encode_signals([tried.subject.small()], tried.subject.target)[0]
    original, chunks = tried.codec.decode(data), contents_of(data)
    place = next(n for n, (kind, _) in enumerate(chunks) if kind == b"LDAT")
    body, harmless = chunks[place][1], 0
    head = tried.subject.head(body)
    rng = np.random.default_rng(0)
    for at in head + rng.permutation(len(body) - head)[:60]:
        bad = bytearray(body)
        bad[at] ^= 1 << int(rng.integers(8))
        chunks[place] = b"LDAT", bytes(bad)
        try:
            found = tried.codec.decode(data[:8] + b"".join(frame(*chunk) for chunk in chunks))
        except (CorruptFile, UnsupportedFile):
            continue
        assert not tried.subject.lossy and np.array_equal(found, original)
        harmless += 1
    assert harmless <= 2
