"""Any bytes at all give a picture or a CodecError: mutations of real files with every checksum made right again.

`FUZZ_SECONDS` sets how long (default 5), `FUZZ_SEED` where to start; a failure prints the file that caused it in hex.
"""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pytest

import lecodec
from lecodec.bitstream import SIGNATURE, frame, parse
from lecodec.errors import CodecError

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))


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
        chunks[at:at] = [(rng.choice((b"LDAT", b"LHDR", b"LEND", b"exIf", b"ABCD")), rng.randbytes(rng.randrange(60)))]
    n = rng.randrange(len(chunks))
    kind, payload = chunks[n]
    if kind == b"LHDR" and rng.random() < 0.7 and len(payload) == 40:  # one field: sizes, quality, channels …
        at = rng.choice((2, 3, 6, 7, 10, 11, 17, 34, 35, rng.randrange(40)))
        payload = payload[:at] + bytes([rng.choice((0, 1, 3, 255, rng.randrange(256)))]) + payload[at + 1 :]
    else:
        payload = mutate(rng, payload)
    chunks[n] = (kind, payload)
    return SIGNATURE + b"".join(frame(k, p) for k, p in chunks)


def test_fuzz(tiny_model, monkeypatch):
    monkeypatch.setenv("LECODEC_MAX_PIXELS", str(1 << 18))
    codec = lecodec.load(model=tiny_model)
    generator = np.random.default_rng(SEED)
    seeds = [
        codec.encode(generator.integers(0, 256, shape, dtype=np.uint8), quality)
        for shape, quality in (((1, 1), 1), ((9, 20, 3), 50), ((40, 33), 100), ((64, 64, 3), 5))
    ]
    rng = random.Random(SEED)
    begun, count, decoded, slowest = time.monotonic(), 0, 0, 0.0
    while time.monotonic() - begun < SECONDS:
        data = candidate(rng, seeds)
        started = time.monotonic()
        try:
            picture = codec.decode(data)
            header = parse(data).header
            assert picture.shape[:2] == (header.height, header.width)
            decoded += 1
        except CodecError as error:
            assert str(error)
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}; seed {SEED}, file {count}: {data.hex()}")
        slowest = max(slowest, time.monotonic() - started)
        count += 1
    print(f"{count} files, {decoded} decoded, slowest {slowest:.2f} s")
    assert count > decoded > 0
    assert slowest < 30
