"""Writes the golden files of sounds: `python -m tests.make_golden_sound` from the repository's root, once.

Each `.lec` file of golden/sound has a line in expected.json, the SHA-256 of the latents of all its segments, and a
`.npy`, what it decoded to as int16 [n, channels].
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

import lecodec
from lecodec.codec.sound import SoundCodec

__all__ = ["FOLDER", "latents_digest", "model"]

FOLDER = Path(__file__).parent / "golden" / "sound"


def model() -> SoundCodec:
    return lecodec.load(model=FOLDER.parent / "tiny-sound.safetensors", of=SoundCodec)


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


def main() -> None:
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
    main()
