"""Writes the files of tests/golden/ that are not there yet; those that are stay as they are, for ever.

    python -m tests.make_golden

To add a file, add it to `good` or `bad`, and a line to golden/README.md. (The first files, such as colour.lec, are of
version 0 and cannot be made any more.)
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import SIGNATURE, LecFile, Metadata, SetLayout, frame, parse
from lecodec.codec.blocks import encode_block
from lecodec.codec.circuit import CircuitCoder
from lecodec.codec.codec import Target
from lecodec.codec.compressai_import import import_compressai
from lecodec.codec.latent_model import synthesis_digest
from lecodec.codec.media.signal import picture_signal
from lecodec.codec.model_file import load_tensors, read_card, save_model
from lecodec.codec.registry import list_models, load
from lecodec.codec.video import VideoCodec
from lecodec.entropy.circuit_coding import CircuitCoding
from lecodec.entropy.codebook_coding import CodebookCoding, contexts
from lecodec.entropy.coder import Reader
from lecodec.entropy.conditional_coding import EXPONENTIALS
from lecodec.entropy.hyperprior import HyperConfig, Hyperprior
from lecodec.entropy.tables import TableSet
from lecodec.eval.tasks.pictures import bundled
from lecodec.train.freeze import with_digests

from .container_examples import contents_of
from .golden_adaptive import bad_adaptive, good_adaptive

FOLDER = Path(__file__).parent / "golden"

Chunks = list[tuple[bytes, bytes]]


def pattern(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    """Waves, edges, a ramp, and (in the last of 2 or 4 channels) a disc that is transparent outside."""
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.4 * np.sin(x / 7), (2 * y + x / 3) / (2 * height + width / 3), 1.0 * (x > y), x / width]
    disc = np.clip(1.5 - np.hypot(x - 20, y - 18) / 16, 0, 1)
    planes = planes[:channels] if channels % 2 else [*planes[: channels - 1], disc]
    return (np.stack(planes, -1) * np.iinfo(dtype).max).astype(dtype)


def drawing(height: int, width: int, channels: int) -> np.ndarray:
    """`pattern` in a few flat colours, again and again."""
    tile = pattern(height // 3, width // 4, channels) // 48 * 48
    return np.tile(tile, (3, 4, 1))


def chunks_of(data: bytes) -> Chunks:
    return contents_of(data)


def file_of(chunks: Chunks) -> bytes:
    return SIGNATURE + b"".join(frame(kind, payload) for kind, payload in chunks)


def good(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    metadata = Metadata(b"not a profile, but carried", b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta/>", 9, 16)
    waves = pattern(70, 130, 3)
    tiled = codec.encode(waves, 40, tile=64)
    alpha = pattern(40, 100, 4)
    alpha[:, 64:, 3] = 255  # the second tile is opaque
    chunks = chunks_of(tiled)
    return {
        "colour-v1": codec.encode(pattern(40, 50, 3), 62.5),
        "grey-v1": codec.encode(pattern(33, 17, 1)[:, :, 0], 20),
        "tiled": tiled,
        "tiled-no-index": file_of(chunks[:-2] + chunks[-1:]),
        "alpha": codec.encode(alpha, 50, tile=64),
        "grey-alpha": codec.encode(pattern(31, 40, 2), 70),
        "opaque": codec.encode(np.full((9, 12, 4), 255, np.uint8), 50),
        "rgb16": codec.encode(pattern(24, 36, 3, np.uint16), 80),
        "grey16-alpha": codec.encode(pattern(20, 70, 2, np.uint16), 60, tile=64),
        "metadata": codec.encode(pattern(16, 20, 3), 30, metadata=metadata),
        "unknown-ancillary": file_of(
            [chunks[0], (b"exMp", b"before"), *chunks[1:-2], (b"teXt", b"after"), *chunks[-2:]]
        ),
    }


def collage(height: int, width: int, channels: int, dtype: type = np.uint8) -> np.ndarray:
    """`pattern`, its first 128 columns filled with black letters of 12 x 8 pixels, of which there are four."""
    out, rng = pattern(height, width, channels, dtype), np.random.default_rng(4)
    letters = np.kron(rng.integers(0, 2, (4, 4, 2)), np.ones((3, 4), int))
    text = letters[rng.integers(0, 4, (-(-height // 12), 16))].transpose(0, 2, 1, 3).reshape(-1, 128)[:height]
    out[:, :128, : channels - 1 + channels % 2] = text[:, :, None] * np.iinfo(dtype).max
    return out


def good_with_exact_tiles(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """Pages that are drawn in part. Files of 16 bits, and of nothing else, have them although no encoder chooses so."""
    wide = collage(70, 140, 1, np.uint16)[:, :, 0]
    chunks, layout = chunks_of(codec.encode(wide, 60, tile=64)), picture_signal(wide, tile=64).layout
    tiles = [(b"LEXT", b"".join(encode_block(wide[layout.unit(n)], {}))) for n in range(layout.units)]
    some = {1 + n: tiles[n] for n in (0, 2, 5)}
    return {
        "exact": codec.encode(collage(100, 210, 3), 70, tile=64),
        "exact-alpha": codec.encode(collage(130, 200, 4), 40, tile=64),
        "exact-grey16-no-index": file_of([some.get(n, chunk) for n, chunk in enumerate(chunks) if chunk[0] != b"iNDX"]),
        "exact-all": file_of([chunks[0], *tiles, chunks[-1]]),
    }


def good_with_exact_pixels(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    return {
        "samples": codec.encode(pattern(40, 50, 3), 62.5, exact_pixels=True),
        "samples-grey16": codec.encode(pattern(20, 70, 1, np.uint16)[:, :, 0], 60, tile=64, exact_pixels=True),
        "samples-exact-tiles": codec.encode(collage(100, 210, 3), 70, tile=64, exact_pixels=True),
    }


def good_with_context(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """By the model with context. Odd numbers of latents, tiles of several sizes, noise at the highest quality."""
    noise = np.random.default_rng(8).integers(0, 256, (33, 18, 3), dtype=np.uint8)
    return {
        "model-context": codec.encode(pattern(75, 52, 3), 62.5),
        "model-context-tiled": codec.encode(pattern(90, 150, 4), 40, tile=64),
        "model-context-noise": codec.encode(noise, 100),
    }


def good_wide(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """By the model whose means reach further and that has more tables."""
    return {
        "model-context-wide": codec.encode(pattern(75, 52, 3), 100),
        "model-context-wide-white": codec.encode(np.full((64, 70, 3), 255, np.uint8), 99),
    }


def tiny_adapted() -> None:
    """The model `tiny-adapted`: changes to `tiny-context`, learned from waves and letters."""
    from lecodec.train.adapt_freeze import adapt

    with TemporaryDirectory() as folder:
        for n in range(25):
            Image.fromarray(collage(70 + n, 160 + n, 3)).save(Path(folder, f"{n}.png"))
        settings: dict[str, object] = {"steps": 60, "crop": 64, "rank": 2, "learning_rate": 5e-3}
        base, out = FOLDER / "tiny-context.safetensors", FOLDER / "tiny-adapted.safetensors"
        adapt(folder, out, base=str(base), runs=Path(folder, "runs"), settings=settings)


def tiny_conditional(kind: str) -> None:
    """The model `tiny-KIND`: `tiny-context` with a memory that nobody has taught anything."""
    rng, path = np.random.default_rng(11), FOLDER / "tiny-context.safetensors"
    tensors, card = load_tensors(path), read_card(path).card
    heads, entries, size, width, latent = 2, 12, 4, 12, 16
    for k in (1, 2, 3):
        shapes = {"ask": (heads * size, 2 * width + (heads * size if k > 1 else 0)), "tell": (2 * latent, heads * size)}
        if kind in ("retrieved", "both"):
            shapes |= dict.fromkeys(("key", "value"), (heads * size, 4 * latent))
            tensors["parse.references"] = rng.integers(-700, 701, (5, 4 * latent, 2, 2)).astype(np.int16)
            tensors["parse.references"] //= np.arange(1, 6, dtype=np.int16)[:, None, None, None]
            tensors["parse.unit"] = rng.integers(64, 500, (64, latent)).astype(np.int32)
            tensors["parse.heads"] = np.array([heads], np.int32)
            tensors["parse.context.exponentials"] = EXPONENTIALS
        if kind == "control":
            shapes |= dict.fromkeys(("value", "gate"), (heads * size, heads * size))
        if kind in ("dictionary", "both"):
            keys = rng.normal(size=(heads, entries, size))
            keys *= 128 / np.linalg.norm(keys, axis=2, keepdims=True)
            tensors[f"parse.context.{k}.keys"] = keys.round().astype(np.int16)
            tensors[f"parse.context.{k}.values"] = rng.integers(-999, 1000, keys.shape).astype(np.int16)
            tensors["parse.context.exponentials"] = EXPONENTIALS
        for name, shape in shapes.items():
            most = 300 if name == "tell" else 4096 // math.isqrt(shape[1])
            tensors[f"parse.context.{k}.{name}.weight"] = rng.integers(-most, most + 1, shape).astype(np.int16)
            tensors[f"parse.context.{k}.{name}.bias"] = rng.integers(-(2**16), 2**16, shape[0]).astype(np.int32)
    memory = {"kind": kind, "entries": entries, "heads": heads, "size": size}
    card = {key: card[key] for key in ("kind", "transform", "hyper", "context", "receptive_field")}
    card |= {"name": f"tiny-{kind}", "conditional": memory}
    save_model(tensors, with_digests(tensors, card), FOLDER / f"tiny-{kind}.safetensors")


def tiny_nested() -> None:
    """The model `tiny-nested`: `tiny` with two levels above z, of which nothing was learned."""
    tensors, card = load_tensors(FOLDER / "tiny.safetensors"), read_card(FOLDER / "tiny.safetensors").card
    torch.manual_seed(12)
    hyper = HyperConfig(**{**card["hyper"], "levels": 3})
    model = Hyperprior(hyper).eval()
    tensors = {name: a for name, a in tensors.items() if not name.startswith("parse.z.")}
    tensors["parse.h_s.0.bias"] = tensors["parse.h_s.0.bias"] * 64  # z is in units of 1/64
    tensors |= {f"parse.{name}": a for name, a in model.frozen().items() if name.startswith("above.")}
    state = model.h_a.state_dict().items()
    tensors |= {f"h_a.{name}": a.half().numpy() for name, a in state if name.startswith("above.")}
    card = {key: card[key] for key in ("kind", "transform", "receptive_field")}
    card |= {"name": "tiny-nested", "hyper": hyper.entries()}
    save_model(tensors, with_digests(tensors, card), FOLDER / "tiny-nested.safetensors")


def good_nested(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """By the model with levels above z: all of them of odd sizes, and single positions."""
    return {
        "model-nested": codec.encode(pattern(75, 152, 3), 55),
        "model-nested-tiled": codec.encode(pattern(70, 134, 3), 90, tile=64),
    }


def tiny_codebook() -> None:
    """The model `tiny-codebook`: random words on the transforms of `tiny`."""
    rng, path = np.random.default_rng(13), FOLDER / "tiny.safetensors"
    base, card = load_tensors(path), read_card(path).card
    tensors: dict[str, np.ndarray] = {}
    sizes, stages, words = (1, 1, 2, 4, 4, 4), 2, 9
    for g, size in enumerate(sizes):
        spread = 2.0 ** (10 - g / 2)
        own = rng.normal(0, 1, (stages, words, size)) * spread * np.array([4, 1])[:, None, None]
        own[:, 0] = 0
        tensors[f"words.{g}"] = own.round().astype(np.int32)
        tensors[f"size.{g}"] = rng.integers(0, 4, (stages, words)).astype(np.int16)
    tensors["stages"] = np.minimum(np.arange(64)[:, None] // np.arange(6, 12), stages).astype(np.int16)
    tensors["gain"] = np.rint(1024 * np.exp(np.linspace(0, 3, 64)))[:, None].astype(np.int32).repeat(16, 1)
    each = len(sizes) * sum(map(contexts, range(stages)))
    table = TableSet.from_probabilities([(0, np.append(rng.random(words) + 0.05, 1e-6)) for _ in range(each)])
    tensors["y.counts"], tensors["y.low"] = table.counts.astype(np.int32), table.low
    tensors["y.length"] = np.diff(table.start).astype(np.int32)
    entropy = CodebookCoding(tensors)
    whole = {f"parse.{name}": a for name, a in tensors.items()}
    whole |= {name: a for name, a in base.items() if name.startswith(("g_a.", "g_s."))}
    card = {key: card[key] for key in ("transform", "receptive_field")} | {"name": "tiny-codebook", "kind": "codebook"}
    card["parse_digest"] = entropy.digest().hex()
    card["synthesis_digest"] = synthesis_digest(whole, card["transform"]).hex()
    save_model(whole, card, FOLDER / "tiny-codebook.safetensors")


def good_codebook(codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """By codebooks: no stage, some, all; odd sizes; tiles."""
    noise = np.random.default_rng(9).integers(0, 256, (33, 18, 3), dtype=np.uint8)
    return {
        "model-codebook": codec.encode(pattern(75, 152, 3), 25),
        "model-codebook-tiled": codec.encode(pattern(70, 134, 3), 50, tile=64),
        "model-codebook-noise": codec.encode(noise, 100),
        "model-codebook-nothing": codec.encode(noise, 1),
    }


def good_conditional(kind: str, codec: lecodec.ImageCodec) -> dict[str, bytes]:
    """By models with a memory: odd numbers of latents, tiles, noise at the highest quality."""
    noise = np.random.default_rng(9).integers(0, 256, (33, 18, 3), dtype=np.uint8)
    return {
        f"model-{kind}": codec.encode(pattern(75, 52, 3), 62.5),
        f"model-{kind}-tiled": codec.encode(pattern(90, 150, 3), 30, tile=64),
        f"model-{kind}-noise": codec.encode(noise, 100),
    }


def released() -> list[tuple[lecodec.ImageCodec, str, bytes]]:
    """codec, name, file: of each shipped image model, part of a photograph in two tiles."""
    photo = np.asarray(Image.open(bundled("coffee.png")).convert("RGB"))[180:260, 300:420]
    shipped = [
        card.name for card in list_models() if card.path.parent.name == "models" and card.card["kind"] == "image"
    ]
    codecs = {name: load(name) for name in shipped}
    return [(codec, f"released-{name}", codec.encode(photo, 55, tile=64)) for name, codec in codecs.items()]


def _repeats(dtype: type) -> np.ndarray:
    """60 items of 16 x 16, five different ones."""
    rng = np.random.default_rng(5)
    few = rng.integers(0, 6, (5, 16, 16)) * (31 if dtype == np.uint8 else 4001)
    return few[rng.integers(0, 5, 60)].astype(dtype)


def good_without_loss() -> dict[str, tuple[np.ndarray, bytes]]:
    """name -> samples, file."""
    codec = lecodec.LosslessCodec()
    noise = np.random.default_rng(3)
    metadata = Metadata(b"not a profile, but carried", b"", b"<x:xmpmeta/>", 9, 16)
    digits = np.zeros((7, 6, 5), np.uint8)
    digits[:, 2:4, 1:3] = np.arange(7, dtype=np.uint8)[:, None, None] * 40
    pictures = {
        "colour": pattern(40, 50, 3),
        "grey16": pattern(20, 24, 1, np.uint16)[:, :, 0],
        "rgb16": pattern(14, 16, 3, np.uint16),
        "alpha-tiled": pattern(70, 80, 4),
        "noise": noise.integers(0, 256, (9, 8, 3), dtype=np.uint8),
        "pixel": np.array([[200]], np.uint8),
        "webp": drawing(90, 120, 3),
        "webp-grey": drawing(60, 100, 1)[:, :, 0],
        "webp-alpha-tiled": drawing(96, 160, 4),
    }
    sets = {
        "set": (digits, 3),
        "set-colour": (pattern(24, 8, 3).reshape(4, 6, 8, 3), 4),
        "set-scalars16": (np.arange(0, 60000, 3000, dtype=np.uint16), 8),
        "set-lzma": (_repeats(np.uint8), 40),
        "set-lzma16": (_repeats(np.uint16), 60),
        "set-4d": (noise.integers(0, 4, (3, 2, 3, 4, 5), dtype=np.uint8), 2),
    }
    made = {
        name: (samples, codec.encode(samples, tile=64 if name.endswith("alpha-tiled") else None, metadata=metadata))
        for name, samples in pictures.items()
    }
    assert all("webp" in lecodec.info(data)["methods"] for name, (_, data) in made.items() if "webp" in name)
    made |= {name: (samples, codec.encode_set(samples, items)) for name, (samples, items) in sets.items()}
    return {f"lossless-{name}": pair for name, pair in made.items()}


def tiny_circuit() -> None:
    """The model `tiny-circuit.safetensors`, of items of 6 x 5: parameters at random."""
    rng, count, states = np.random.default_rng(5), 30, 4
    parent = np.array([-1, *((n - 1) // 2 for n in range(1, count))])
    transition = rng.dirichlet(np.full(states, 0.3), (count, states))
    emission = rng.dirichlet(np.full(256, 0.05), (count, states))
    coding = CircuitCoding.from_parameters(parent, np.arange(count), transition, emission)
    card = {"name": "tiny-circuit", "kind": "circuit", "item_shape": [6, 5], "levels": 256}
    card |= {"parse_digest": coding.digest().hex(), "synthesis_digest": "00" * 8}
    save_model({f"parse.{name}": a for name, a in coding.tensors().items()}, card, FOLDER / "tiny-circuit.safetensors")


def good_by_model() -> dict[str, tuple[np.ndarray, bytes]]:
    """name -> samples, file. Their data is coded by a model, not stored or deflated."""
    circuit, photo = (
        load(FOLDER / f"tiny-{kind}.safetensors", of=lecodec.LosslessCodec) for kind in ("circuit", "photo")
    )
    rng = np.random.default_rng(6)
    assert isinstance(circuit.coder, CircuitCoder)
    # Decoding noise gives a sample of the model.
    digits = circuit.coder._circuit.traverse([Reader(rng.bytes(4000))], [9], None).reshape(9, 6, 5).astype(np.uint8)
    noisy = np.asarray(Image.open(bundled("coffee.png")).convert("RGB"))[200:261, 300:390]
    pictures = {
        "photo": noisy,
        "photo-grey": noisy[:, :, 1],
        "photo-alpha": np.dstack([noisy, pattern(61, 90, 2)[:, :, 1]]),
        "photo16": (noisy[:40, :44] * 257.0 + rng.integers(0, 90, (40, 44, 3))).clip(0, 65535).astype(np.uint16),
    }
    made = {name: (a, photo.encode(a, tile=64 if "alpha" in name else None)) for name, a in pictures.items()}
    made["circuit"] = digits, circuit.encode_set(digits, 4)
    tiles = np.ascontiguousarray(noisy[:56, :90].reshape(7, 8, 9, 10, 3).swapaxes(1, 2).reshape(63, 8, 10, 3)[:24])
    made["photo-set"] = tiles, photo.encode_set(tiles, 16)
    for name, (_, data) in made.items():
        assert set(LecFile.open(data).methods()) == {"model"}, (name, LecFile.open(data).methods())
    return {f"model-{name}": pair for name, pair in made.items()}


def bad_by_model(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content. made: the good files."""
    bad = {}
    for kind in ("photo", "circuit", "context"):
        chunks = chunks_of(made[f"model-{kind}"])
        at = next(n for n, (name, _) in enumerate(chunks) if name == b"LDAT")
        payload = chunks[at][1]
        flipped = bytearray(payload)
        flipped[len(payload) // 2] ^= 16
        for damage, content in {"bit": bytes(flipped), "cut": payload[:-4], "tail": payload + bytes(8)}.items():
            changed = [*chunks[:at], (b"LDAT", content), *chunks[at + 1 :]]
            without_index = [chunk for chunk in changed if chunk[0] != b"iNDX"]
            bad[f"bad-model-{kind}-{damage}"] = "CorruptFile", file_of(without_index)
    return bad


def bad_without_loss(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content. made: the good files."""
    plain, of_set, noise = (chunks_of(made[f"lossless-{name}"]) for name in ("grey16", "set", "noise"))
    at = next(n for n, (kind, _) in enumerate(plain) if kind == b"LDAT")
    stored_at = next(n for n, (kind, _) in enumerate(noise) if kind == b"LDAT")
    digest, deflated, stored = plain[at][1][:8], plain[at][1][9:], noise[stored_at][1]
    assert plain[at][1][8] == 1 and stored[8] == 0
    inside = zlib.decompress(deflated)

    def with_data(payload: bytes, chunks: Chunks = plain, place: int = at) -> bytes:
        return file_of([*chunks[:place], (b"LDAT", payload), *chunks[place + 1 :]])

    def with_header(offset: int, value: bytes, chunks: Chunks = plain) -> bytes:
        header = chunks[0][1]
        return file_of([(b"LHDR", header[:offset] + value + header[offset + len(value) :]), *chunks[1:]])

    def with_set(payload: bytes) -> bytes:
        return file_of([of_set[0], (b"LSET", payload), *of_set[2:]])

    lset = of_set[1][1]
    corrupt = {
        "digest": with_data(bytes(8) + plain[at][1][8:]),
        "stored-bit": with_data(stored[:20] + bytes([stored[20] ^ 1]) + stored[21:], noise, stored_at),
        "stored-short": with_data(stored[:-1], noise, stored_at),
        "stored-long": with_data(stored + b"\0", noise, stored_at),
        "stored-swapped-bytes": with_data(digest + b"\0" + pattern(20, 24, 1, np.uint16).astype(">u2").tobytes()),
        "deflated-cut": with_data(digest + b"\1" + deflated[:-5]),
        "deflated-tail": with_data(digest + b"\1" + deflated + b"\0"),
        "deflated-long": with_data(digest + b"\1" + zlib.compress(inside + b"\0")),
        "deflated-filter": with_data(digest + b"\1" + zlib.compress(b"\5" + inside[1:])),
        "no-method": with_data(digest),
        "model-without-digest": with_data(digest + b"\2abc"),
        "quality": with_header(34, b"\1"),
        "synthesis-digest": with_header(26, b"\1"),
        "set-alpha": with_header(16, b"\1", of_set),
        "set-tiles": with_header(36, bytes([64, 0, 64, 0]), of_set),
        "set-with-loss": with_header(17, b"\0", of_set),
        "set-missing": file_of([of_set[0], *of_set[2:]]),
        "set-twice": file_of([*of_set[:2], *of_set[1:]]),
        "set-of-a-picture": file_of([plain[0], (b"LSET", lset), *plain[1:]]),
        "set-late": file_of([of_set[0], of_set[2], of_set[1], *of_set[3:]]),
        "set-other-shape": with_set(struct.pack("<B4I", 2, 5, 6, 7, 3)),
        "set-no-items": with_set(struct.pack("<B4I", 2, 6, 5, 0, 1)),
        "set-block": with_set(struct.pack("<B4I", 2, 6, 5, 7, 8)),
        "set-short": with_set(lset[:-1]),
        "set-dimensions": with_set(b"\x09" + lset[1:]),
        "set-fewer-blocks": with_set(struct.pack("<B4I", 2, 6, 5, 7, 4)),
        "set-swapped-blocks": file_of([*of_set[:2], of_set[3], of_set[2], *of_set[4:]]),
    }
    webp, webp_grey = (chunks_of(made[f"lossless-{name}"]) for name in ("webp", "webp-grey"))
    webp_at, grey_at = (next(n for n, (kind, _) in enumerate(c) if kind == b"LDAT") for c in (webp, webp_grey))
    stream, grey_stream = webp[webp_at][1], webp_grey[grey_at][1]
    assert stream[8:10] == grey_stream[8:10] == b"\x04\x2f"
    corrupt |= {
        "webp-cut": with_data(stream[:-20], webp, webp_at),
        "webp-bit": with_data(stream[:40] + bytes([stream[40] ^ 4]) + stream[41:], webp, webp_at),
        "webp-signature": with_data(stream[:9] + b"\x2e" + stream[10:], webp, webp_at),
        "webp-no-size": with_data(stream[:13], webp, webp_at),
        "webp-width": with_data(stream[:10] + bytes([stream[10] ^ 1]) + stream[11:], webp, webp_at),
        "webp-alpha": with_data(stream[:13] + bytes([stream[13] | 0x10]) + stream[14:], webp, webp_at),
        "webp-version": with_data(stream[:13] + bytes([stream[13] | 0x20]) + stream[14:], webp, webp_at),
        "webp-other-size": with_data(stream, webp_grey, grey_at),
        "webp-16-bits": with_data(digest + stream[8:]),
        "webp-stored": with_data(stream[:8] + b"\0" + stream[9:], webp, webp_at),
    }
    repeats = chunks_of(made["lossless-set-lzma"])
    far_at = next(n for n, (kind, _) in enumerate(repeats) if kind == b"LDAT")
    packed = repeats[far_at][1]
    assert packed[8] == 5 and packed[-1] == 0
    corrupt |= {
        f"lzma-{name}": with_data(payload, repeats, far_at)
        for name, payload in {
            "cut": packed[:-20],
            "bit": packed[:60] + bytes([packed[60] ^ 4]) + packed[61:],
            "no-end": packed[:-1],
            "tail": packed + b"\0",
            "twice": packed[:-1] + packed[9:],
            "nothing": packed[:9],
            "stored": packed[:8] + b"\0" + packed[9:],
        }.items()
    }
    huge = struct.pack("<B4I", 2, 6, 5, 2**31, 3)
    return {
        **{f"bad-lossless-{name}": ("CorruptFile", content) for name, content in corrupt.items()},
        "unsupported-lossless-method-3": ("UnsupportedFile", with_data(digest + b"\3abc")),
        "bad-lossless-set-huge": ("LimitExceeded", with_set(huge)),
        "bad-lossless-other-model": ("UnknownModel", with_header(18, b"\1")),
    }


IMPORTED = {"mean": "mbt2018-mean", "hyperprior": "bmshj2018-hyperprior", "factorized": "bmshj2018-factorized-relu"}
"""Model in golden/compressai -> network."""


def imported() -> None:
    """The folder golden/compressai: models of random weights, and files of theirs."""
    from .codec.test_golden import latents_digest
    from .compressai_states import state_of

    folder = FOLDER / "compressai"
    folder.mkdir(exist_ok=True)
    record = folder / "expected.json"
    expected = json.loads(record.read_text()) if record.exists() else {}
    for name, network in IMPORTED.items():
        model = folder / f"{name}.safetensors"
        if not model.exists():
            with TemporaryDirectory() as temporary:
                torch.save(state_of(network), Path(temporary) / "checkpoint.pth")
                import_compressai(f"compressai:{network}", Path(temporary) / "checkpoint.pth", model)
        codec = lecodec.load(model=model)
        alpha = pattern(70, 100, 4)
        pictures = {
            "colour": codec.encode(pattern(40, 50, 3)),
            "alpha": codec.encode(alpha, tile=64),
            "grey16": codec.encode(pattern(20, 70, 1, np.uint16)[:, :, 0]),
            "pixel": codec.encode(pattern(1, 1, 3)),
        }
        for kind, data in pictures.items():
            if (file := f"{name}-{kind}.lec") not in expected:
                suffix, picture = picture_file(codec.decode(data))
                write_new(f"compressai/{name}-{kind}{suffix}", picture)
                write_new(f"compressai/{file}", data)
                latents = latents_digest(codec, data)
                expected[file] = {"model": model.name, "latents": latents, "picture": f"{name}-{kind}{suffix}"}
    record.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def clip(frames: int, height: int, width: int) -> np.ndarray:
    """`pattern` under a slow pan, with a square that moves: uint8 [frames, height, width, 3]."""
    wide = pattern(height + frames, width + 2 * frames, 3)
    out = np.stack([wide[n // 3 : n // 3 + height, n : n + width] for n in range(frames)])
    for n in range(frames):
        out[n, 6 : 6 + height // 4, 2 * n : 2 * n + width // 5] = (250, 220, 30)
    return out


def pan(frames: int, height: int, width: int) -> np.ndarray:
    """Blocks of noise of 8 x 8 pixels, 7 pixels further to the left and 3 up with every frame, in a frame that stands
    still: uint8 [frames, height, width, 3].
    """
    rng = np.random.default_rng(6)
    wide = np.kron(rng.integers(0, 256, (height // 8 + 3 * frames, width // 8 + 7 * frames, 3)), np.ones((8, 8, 1)))
    out = np.stack([wide[3 * n : 3 * n + height, 7 * n : 7 * n + width] for n in range(frames)])
    out[:, :30] = out[0, :30]
    return out.astype(np.uint8)


def spoken(signal):
    """A video with a track of sound and one of text: their packets, and their description in Matroska."""
    import av

    from lecodec.bitstream.packets import Packet
    from lecodec.codec.media.video_files import load_video

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        sound, text = container.add_stream("pcm_u8", rate=8000), container.add_stream("subrip")
        sound.layout, text.metadata["language"] = "mono", "fra"
        text.codec_context.subtitle_header = b"[Script Info]\n\n[Events]\n"
        container.metadata["title"] = "Waves"
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    streams = load_video(io.BytesIO(file.getvalue())).metadata.streams

    def frames():
        for n, shown in enumerate(signal.frames()):
            packets = (Packet(0, 40000 * n, 40000, True, bytes([128 + n, 127 - n] * 4)),)
            yield shown._replace(packets=packets + (Packet(1, 40000 * n + 7, 0, True, b"line"),) * (n % 3 == 2))

    return replace(signal, frames=frames, metadata=replace(signal.metadata, streams=streams))


def videos() -> None:
    """The folder golden/video: files of the model `tiny-video.safetensors`."""
    from lecodec.codec.media.video_signal import VideoFrame, clip_signal, in_groups

    folder = FOLDER / "video"
    folder.mkdir(exist_ok=True)
    record = folder / "expected.json"
    expected = json.loads(record.read_text()) if record.exists() else {}
    codec = load(FOLDER / "tiny-video.safetensors", of=VideoCodec)
    target = Target("quality", 55)
    even, odd = clip(11, 64, 80), clip(6, 35, 51)
    ticks = in_groups(clip_signal(odd), 0, False)
    uneven = (7, 300, 0, 1, 2, 100000)
    frames = [VideoFrame(frame, n) for frame, n in zip(odd, uneven, strict=True)]
    timed = replace(ticks.video_layout, duration=0)
    signals = {
        "groups": in_groups(clip_signal(even), 4, False),
        "closed": in_groups(clip_signal(odd), 0, False),
        "chain": in_groups(clip_signal(odd), 4, True),
        "ticks": replace(ticks, frames=lambda: iter(frames)),
        "frame": clip_signal(odd[:1]),
        "announced": spoken(in_groups(clip_signal(even), 4, False)),
        "announced-ticks": spoken(replace(ticks, layout=timed, frames=lambda: iter(frames))),
    }
    signals["moved"] = in_groups(clip_signal(pan(5, 96, 100)), 0, False)
    signals["moved-chain"] = in_groups(clip_signal(pan(3, 70, 96)), 0, True)
    for name, signal in signals.items():
        if f"{name}.lec" not in expected:
            data = codec.encode_signals([signal], target)[0]
            write_new(f"video/{name}.lec", data)
            write_new(f"video/{name}.png", png(np.concatenate(list(codec.decode(data)), 0)))
            expected[f"{name}.lec"] = {"latents": latents_of(codec, data), "picture": f"{name}.png"}
    record.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


def released_videos() -> None:
    """In golden/video, of each shipped video model: a file, and the digest of its latents as text."""
    for card in list_models():
        name = f"video/released-{card.name}"
        if card.path.parent.name != "models" or card.card["kind"] != "video" or (FOLDER / f"{name}.lec").exists():
            continue
        codec = load(card.name, of=VideoCodec)
        data = codec.encode(clip(9, 48, 80), quality=55)
        write_new(f"{name}.lec", data)
        said = f"SHA-256 of all y_hat of released-{card.name}.lec, in the order in which they are shown"
        write_new(f"{name}.txt", f"{latents_of(codec, data)}  {said}\n".encode())


def latents_of(codec: VideoCodec, data: bytes) -> str:
    """The SHA-256 of all y_hat, in the order in which they are shown."""
    found = hashlib.sha256()
    for one in codec.latents(data):
        found.update(one.latents.y_hat.astype("<i4").tobytes())
    return found.hexdigest()


def rows(plane: np.ndarray) -> bytes:
    """An alpha plane of bytes as an `LALP` chunk holds it, with no filter."""
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in plane))


def png(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "PNG")
    return file.getvalue()


def bad(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content. made: the good files."""
    alpha, plain = chunks_of(made["alpha"]), chunks_of(made["metadata"])
    tiled = chunks_of(made["tiled-no-index"])
    data = plain[-2:]  # LDAT, LEND

    def with_alpha(payload: bytes) -> bytes:
        return file_of([*alpha[:2], (b"LALP", payload), *alpha[3:-2], alpha[-1]])

    def with_header(at: int, value: bytes, chunks: Chunks = alpha) -> bytes:
        header = chunks[0][1]
        return file_of([(b"LHDR", header[:at] + value + header[at + len(value) :]), *chunks[1:]])

    def with_metadata(*chunks: tuple[bytes, bytes]) -> bytes:
        return file_of([plain[0], *chunks, *data])

    digest, datastream = alpha[2][1][:8], alpha[2][1][8:]
    inside = zlib.decompress(datastream)
    other = np.zeros((40, 63), np.uint8)
    other_digest = hashlib.blake2b(other.tobytes(), digest_size=8).digest()
    lengths = struct.unpack("<4I", alpha[-2][1])
    wrong = struct.pack("<4I", lengths[0] + 1, *lengths[1:])
    text = zlib.compress(b"<x:xmpmeta/>", 9)
    corrupt = {
        "alpha-missing": file_of(alpha[:2] + alpha[3:]),
        "alpha-not-announced": with_header(16, b"\0"),
        "alpha-digest": with_alpha(bytes(8) + datastream),
        "alpha-opaque-digest": with_alpha(digest),
        "alpha-short": with_alpha(digest[:7]),
        "alpha-damaged": with_alpha(digest + datastream[:60] + bytes([datastream[60] ^ 4]) + datastream[61:]),
        "alpha-cut": with_alpha(digest + datastream[:-30]),
        "alpha-size": with_alpha(other_digest + rows(other)),
        "alpha-long": with_alpha(digest + zlib.compress(inside + b"\0")),
        "alpha-tail": with_alpha(digest + datastream + b"\0"),
        "alpha-filter": with_alpha(digest + zlib.compress(b"\5" + inside[1:])),
        "tile-missing": file_of(tiled[:2] + tiled[3:]),
        "tile-extra": file_of([*tiled[:-1], *tiled[-2:]]),
        "tile-swapped": file_of([tiled[0], tiled[3], tiled[2], tiled[1], *tiled[4:]]),
        "tile-size": with_header(36, struct.pack("<H", 100)),
        "tile-width-only": with_header(38, bytes(2)),
        "index-wrong": file_of([*alpha[:-2], (b"iNDX", wrong), alpha[-1]]),
        "index-short": file_of([*alpha[:-2], (b"iNDX", alpha[-2][1][:-4]), alpha[-1]]),
        "index-early": file_of([alpha[0], alpha[-2], *alpha[1:-2], alpha[-1]]),
        "index-twice": file_of([*alpha[:-1], *alpha[-2:]]),
        "between": file_of([*alpha[:3], (b"exMp", b""), *alpha[3:]]),
        "after-index": file_of([*alpha[:-1], (b"exMp", b""), alpha[-1]]),
        "metadata-not-deflated": with_metadata((b"xMPd", b"<x:xmpmeta/>")),
        "metadata-cut": with_metadata((b"xMPd", text[:-5])),
        "metadata-tail": with_metadata((b"xMPd", text + b"x")),
        "metadata-twice": with_metadata((b"xMPd", text), (b"xMPd", text)),
        "metadata-late": file_of([plain[0], data[0], (b"xMPd", text), data[1]]),
        "end-not-empty": file_of([*tiled[:-1], (b"LEND", b"x")]),
    }
    unsupported = {
        "bit-depth-12": with_header(11, b"\x0c"),
        "alpha-2": with_header(16, b"\2"),
        "codec-7": with_header(17, b"\7"),
        "media-3": with_header(1, b"\3"),
        "matrix-1": with_header(14, b"\1"),
        "narrow-range": with_header(15, b"\0"),
        "reserved-letter": with_metadata((b"exmp", b"")),
        "critical-between": file_of([*alpha[:3], (b"LNEW", b""), *alpha[3:]]),
    }
    return {
        **{f"bad-{name}": ("CorruptFile", content) for name, content in corrupt.items()},
        **{f"unsupported-{name}": ("UnsupportedFile", content) for name, content in unsupported.items()},
        "bad-huge-chunk": ("LimitExceeded", file_of(plain[:1]) + struct.pack("<I", 2**31 - 1) + b"LDAT"),
    }


def bad_exact(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content: exact tiles damaged, and where they may not stand."""
    chunks, alpha = chunks_of(made["exact-all"]), chunks_of(made["exact-alpha"])
    kind, payload = chunks[1]
    no_loss = chunks_of(made["lossless-colour"])
    place = next(n for n, (kind, _) in enumerate(no_loss) if kind == b"LDAT")

    def first(content: bytes, kind: bytes = kind) -> bytes:
        return file_of([chunks[0], (kind, content), *chunks[2:]])

    bit = bytearray(payload)
    bit[-9] ^= 1
    corrupt = {
        "bit": first(bytes(bit)),
        "digest": first(bytes(8) + payload[8:]),
        "cut": first(payload[:-5]),
        "no-method": first(payload[:8]),
        "model": first(payload[:8] + b"\2" + payload[9:]),
        "webp-16-bits": first(payload[:8] + b"\4" + payload[9:]),
        "as-latents": first(payload, b"LDAT"),
        "swapped": file_of([chunks[0], chunks[3], chunks[2], chunks[1], *chunks[4:]]),
        "missing": file_of([chunks[0], *chunks[2:]]),
        "without-loss": file_of([*no_loss[:place], (b"LEXT", no_loss[place][1]), *no_loss[place + 1 :]]),
        "for-alpha": file_of([(b"LEXT" if kind == b"LALP" else kind, content) for kind, content in alpha]),
    }
    return {
        **{f"bad-exact-{name}": ("CorruptFile", content) for name, content in corrupt.items()},
        "unsupported-exact-method": ("UnsupportedFile", first(payload[:8] + b"\x08" + payload[9:])),
    }


def bad_samples(made: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """name -> error, content: digests of samples that are wrong, or where they say nothing."""
    chunks, no_loss = chunks_of(made["samples"]), chunks_of(made["lossless-grey16"])
    assert [kind for kind, _ in chunks] == [b"LHDR", b"sAMP", b"LDAT", b"LEND"]
    corrupt = {
        "digest": file_of([chunks[0], (b"sAMP", bytes(8)), *chunks[2:]]),
        "short": file_of([chunks[0], (b"sAMP", chunks[1][1][:7]), *chunks[2:]]),
        "twice": file_of([*chunks[:2], *chunks[1:]]),
        "late": file_of([chunks[0], chunks[2], chunks[1], chunks[3]]),
        "without-loss": file_of([no_loss[0], chunks[1], *no_loss[1:]]),
    }
    return {f"bad-samples-{name}": ("CorruptFile", content) for name, content in corrupt.items()}


def write_new(name: str, content: bytes) -> None:
    with open(FOLDER / name, "xb") as file:  # x: fails if it exists
        file.write(content)


def picture_file(samples: np.ndarray) -> tuple[str, bytes]:
    """Suffix and content: PNG for 8 bits, numpy's own format for 16."""
    if samples.dtype == np.uint8:
        return ".png", png(samples)
    return ".npy", npy(samples)


def npy(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, samples)
    return file.getvalue()


def main() -> None:
    from .codec.test_golden import latents_digest

    codec, context, wide = (
        lecodec.load(model=FOLDER / f"{name}.safetensors") for name in ("tiny", "tiny-context", "tiny-wide")
    )
    record = FOLDER / "expected.json"
    expected = json.loads(record.read_text())
    if not (FOLDER / "tiny-adapted.safetensors").exists():
        tiny_adapted()
    adapted = load(FOLDER / "tiny-adapted.safetensors", of=lecodec.ImageCodec)
    made = [(codec, *pair) for pair in good(codec).items()]
    made += [(adapted, "model-adapted", adapted.encode(pattern(75, 52, 3), 62.5))]
    made += [(context, *pair) for pair in good_with_context(context).items()]
    made += [(wide, *pair) for pair in good_wide(wide).items()]
    others = [context, wide, adapted]
    for name, make, good_of in (
        ("nested", tiny_nested, good_nested),
        ("codebook", tiny_codebook, good_codebook),
    ):
        if not (FOLDER / f"tiny-{name}.safetensors").exists():
            make()
        others.append(load(FOLDER / f"tiny-{name}.safetensors", of=lecodec.ImageCodec))
        made += [(others[-1], *pair) for pair in good_of(others[-1]).items()]
    for kind in ("dictionary", "control", "retrieved", "both"):
        if not (FOLDER / f"tiny-{kind}.safetensors").exists():
            tiny_conditional(kind)
        others.append(load(FOLDER / f"tiny-{kind}.safetensors", of=lecodec.ImageCodec))
        made += [(others[-1], *pair) for pair in good_conditional(kind, others[-1]).items()]
    made += [(codec, *pair) for pair in good_with_exact_tiles(codec).items()]
    made += [(codec, *pair) for pair in good_with_exact_pixels(codec).items()]
    made += released()
    for codec, name, data in made:
        if (file := f"{name}.lec") not in expected["good"]:
            suffix, picture = picture_file(codec.decode(data))
            pictures = {
                (FOLDER / known["picture"]).read_bytes(): known["picture"] for known in expected["good"].values()
            }
            if picture not in pictures:
                write_new(name + suffix, picture)
            write_new(file, data)
            pictured = pictures.get(picture, name + suffix)
            expected["good"][file] = {"latents": latents_digest(codec, data), "picture": pictured}
            if codec in others:
                expected["good"][file]["model"] = codec.card["name"]
    if not (FOLDER / "tiny-circuit.safetensors").exists():
        tiny_circuit()
    for name, (samples, data) in {**good_without_loss(), **good_adaptive(), **good_by_model()}.items():
        if (file := f"{name}.lec") not in expected["good"]:
            is_set = isinstance(parse(data).header.layout, SetLayout)
            suffix, picture = (".npy", npy(samples)) if is_set else picture_file(samples)
            write_new(name + suffix, picture)
            write_new(file, data)
            expected["good"][file] = {"picture": name + suffix}
    # Bad files come from the good ones as they are stored: encoding may give other bytes on another machine.
    stored = {name.removesuffix(".lec"): (FOLDER / name).read_bytes() for name in expected["good"]}
    for name, (error, content) in {
        **bad(stored),
        **bad_exact(stored),
        **bad_samples(stored),
        **bad_without_loss(stored),
        **bad_by_model(stored),
        **bad_adaptive(stored),
    }.items():
        if (file := f"{name}.lec") not in expected["bad"]:
            write_new(file, content)
            expected["bad"][file] = error
    record.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    imported()
    videos()
    released_videos()


if __name__ == "__main__":
    main()
