"""Any bytes at all give a picture or a CodecError: mutations of real files with every checksum made right again.

Files of every kind (tiles, alpha, 16 bits, metadata, index, without loss, sets) are decoded whole, and in part from a
file and a pipe.
`FUZZ_SECONDS` sets how long (default 5), `FUZZ_SEED` where to start; a failure prints the file that caused it in hex.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import SIGNATURE, LecFile, Metadata, SetLayout, frame, parse
from lecodec.codec.media.part import Frames
from lecodec.codec.media.video_write import write_video_signal
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.errors import CodecError

from ..block_coders import DeltaCoder
from ..container_examples import box_of

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
GOLDEN = Path(__file__).parents[1] / "golden"
TYPES = (
    b"LSET",
    b"LVID",
    b"LGRP",
    b"sPKT",
    b"sTRM",
    b"LDAT",
    b"LALP",
    b"LHDR",
    b"LEND",
    b"iNDX",
    b"iCCP",
    b"eXIf",
    b"xMPd",
    b"exMp",
    b"exIf",
    b"ABCD",
)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """A well-formed file as (type, payload) pairs."""
    out, at = [], len(SIGNATURE)
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        out.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return out


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert or replace a few bytes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        kind, at = rng.randrange(6), rng.randrange(len(out) + 1)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            del out[at : at + rng.choice((1, 4, 100))]
        elif kind == 3:
            out[at:at] = out[at : at + rng.choice((1, 4, 40))]
        elif kind == 4:
            out[at:at] = rng.randbytes(rng.choice((1, 4, 40)))
        elif kind == 5:
            out[at : at + 8] = rng.randbytes(8)
    return bytes(out)


def candidate(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A mutated file. Mostly with right CRCs, so that the damage reaches what lies behind them."""
    data = rng.choice(seeds)
    if rng.random() < 0.1:
        return mutate(rng, data)
    chunks = chunks_of(data)
    if rng.random() < 0.15:
        at = rng.randrange(len(chunks))
        chunks[at:at] = [(rng.choice(TYPES), rng.randbytes(rng.randrange(60)))]
    elif rng.random() < 0.15:  # a chunk twice, elsewhere, or not at all
        chunk = rng.choice(chunks)
        if rng.random() < 0.5:
            chunks.remove(chunk)
        if rng.random() < 0.7:
            chunks.insert(rng.randrange(len(chunks) + 1), chunk)
    n = rng.randrange(len(chunks))
    kind, payload = chunks[n]
    if kind == b"LHDR" and rng.random() < 0.7 and len(payload) == 40:  # one field: sizes, quality, channels …
        at = rng.choice((1, 2, 3, 6, 7, 10, 11, 16, 17, 18, 34, 35, 36, 38, rng.randrange(40)))
        value = rng.choice((0, 1, 3, 8, 16, 64, 128, 255, rng.randrange(256)))
        payload = payload[:at] + bytes([value]) + payload[at + 1 :]
    elif kind == b"LALP" and len(payload) > 8 and rng.random() < 0.5:  # the rows themselves: filters, samples, length
        with suppress(zlib.error):  # a random chunk that was put in
            payload = payload[:8] + zlib.compress(mutate(rng, zlib.decompress(payload[8:])))
    elif kind == b"LDAT" and payload[8:9] == b"\1" and rng.random() < 0.5:  # the same without loss, with a right digest
        with suppress(zlib.error):
            payload = payload[:9] + zlib.compress(mutate(rng, zlib.decompress(payload[9:])))
    elif kind == b"LDAT" and payload[8:9] == b"\0" and rng.random() < 0.3:
        body = mutate(rng, payload[9:])
        payload = hashlib.blake2b(body, digest_size=8).digest() + b"\0" + body
    else:
        payload = mutate(rng, payload)
    chunks[n] = (kind, payload)
    return SIGNATURE + b"".join(frame(k, p) for k, p in chunks)


class Pipe(io.RawIOBase):
    """Bytes that come once, a few at a time."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        piece = self.data[self.at : self.at + min(count, 50)]
        self.at += len(piece)
        return piece


def real_files_without_loss() -> list[bytes]:
    """Small ones of every kind, stored, deflated, and by a model."""
    noise = np.random.default_rng(SEED)
    opaque = np.repeat(noise.integers(0, 256, (20, 13, 4), dtype=np.uint8), 10, axis=1)
    opaque[:, 64:, 3] = 255
    smooth = np.arange(30 * 5 * 7 * 3).reshape(30, 5, 7, 3) // 9
    plain, by_model = lecodec.LosslessCodec(), lecodec.LosslessCodec(DeltaCoder())
    return [
        plain.encode(noise.integers(0, 256, (1, 1), dtype=np.uint8)),
        plain.encode(noise.integers(0, 256, (9, 20, 3), dtype=np.uint8), metadata=Metadata(icc=bytes(300))),
        plain.encode(opaque, tile=64),
        plain.encode(np.tile(noise.integers(0, 65536, (5, 14, 3), dtype=np.uint16), (3, 1, 1))),
        by_model.encode(smooth.reshape(90, 35).astype(np.uint8), tile=64),
        plain.encode_set(noise.integers(0, 256, 12, dtype=np.uint8), 5),
        plain.encode_set(smooth.astype(np.uint8), 7),
        plain.encode_set(smooth.astype(np.uint16)[:, :, :, :2]),
        by_model.encode_set(smooth.astype(np.uint16), 7),
    ]


def codecs_for(image: Any) -> Callable[[bytes], Any]:
    """What decodes a file: `image`, or, without loss, a codec with a model whose answers are as free as its input."""
    lossless = lecodec.LosslessCodec(DeltaCoder())
    models = [load(GOLDEN / f"tiny-{kind}.safetensors", of=lecodec.LosslessCodec) for kind in ("circuit", "photo")]
    by_digest = {model.parse_digest: model for model in models}

    def codec_for(data: bytes) -> Any:
        try:
            header = LecFile.open(data).header
            return by_digest.get(header.parse_digest, lossless) if header.lossless else image
        except CodecError:
            return image

    return codec_for


def real_files(codec: lecodec.ImageCodec) -> list[bytes]:
    """Small files of every kind."""
    noise = np.random.default_rng(SEED)
    opaque = noise.integers(0, 256, (20, 130, 4), dtype=np.uint8)
    opaque[:, 64:, 3] = 255
    metadata = Metadata(icc=bytes(300), exif=b"II*\0", xmp=b"<x/>", primaries=9, transfer=16)
    return [
        codec.encode(noise.integers(0, 256, (1, 1), dtype=np.uint8), 1),
        codec.encode(noise.integers(0, 256, (9, 20, 3), dtype=np.uint8), 50, metadata=metadata),
        codec.encode(noise.integers(0, 256, (40, 33), dtype=np.uint8), 100),
        codec.encode(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8), 5),
        codec.encode(noise.integers(0, 256, (70, 130, 3), dtype=np.uint8), 1, tile=64),
        codec.encode(opaque, 20, tile=64, metadata=metadata),
        codec.encode(noise.integers(0, 65536, (10, 14, 2), dtype=np.uint16), 40),
        codec.encode(noise.integers(0, 65536, (10, 70, 3), dtype=np.uint16), 60, tile=64),
        (GOLDEN / "unknown-ancillary.lec").read_bytes(),
        (GOLDEN / "colour.lec").read_bytes(),
    ]


def test_fuzz(tiny_model, monkeypatch):
    monkeypatch.setenv("LECODEC_MAX_PIXELS", str(1 << 18))
    codec = lecodec.load(model=tiny_model)
    by_model = [path.read_bytes() for path in sorted(GOLDEN.glob("model-*.lec"))]
    seeds = [*real_files(codec), *real_files_without_loss(), *by_model]
    codec_for = codecs_for(codec)
    rng = random.Random(SEED)
    begun, count, decoded, regions, slowest = time.monotonic(), 0, 0, 0, 0.0
    while time.monotonic() - begun < SECONDS:
        data = candidate(rng, seeds)
        started = time.monotonic()
        picture = None
        try:
            try:
                picture = codec_for(data).decode(data)
                shape = parse(data).header.layout.sample_shape
                assert picture.shape[: min(2, len(shape))] == shape[:2]
                decoded += 1
            except CodecError as error:
                assert str(error)
            for source in (io.BytesIO(data), Pipe(data)):
                try:
                    layout = LecFile.open(data).layout
                    if isinstance(layout, SetLayout):
                        numbers = [rng.randrange(layout.count) for _ in range(rng.randrange(3))]
                        some = codec_for(data).decode_items(source, numbers)
                        assert picture is None or np.array_equal(some, picture[numbers])
                        continue
                    x, y, w, h = box_of(LecFile.open(data).header, rng.randrange(layout.units))
                    part = codec_for(data).decode_region(source, (x, y, w, h))
                    regions += 1
                    if picture is not None:
                        whole = picture[y : y + h, x : x + w].astype(int)
                        assert np.abs(whole - part).max() <= np.iinfo(picture.dtype).max // 255
                except CodecError as error:  # a part may be whole where the file is not, but not the other way round
                    assert str(error) and picture is None
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}; seed {SEED}, file {count}: {data.hex()}")
        slowest = max(slowest, time.monotonic() - started)
        count += 1
    print(f"{count} files, {decoded} decoded, {regions} regions, slowest {slowest:.2f} s")
    assert count > decoded > 0 and regions > 0
    assert slowest < 30


def test_fuzz_videos(monkeypatch):
    """Whole, through a pipe, in part, and as a video file with what sound is left."""
    monkeypatch.setenv("LECODEC_MAX_PIXELS", str(1 << 14))
    codec = load(GOLDEN / "tiny-video.safetensors", of=VideoCodec)
    names = ("announced", "announced-ticks", "ticks", "chain", "groups")
    seeds = [(GOLDEN / "video" / f"{name}.lec").read_bytes() for name in names]
    rng, begun = random.Random(SEED), time.monotonic()
    while time.monotonic() - begun < SECONDS / 2:
        data = candidate(rng, seeds)
        some = Frames(rng.randrange(12), rng.randrange(13)), Frames(0.1 * rng.randrange(9), None, True)
        part = rng.choice((None, *some))
        found = []
        for source in (data, Pipe(data)):
            try:
                (signal,) = codec.decode_files([LecFile.open(source)], part)
                found.append(sum(1 for _ in signal.frames()))
                if source is data:
                    write_video_signal(signal, NotSeeking(), form="mkv")
            except CodecError as error:
                assert str(error)
            except BaseException:
                print(f"seed {SEED}: {data.hex()}")
                raise
        assert len(set(found)) < 2, data.hex()


class NotSeeking(io.BytesIO):
    def seekable(self) -> bool:
        return False
