"""Writes the golden files of sounds: `python -m tests.make_golden_sound` from the repository's root, once.

Each `.lec` file of golden/sound-lossless has a `.npy`, its samples, and in expected.json the methods of its segments.
Each of golden/sound has a line in expected.json, the SHA-256 of the latents of all its segments, and a
`.npy`, what it decoded to as int16 [n, channels]. `released NAME` writes the file of a shipped model instead.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import lecodec
from lecodec.bitstream import parse
from lecodec.codec.codec import Target
from lecodec.codec.media.sound_signal import array_signal, sound_signal
from lecodec.codec.sound import SoundCodec
from lecodec.codec.sound_lossless import LosslessSoundCodec

__all__ = ["FOLDER", "LOSSLESS_FOLDER", "latents_digest", "model", "voice"]

FOLDER = Path(__file__).parent / "golden" / "sound"
LOSSLESS_FOLDER = FOLDER.parent / "sound-lossless"


def model() -> SoundCodec:
    return lecodec.load(model=FOLDER.parent / "tiny-sound.safetensors", of=SoundCodec)


def voice() -> np.ndarray:
    """Two seconds of something like a voice, in two channels at 24 kHz: float32 [n, 2]."""
    rng, t = np.random.default_rng(5), np.arange(48000) / 24000
    phase = np.cumsum(150 + 40 * np.sin(2 * np.pi * 1.5 * t)) / 24000
    tone = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 20))
    loud = 0.1 * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
    hiss = 0.01 * rng.normal(size=(48000, 2))
    return ((loud * tone)[:, None] * np.array([1.0, 0.7]) + hiss).astype(np.float32)


def released(name: str) -> None:
    """Write the file of a shipped model: what it makes of `voice`, and the digest of its latents."""
    codec, path = lecodec.load(name, of=SoundCodec), FOLDER / f"released-{name}.lec"
    data = codec.encode(voice(), 24000, 55, segment=0.8)
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"{latents_digest(codec, data)}\n")


def latents_digest(codec: SoundCodec, data: bytes) -> str:
    """SHA-256 of z and y of all segments."""
    digest = hashlib.sha256()
    for number in range(lecodec.info(data)["segments"]):
        digest.update(b"".join(level.astype("<i4").tobytes() for level in codec.latents(data, number).levels))
    return digest.hexdigest()


def examples() -> dict[str, bytes]:
    rng, codec = np.random.default_rng(7), model()

    def tones(n: int, channels: int, rate: int) -> np.ndarray:
        t = np.arange(n)[:, None] / rate
        x = 0.3 * np.sin(2 * np.pi * (220 + 30 * np.arange(channels)) * t * (1 + t)) + 0.1 * np.sin(9000 * t)
        return (32767 * (x + 0.01 * rng.normal(size=x.shape))).astype(np.int16)

    return {
        "mono": codec.encode(tones(2501, 1, 16000), 16000, 60),
        "stereo": codec.encode(tones(3000, 2, 44100), 44100, 45, segment=0.04),
        "one": codec.encode(tones(1, 1, 8000), 8000, 90),
        "fast": codec.encode(tones(5000, 1, 96000).astype(np.float32) / 32768, 96000, 80),
        "silence": codec.encode(np.zeros((700, 2), np.int16), 12000, 100),
    }


def lossless_examples() -> dict[str, tuple[np.ndarray, bytes]]:
    """Samples and files: every method, one to nine channels, integers of 8, 16, 24 and 32 bits, floats."""
    rng, codec = np.random.default_rng(11), LosslessSoundCodec()
    t = np.arange(400)[:, None]
    x = 0.4 * np.sin(t / 9 + np.arange(9)) + 0.01 * rng.normal(size=(400, 9))
    deep = np.rint(x * 2**31).astype(np.int32)
    found = {
        "mono": ((deep[:, :1] >> 16).astype(np.int16), 16000, 0.02),
        "small": (((deep[:, :2] >> 24) + 128).astype(np.uint8), 44100, None),
        "deep": (deep[:200, :2], 48000, None),
        "many": ((deep[:100] >> 16).astype(np.int16), 8000, None),
        "floats": (((deep[:, :2] >> 16) / 2**15).astype(np.float32), 22051, None),
        "doubles": (x[:60, :1], 1000, None),
        "silence": (np.zeros((500, 2), np.int16), 12000, None),
        "ramp": (np.repeat(np.arange(250), 4)[:, None].astype(np.int32), 8000, None),
        "noise": (rng.integers(-(2**31), 2**31, (50, 1)).astype(np.int32), 8000, None),
    }
    files = {name: (samples, codec.encode(samples, rate, segment=cut)) for name, (samples, rate, cut) in found.items()}
    three = deep[:300, :2] >> 8 << 8
    layout = dataclasses.replace(array_signal(three, 44100).sound_layout, bit_depth=24)
    signal = sound_signal(lambda: iter(()), layout, exact=lambda: iter((three,)))
    files["three-bytes"] = three, codec.encode_signals([signal], Target("lossless"))[0]
    return files


def write_lossless() -> None:
    LOSSLESS_FOLDER.mkdir(exist_ok=True)
    place = LOSSLESS_FOLDER / "expected.json"
    expected = json.loads(place.read_text()) if place.exists() else {}
    for name, (samples, data) in lossless_examples().items():
        if name in expected:
            continue
        (LOSSLESS_FOLDER / f"{name}.lec").write_bytes(data)
        np.save(LOSSLESS_FOLDER / f"{name}.npy", samples)
        expected[name] = [chunk.payload[0] for chunk in parse(data).data]
    place.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def main() -> None:
    write_lossless()
    FOLDER.mkdir(exist_ok=True)
    codec, place = model(), FOLDER / "expected.json"
    expected = json.loads(place.read_text()) if place.exists() else {}
    for name, data in examples().items():
        if name in expected:
            continue
        (FOLDER / f"{name}.lec").write_bytes(data)
        np.save(FOLDER / f"{name}.npy", np.rint(32767 * codec.decode(data)).astype(np.int16))
        expected[name] = latents_digest(codec, data)
    place.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    released(sys.argv[2]) if sys.argv[1:2] == ["released"] else main()
