"""Tiny files of every kind, which the fuzzer damages: .lec files, what they are made of, tar files, and models."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.bitstream import Metadata
from lecodec.codec.codec import Codec, Target
from lecodec.codec.media.signal import picture_signal
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_tags import cue_chunks, info_chunk
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.codec.sound_lossless import LosslessSoundCodec

from ..block_coders import DeltaCoder
from ..contract.subjects import GOLDEN, SUBJECTS, blobs, clip, sound

__all__ = ["MODELS", "codecs", "inputs", "lec_files", "models"]

OFTEN = 5
"""How often a file that is quick to decode is drawn, for each time that one of the few others is: these take ten times
as long, and would take most of the time of a run.
"""
SLOW = ("photo", "circuit")
"""Subjects whose files are not quick, beside videos of the golden files."""

MODELS = [subject.model for subject in SUBJECTS if subject.model]


def codecs(runtime: str) -> list[Codec]:
    """Those of MODELS, computed by torch or by numpy, which a codec keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LECODEC_RUNTIME", runtime)
        return [lecodec.load(model=GOLDEN / f"{name}.safetensors") for name in MODELS]


def models() -> list[tuple[str, dict[str, np.ndarray], dict[str, Any]]]:
    """Names, tensors and cards."""
    paths = [GOLDEN / f"{name}.safetensors" for name in MODELS]
    return [(path.stem, load_tensors(path), read_card(path).card) for path in paths]


def lec_files(seed: int = 0) -> list[bytes]:
    """With tiles, alpha, 16 bits, metadata, exact tiles; without loss by every method; sets, videos and sounds. What is
    quick is in it `OFTEN` times.
    """
    noise = np.random.default_rng(seed)
    metadata = Metadata(icc=bytes(300), exif=b"II*\0", xmp=b"<x/>", primaries=9, transfer=16)
    by_subject = {s.name: s.codec().encode_signals([s.small()], s.target)[0] for s in SUBJECTS}
    slow = [by_subject.pop(name) for name in SLOW]
    files = list(by_subject.values())
    tiny: Any = lecodec.load(model=GOLDEN / "tiny.safetensors")
    alpha = noise.integers(0, 256, (4, 66, 4), dtype=np.uint8)
    alpha[:, 64:, 3] = 255
    files += [
        tiny.encode(noise.integers(0, 256, (1, 1), dtype=np.uint8), 1),
        tiny.encode(noise.integers(0, 256, (9, 20, 3), dtype=np.uint8), 50, metadata=metadata),
        tiny.encode(noise.integers(0, 256, (17, 16), dtype=np.uint8), 100),
        tiny.encode(noise.integers(0, 256, (5, 66, 3), dtype=np.uint8), 1, tile=64),
        tiny.encode(alpha, 20, tile=64, metadata=metadata),
        tiny.encode(noise.integers(0, 65536, (10, 14, 2), dtype=np.uint16), 40),
        tiny.encode(noise.integers(0, 65536, (3, 70, 3), dtype=np.uint16), 60, tile=64),
    ]
    opaque = np.repeat(noise.integers(0, 256, (4, 13, 4), dtype=np.uint8), 10, axis=1)
    opaque[:, 64:, 3] = 255
    smooth = np.arange(30 * 5 * 7 * 3).reshape(30, 5, 7, 3) // 9
    plain, by_model = lecodec.LosslessCodec(), lecodec.LosslessCodec(DeltaCoder())
    files += [
        plain.encode(noise.integers(0, 256, (1, 1), dtype=np.uint8)),
        plain.encode(noise.integers(0, 256, (9, 20, 3), dtype=np.uint8), metadata=Metadata(icc=bytes(300))),
        plain.encode(opaque, tile=64),
        plain.encode(np.tile(noise.integers(0, 65536, (5, 14, 3), dtype=np.uint16), (3, 1, 1))),
        by_model.encode(smooth[:20].reshape(60, 35).astype(np.uint8), tile=64),
        plain.encode_set(noise.integers(0, 256, 12, dtype=np.uint8), 5),
        plain.encode_set(smooth.astype(np.uint8), 7),
        plain.encode_set(smooth.astype(np.uint16)[:, :, :, :2]),
        by_model.encode_set(smooth.astype(np.uint16), 7),
    ]
    sounds, videos = (lecodec.load(model=GOLDEN / f"tiny-{name}.safetensors") for name in ("sound", "video"))
    circuit: Any = lecodec.load(model=GOLDEN / "tiny-circuit.safetensors")
    files += sounds.encode_signals([sound(150, 2, 2000, 0.04)], SUBJECTS[0].target)
    files += videos.encode_signals([SUBJECTS[-1].small()], SUBJECTS[0].target)
    slow.append(circuit.encode_set(blobs()[:5], 2))
    files += LosslessSoundCodec().encode_signals([load_sound(io.BytesIO(wave(cues=True)))], Target("lossless"))
    names = ["exact", "exact-all", "lossless-webp", "lossless-webp-grey", "lossless-set-lzma16", "unknown-ancillary"]
    names += ["colour", "colour-v1", "model-context-noise", "lossless-set-colour", "sound/one"]
    names += ["samples", "samples-grey16", "samples-exact-tiles", "metadata", "lossless-alpha-tiled"]
    names += [f"sound-lossless/{name}" for name in ("small", "floats", "doubles", "many", "silence")]
    names += ["adaptive-colour", "adaptive-peaks16"]
    names += [f"model-{name}-noise" for name in ("dictionary", "retrieved", "codebook")] + ["model-nested"]
    files += [(GOLDEN / f"{name}.lec").read_bytes() for name in names]
    names = ["video/frame", "video/announced-ticks", "video/closed", "video/moved-chain"]
    return OFTEN * files + slow + [(GOLDEN / f"{name}.lec").read_bytes() for name in names]


def wave(cues: bool = False) -> bytes:
    """A WAV file of 16 bits. cues: with tags and chapters."""
    samples = (sound(300, 2, 2000).samples * 20000).astype("<i2").tobytes()
    fields = [(1, 2), (2, 2), (2000, 4), (8000, 4), (4, 2), (16, 2)]
    chunks = [(b"fmt ", b"".join(value.to_bytes(size, "little") for value, size in fields)), (b"data", samples)]
    more = b""
    if cues:
        tags = {"title": "one", "artist": "two", "CHAPTER001": "00:00:00.050", "CHAPTER001NAME": "three"}
        more = info_chunk(tags) + cue_chunks(tags, 2000, 300)
    body = b"".join(name + len(content).to_bytes(4, "little") + content for name, content in chunks) + more
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WAVE" + body


def inputs(folder: Path) -> list[tuple[str, bytes]]:
    """What is encoded: suffixes and bytes. folder: for what is made by others."""
    rng = np.random.default_rng(0)
    colour = np.repeat(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8), 2, axis=1)
    grey16 = rng.integers(0, 65536, (4, 5), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    picture, found = Image.fromarray(colour), []

    def save(image: Image.Image, suffix: str, **options: Any) -> None:
        stream = io.BytesIO()
        image.save(stream, Image.registered_extensions()[suffix], **options)
        found.append((suffix, stream.getvalue()))

    save(picture, ".png", exif=exif, icc_profile=bytes(200), dpi=(72, 72))
    save(picture.convert("RGBA"), ".png")
    save(picture.convert("P"), ".png", transparency=b"\0\x80")
    save(picture.convert("1"), ".png", transparency=0)
    save(Image.fromarray(grey16), ".png")
    for suffix in (".jpg", ".webp", ".avif", ".bmp", ".ppm", ".jp2"):
        save(picture, suffix, **({"exif": exif} if suffix in (".jpg", ".webp", ".avif") else {}))
    save(picture.convert("CMYK"), ".jpg")
    save(picture.convert("P"), ".gif", transparency=3)
    moves = {"save_all": True, "append_images": [picture.rotate(90, expand=False)], "duration": 40}
    for suffix in (".gif", ".webp", ".png"):
        save(picture, suffix, **moves)
    save(Image.fromarray(grey16), ".pgm")
    save(picture.convert("1"), ".pbm")
    for options in ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}):
        save(picture, ".tif", **options)
    save(Image.fromarray(grey16), ".tif")
    for array in (colour, grey16):
        stream = io.BytesIO()
        np.save(stream, array)
        found.append((".npy", stream.getvalue()))
        stream = io.BytesIO()
        np.savez_compressed(stream, array)
        found.append((".npz", stream.getvalue()))
    idx = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in colour.shape) + colour.tobytes()
    found += [(".idx", idx), (".idx.gz", gzip.compress(idx, mtime=0))]
    found += [(".wav", wave()), (".wav", wave(cues=True))]
    for suffix, form in (("", "w"), (".gz", "w:gz")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=form, format=tarfile.PAX_FORMAT) as tar:  # pyright: ignore
            for name in ("a/ä.png", "b" * 120 + ".lec", "b.cls"):
                member = tarfile.TarInfo(name)
                member.size = len(name)
                tar.addfile(member, io.BytesIO(name.encode()[: member.size]))
        found.append((f".tar{suffix}", stream.getvalue()))
    frames = b"".join(b"FRAME\n" + frame.tobytes() for frame in clip(3, 8, 8)[..., 0])
    found.append((".y4m", b"YUV4MPEG2 W8 H8 F25:1 Ip A1:1 Cmono\n" + frames))
    with av.open(str(folder / "x.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "yuv420p"
        for frame in clip(2, 8, 8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        container.mux(stream.encode())
    found.append((".mkv", (folder / "x.mkv").read_bytes()))
    assert all(picture_signal(x).samples.size for x in (colour, grey16))
    return found
