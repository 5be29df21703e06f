"""Damage for files of every kind: mostly with checksums and digests made right again, so that it reaches what lies
behind them.

    rng, seeds -> candidate -> bytes of a .lec file          rng, model -> damaged_model -> tensors, card
    rng, suffix, bytes -> damaged_input -> bytes of a picture, a set, a sound or a video
"""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from lecodec.bitstream import SIGNATURE, frame

__all__ = ["candidate", "chunks_of", "damaged_input", "damaged_model", "mutate"]

TYPES = (b"LSET", b"LDAT", b"LALP", b"LHDR", b"LEND", b"iNDX", b"iCCP", b"eXIf", b"xMPd", b"exMp", b"exIf", b"ABCD")
TYPES += (b"LEXT", b"LVID", b"LSND", b"LGRP", b"sPKT", b"sTRM", b"sAMP", b"tAGs", b"cOVr")
VALUES = (0, 1, 3, 8, 16, 64, 127, 128, 255)


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


def candidate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A damaged .lec file. Nine in ten have right CRCs."""
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
        payload = payload[:at] + bytes([rng.choice((*VALUES, rng.randrange(256)))]) + payload[at + 1 :]
    elif kind in (b"LSET", b"LVID", b"LSND", b"LGRP") and payload and rng.random() < 0.7:  # one byte of a layout
        at = rng.randrange(len(payload))
        payload = payload[:at] + bytes([rng.choice((*VALUES, rng.randrange(256)))]) + payload[at + 1 :]
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


# -- what is encoded


def damaged_input(rng: random.Random, suffix: str, data: bytes) -> bytes:
    """A damaged picture, set, sound or video. Three in four PNGs have right CRCs, of as many in gzip what is inside is
    damaged.
    """
    if suffix == ".png" and rng.random() < 0.75:
        return _damaged_png(rng, data)
    if suffix.endswith(".gz") and rng.random() < 0.75:
        import gzip

        return gzip.compress(mutate(rng, gzip.decompress(data)), mtime=0)
    if rng.random() < 0.5:  # headers are where the claims are
        head = min(len(data), 64)
        return mutate(rng, data[:head]) + data[head:]
    return mutate(rng, data)


def _damaged_png(rng: random.Random, data: bytes) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    n = rng.randrange(len(chunks))
    kind, payload = chunks[n]
    if kind == b"IDAT" and rng.random() < 0.5:
        with suppress(zlib.error):
            payload = zlib.compress(mutate(rng, zlib.decompress(payload)))
    else:
        payload = mutate(rng, payload)
    chunks[n] = (kind, payload)
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks) + 1), rng.choice(chunks))
    return data[:8] + b"".join(
        len(p).to_bytes(4, "big") + k + p + zlib.crc32(k + p).to_bytes(4, "big") for k, p in chunks
    )


# -- models


def damaged_model(
    rng: random.Random, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A model with other weights, shapes, types or claims. Its digests are those of the model as it was."""
    tensors, card = dict(tensors), json.loads(json.dumps(card))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if rng.random() < 0.4:
            _damage_card(rng, card)
        elif tensors:
            _damage_tensor(rng, tensors)
    return tensors, card


def _damage_card(rng: random.Random, card: dict[str, Any]) -> None:
    """Another value, somewhere in the card."""
    at: Any = card
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.85:
            at = at[key]
            continue
        if rng.random() < 0.15:
            del at[key]
            return
        old = at[key]
        new: list[Any] = [None, True, -1, 0, 1, 2, 3, 64, 1.5, 10**6, 10**30, 1e999, "", "x", [], {}, [1, 2], [[0]]]
        if isinstance(old, int | float):
            new += [old + 1, old - 1, 2 * old, -old, float(old), str(old)] * 3
        at[key] = rng.choice(new)
        return


def _damage_tensor(rng: random.Random, tensors: dict[str, np.ndarray]) -> None:
    name = rng.choice(list(tensors))
    array, kind = tensors[name], rng.randrange(8)
    if kind == 0:
        del tensors[name]
    elif kind == 1:
        tensors[rng.choice([name + "x", "parse.more", "g_s.9.weight", rng.choice(list(tensors))])] = array
    elif kind == 2:  # another type, of the same bytes or of the same values
        wanted = rng.choice((np.int8, np.uint8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64))
        with np.errstate(all="ignore"):
            tensors[name] = array.astype(wanted)
    elif kind == 3:  # another shape
        flat = array.reshape(-1)
        cut = flat[: max(0, flat.size - rng.choice((1, 2, 7, flat.size)))]
        shapes = [cut, flat, array[None], np.concatenate([flat, flat]), array[:1] if array.ndim else array]
        tensors[name] = rng.choice(shapes)
    elif array.size:
        changed = np.ascontiguousarray(array).copy()
        flat = changed.reshape(-1)
        if kind in (4, 5):  # a few values: the largest, the smallest, zero, neighbours
            limits = np.iinfo(flat.dtype) if flat.dtype.kind in "iu" else np.finfo(flat.dtype)
            for _ in range(rng.choice((1, 3, 30))):
                n = rng.randrange(flat.size)
                values = [limits.max, limits.min, 0, 1, int(flat[n]) + 1 if np.isfinite(flat[n]) else 0]
                with np.errstate(all="ignore"):
                    flat[n] = np.array(rng.choice(values)).astype(flat.dtype)
        elif kind == 6:  # all of them
            with np.errstate(all="ignore"):
                flat *= np.array(rng.choice((0, 2, 100))).astype(flat.dtype)
        else:
            raw = bytearray(flat.tobytes())
            for _ in range(rng.choice((1, 8))):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            changed = np.frombuffer(bytes(raw), flat.dtype).reshape(array.shape)
        tensors[name] = changed
