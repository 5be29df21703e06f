"""FORMAT.md, sections 26 to 29, read by themselves: latents of sounds, samples without loss. As independent as
`reader`.
"""

from __future__ import annotations

import json
import struct
from io import BytesIO

import av
import numpy as np

from .reader import LecFile, Model, RangeDecoder, blake, demand, plain_block, read_group

__all__ = ["sound_digest", "sound_latents", "sound_samples"]

EDGES = [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 240, 320, 384, 480, 600, 800, 960]
GROUPS = [0, 40, 80, 160, 320, 480, 960]
PAST = [(0, 80), (0, 160), (40, 240), (120, 320), (280, 480), (440, 960)]
LOWER = [(0, 0), (0, 40), (0, 80), (0, 160), (160, 320), (320, 480)]
FLOOR = [
    *(26, 33, 41, 48, 55, 63, 70, 78, 85, 93, 100, 108, 115),
    *(123, 130, 138, 145, 153, 160, 167, 175, 182, 190, 197, 205),
]
WIDE = -(2**15), 2**15 - 1


def steps_of(model: Model) -> tuple[int, np.ndarray]:
    """Slope and floors of the steps."""
    slope, *floor = model.tensors["steps"].tolist() if "steps" in model.tensors else [166, *FLOOR]
    return slope, np.array(floor)


def sound_digest(model: Model) -> bytes:
    slope, floor = steps_of(model)
    constants = {
        "activation": [8, 8191],
        "bands": [25, slope, 320, -1344, *floor.tolist()],
        "envelope": [-4096, 2048, 2048],
        "gain": [10, 16383],
        "groups": [GROUPS, PAST, LOWER],
        "model": "envelope 0",
        "weight": 12,
        "z": [127, 16, 6],
    }
    text = json.dumps(constants, sort_keys=True).encode()
    for name, tensor in sorted(model.tensors.items()):
        text += f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes()
    return blake(text)


def sound_latents(model: Model, file: LecFile, number: int) -> tuple[np.ndarray, np.ndarray]:
    """z and y of a segment, their digest compared."""
    t, h = model.tensors, file.header
    q, channels, hop = h["quality"], h["channels"], (2 * h["sample_rate"] + 50) // 100
    step = hop * h["segment"]
    frames = -(-min(step, h["samples"] - number * step) // hop) + 1
    bins, positions = min(960, hop), -(-frames // 2)
    digest, coded = file.data[number]
    coder, tables = RangeDecoder(coded), model.tables("y")
    r = min(q // 256, 62)
    e = q - 256 * r

    def row(name: str) -> np.ndarray:
        v = t[name].astype(np.int64)
        return (v[r] * (256 - e) + v[r + 1] * e + 128) // 256

    def layer(name: str, a: np.ndarray, low: int, high: int, shift: int, out: tuple[int, int]) -> np.ndarray:
        weight = t[f"{name}.weight"].astype(np.int64)
        sums = weight @ np.clip(a.astype(np.int64), low, high) + t[f"{name}.bias"]
        own = f"{name}.gain" in t
        gain, offset = (row(f"{name}.gain"), row(f"{name}.offset")) if own else (1024, 0)
        return np.clip(((sums * gain + (1 << (shift - 1))) >> shift) + offset, *out)

    slope, floor = steps_of(model)
    count = len(t["prior.1.weight"]) // 2
    z = np.zeros((channels, count, positions + 3), np.int64)  # two positions before the first, one behind the last
    for c in range(channels):
        for j in range(positions):
            other = z[0, :, j + 2] if c else np.zeros(count, np.int64)
            seen = np.concatenate([z[c, :, j + 1], z[c, :, j], other, [16 * c]])
            v = layer("prior.1", layer("prior.0", seen, -127, 127, 14, (0, 8191)), 0, 8191, 24, WIDE)
            mean, number_of = np.clip((v[:count] + 32) >> 6, -127, 127), np.clip((v[count:] + 32) >> 6, 0, 63)
            z[c, :, j + 2] = np.clip(read_group(coder, tables, number_of) + mean, -127, 127)

    envelope, features = [], []
    for c in range(channels):
        of_frames: list[np.ndarray] = []
        more: list[np.ndarray] = []
        for j in range(positions):
            seen = np.concatenate([z[c, :, j + 1], z[c, :, j + 2], z[c, :, j + 3]])
            a = layer("envelope.0", seen, -127, 127, 14, (0, 8191))
            v = layer("envelope.2", layer("envelope.1", a, 0, 8191, 22, (0, 8191)), 0, 8191, 22, WIDE)
            both = np.clip(layer("direct", seen, -127, 127, 14, WIDE) + v[:50], -4096, 2048)
            of_frames += [both[:25], both[25:]]
            more += list(np.clip(v[50:], 0, 8191).reshape(2, -1))
        envelope.append(of_frames)
        features.append(more)

    y = np.zeros((channels, 960, frames), np.int64)
    for c in range(channels):
        for j in range(frames):

            def a(channel: int, frame: int, first: int, stop: int) -> np.ndarray:
                if frame < 0:
                    return np.zeros(stop - first, np.int64)
                size = np.minimum(abs(y[channel, first:stop, frame]), 255)
                return np.rint(128 * np.log2(1 + size)).astype(np.int64)

            levels = envelope[c][j]
            steps = ((slope * levels + 128) >> 8) + floor + 320 - ((26 * q + 128) >> 8)
            excess = np.clip(levels - steps, -2048, 2048)
            start = ((t["line.weight"].astype(np.int64) @ excess + 256) >> 9) + t["line.bias"][0]
            for g in range(6):
                first, stop = GROUPS[g], min(GROUPS[g + 1], bins)
                if first >= bins:
                    break
                own = a(0, j, first, GROUPS[g + 1]) if c else np.zeros(GROUPS[g + 1] - first, np.int64)
                before = [a(c, j - 1, *PAST[g]), a(c, j - 2, *PAST[g]), a(c, j, *LOWER[g])]
                seen = np.concatenate([*before, own, [256 * c], levels, features[c][j]])
                v = layer(f"context.{g}.0", seen, -(2**20), 2**20, 22, (0, 8191))
                v = layer(f"context.{g}.1", v, 0, 8191, 24, WIDE)[: stop - first]
                numbers = np.clip((start[first:stop] + v + 32) >> 6, 0, 63)
                y[c, first:stop, j] = np.clip(read_group(coder, tables, numbers), -32767, 32767)

    found_z = z[:, :, 2 : 2 + positions].reshape(-1, positions)
    found_y = y[:, :bins].reshape(-1, frames)
    demand(blake(found_z.astype("<i4").tobytes() + found_y.astype("<i4").tobytes()) == digest, "digest of latents")
    demand(not coder.words, "data left over")
    return found_z, found_y


def sound_samples(file: LecFile) -> np.ndarray:
    """Section 29: the samples of a sound without loss, [n, channels]; those of 24 bits as int32."""
    h = file.header
    demand(h["codec"] == 1, "with loss")
    demand(h["parse_digest"] == bytes(8), "models are not read here", "UnknownModel")
    each, channels = h["bit_depth"] // 8, h["channels"]
    parts = []
    for (_, _, n, _), (digest, payload) in zip(file.boxes, file.data, strict=True):
        if payload[0] == 6:
            whole, depth = flac(payload[1:], n, channels)
            if h["floating"]:
                samples = (whole.astype(np.float64) / 2.0 ** (depth - 1)).astype(f"<f{each}")
            else:
                shift = h["bit_depth"] - depth
                samples = (whole << shift if shift >= 0 else whole >> -shift).astype("<i8") + 128 * (each == 1)
            planes = samples.reshape(n, channels, 1).view(np.uint8)[:, :, :each]
            rows = planes.transpose(1, 2, 0).tobytes()
        else:
            demand(payload[0] not in (2, 4), "a method that sounds do not have")
            rows = plain_block({"channels": 1, "bit_depth": 8}, payload, n, channels * each, np.dtype(np.uint8))
        demand(blake(rows) == digest, "digest of samples")
        parts.append(np.frombuffer(rows, np.uint8).reshape(channels, each, n).transpose(2, 0, 1))
    whole = np.ascontiguousarray(np.concatenate(parts))
    if each == 3:
        wide = np.concatenate([np.zeros_like(whole[:, :, :1]), whole], 2)
        return np.ascontiguousarray(wide).view("<i4")[:, :, 0] >> 8
    return whole.view({1: "u1", 2: "<i2"}.get(each, f"<{'f' if h['floating'] else 'i'}{each}"))[:, :, 0]


def flac(body: bytes, n: int, channels: int) -> tuple[np.ndarray, int]:
    """The body of method 6 as integers [n, channels], and their bits; RFC 9639 is left to FFmpeg, which gets the head
    of a stream before the frames.
    """
    depth, at, parts = body[0], 1, []
    demand(depth in (16, 24, 32), "bits")
    for first in range(0, channels, 8):
        count = min(8, channels - first)
        (size,) = struct.unpack("<I", body[at : at + 4])
        fields = 44100 << 44 | (count - 1) << 41 | (depth - 1) << 36 | n
        info = struct.pack(">HH6xQ16x", 16, 65535, fields)
        stream = BytesIO(b"fLaC\x80\0\0\x22" + info + body[at + 4 : at + 4 + size])
        at += 4 + size
        with av.open(stream, format="flac") as container:
            found = [f.to_ndarray().reshape(-1, count) for f in container.decode(audio=0)]
        parts.append(np.concatenate(found).astype(np.int64) >> (32 - depth if depth > 16 else 0))
    demand(at == len(body) and all(len(part) == n for part in parts), "FLAC")
    return np.concatenate(parts, 1), depth
