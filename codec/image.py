"""The image codec: pictures to `.lec` files and back.

    samples uint8 -> x -> g_a -> y, h_a -> z -> HyperpriorCoding.traverse -> container
    container -> HyperpriorCoding.traverse -> y_hat -> g_s -> x_hat -> samples uint8

Guarantees. The latents that a file decodes to are integers computed by integers: identical on every machine, thread
count, batch size and device, and checked against the digest in the file, so that a mismatch is a CorruptFile, never a
wrong picture. Pixels come from the float synthesis and may differ by a rounding between machines. An encoder's bytes
may differ between machines (its analysis is float); every one of its files decodes everywhere.

A codec holds no state between calls: threads may share one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bitstream import QUALITY_MAX, QUALITY_ONE, Header, Parsed, check_picture_size, pack, parse
from ..entropy.coder import Coder, Reader, Writer
from ..entropy.hyperprior import MEAN_BITS, HyperAnalysis, HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding, Latents, Meter
from ..errors import CorruptFile, InputError, ModelError, UnknownModel
from .registry import find_model, load_tensors, read_card
from .transforms import Analysis, Synthesis, TransformConfig

__all__ = ["ImageCodec", "fixed_quality", "load", "receptive_field", "synthesis_digest"]

DOWN = 16
"""The latent y is at 1/DOWN of the resolution."""


def fixed_quality(quality: float) -> int:
    """User quality in [1, 100] -> the header's fixed-point index in [0, QUALITY_MAX]. Raises InputError outside."""
    if not 1 <= quality <= 100:
        raise InputError(f"quality {quality} is outside 1 to 100")
    return round((quality - 1) / 99 * QUALITY_MAX)


def synthesis_digest(tensors: Mapping[str, np.ndarray], transform: Mapping[str, int]) -> bytes:
    """8 bytes over the float synthesis: the g_s tensors as stored, and the sizes they are used with."""
    h = hashlib.blake2b(digest_size=8)
    h.update(json.dumps(dict(transform), sort_keys=True).encode())
    for name in sorted(n for n in tensors if n.startswith("g_s.")):
        array = np.ascontiguousarray(tensors[name])
        h.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        h.update(array.tobytes())
    return h.digest()


def receptive_field(config: TransformConfig) -> int:
    """How far in pixels, on each side, a decoded pixel depends on latents beyond its own 16 x 16 block."""
    return 8 * config.synthesis8 + 16 * config.synthesis16


class ImageCodec:
    """tensors: of a model file: `parse.*` (integers), `g_a.*`, `h_a.*`, `g_s.*` (float16 or float32); card: its card.

    Raises ModelError when they do not make a codec, or are not what the card's digests say. Usually made by `load`.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        self.card = dict(card)
        self.device = _device(device)
        try:
            transform = TransformConfig(**card["transform"])
            hyper = HyperConfig(**card["hyper"])
        except (KeyError, TypeError):
            raise ModelError("the model's card does not give the sizes of its networks") from None
        self.entropy = HyperpriorCoding({n[6:]: a for n, a in tensors.items() if n.startswith("parse.")})
        if (self.entropy.latent, self.entropy.hyper) != (transform.latent, hyper.hyper):
            raise ModelError("the model's entropy model does not fit its transforms")
        self.parse_digest = self.entropy.digest()
        self.synthesis_digest = synthesis_digest(tensors, card["transform"])
        for kind in ("parse", "synthesis"):
            found, said = getattr(self, f"{kind}_digest").hex(), card.get(f"{kind}_digest")
            if said != found:
                raise ModelError(f"the model's {kind} digest is {found}, but its card says {said}")
        # Not on the meta device: random numbers there import torch's compiler, which costs more than they do.
        networks = {"g_a": Analysis(transform), "h_a": HyperAnalysis(hyper), "g_s": Synthesis(transform)}
        for name, network in networks.items():
            _fill(network, name, tensors, self.device)
        self.g_a, self.h_a, self.g_s = networks["g_a"], networks["h_a"], networks["g_s"]

    # -- encoding

    def encode(self, samples: np.ndarray, quality: float = 60) -> bytes:
        """samples: uint8 [H, W] (grey) or [H, W, 3] (RGB), any size from 1 x 1; quality: 1 (small) to 100 (good), any
        fraction -> the bytes of a `.lec` file. Raises InputError, LimitExceeded.
        """
        return self.encode_batch([samples], quality)[0]

    def encode_batch(self, batch: Sequence[np.ndarray], quality: float = 60) -> list[bytes]:
        """Several pictures at once, neighbours of one shape together. Arguments, results, errors as in `encode`."""
        q = fixed_quality(quality)
        for samples in batch:
            _check_samples(samples)
        files: list[bytes] = []
        for _, run in groupby(batch, key=lambda samples: samples.shape):
            pictures = list(run)
            writers = [Writer() for _ in pictures]
            latents = self._write_latents(pictures, q, writers)
            for samples, coded, writer in zip(pictures, latents, writers, strict=True):
                files.append(pack(self._header(samples, q), [(coded.digest(), writer.finish())]))
        return files

    def estimate_bits(self, samples: np.ndarray, quality: float = 60) -> float:
        """The entropy model's estimate of a picture's coded size in bits, container excluded."""
        _check_samples(samples)
        meter = Meter()
        self.record_latents(samples, fixed_quality(quality), meter)
        return meter.bits

    def record_latents(self, samples: np.ndarray, q: int, coder: Coder) -> Latents:
        """Run the encoder on one picture at the fixed-point index q and hand its symbols to `coder`."""
        return self._write_latents([samples], q, [coder])[0]

    @torch.inference_mode()
    def _write_latents(self, pictures: list[np.ndarray], q: int, coders: Sequence[Coder]) -> list[Latents]:
        x = self._to_tensor(pictures)  # [B, 3, 16 h, 16 w]
        index = self._index([q] * len(pictures))
        y = self.g_a(x, index)  # [B, M, h, w]
        h, w = y.shape[-2:]
        z = self.h_a(F.pad(y, (0, -w % 4, 0, -h % 4), mode="replicate"), index).round()  # [B, Z, h / 4, w / 4]
        if not bool(torch.isfinite(y).all() & torch.isfinite(z).all()):
            raise ModelError("the model's analysis gave a number that is not finite")
        source = y.float().cpu().numpy(), z.clamp(-(2.0**20), 2.0**20).to(torch.int32).cpu().numpy()
        return self.entropy.traverse(coders, [q] * len(pictures), (h, w), source, self.device)

    def _header(self, samples: np.ndarray, q: int) -> Header:
        height, width = samples.shape[:2]
        return Header(
            width=width,
            height=height,
            channels=1 if samples.ndim == 2 else 3,
            quality=q,
            parse_digest=self.parse_digest,
            synthesis_digest=self.synthesis_digest,
        )

    def _to_tensor(self, pictures: list[np.ndarray]) -> Tensor:
        """uint8 pictures of one shape -> [B, 3, H', W'] in [0, 1], borders replicated to multiples of 16."""
        x = torch.from_numpy(np.stack(pictures)).to(self.device)
        x = x[:, None].expand(-1, 3, -1, -1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
        x = x.float().div_(255)
        return F.pad(x, (0, -x.shape[-1] % DOWN, 0, -x.shape[-2] % DOWN), mode="replicate")

    def _index(self, q: Sequence[int]) -> Tensor:
        return torch.tensor(q, dtype=torch.float32, device=self.device) / QUALITY_ONE

    # -- decoding

    def decode(self, data: bytes) -> np.ndarray:
        """The bytes of a `.lec` file -> uint8 [H, W] or [H, W, 3]. Raises a CodecError for anything else."""
        return self.decode_batch([data])[0]

    def decode_batch(self, batch: Sequence[bytes]) -> list[np.ndarray]:
        """Several files at once, neighbours of one size together. Same results and errors as `decode`."""
        files = [self._parse(data) for data in batch]
        pictures: list[np.ndarray] = []
        for (width, height), run in groupby(files, key=lambda f: (f.header.width, f.header.height)):
            group = list(run)
            latents = self._read_latents(group)
            x_hat = self._synthesise(latents, [f.header.quality for f in group])[:, :, :height, :width]
            for file, x in zip(group, x_hat, strict=True):
                pictures.append(_to_samples(x, grey=file.header.channels == 1))
        return pictures

    def test(self, data: bytes) -> None:
        """Decode the latents and compare their digest, without making a picture. Raises a CodecError."""
        self._read_latents([self._parse(data)])

    def latents(self, data: bytes) -> Latents:
        """The latents that a file decodes to: the part that is the same on every machine."""
        return self._read_latents([self._parse(data)])[0]

    def _parse(self, data: bytes) -> Parsed:
        file = parse(data)
        if file.header.parse_digest != self.parse_digest:
            raise UnknownModel(
                f"the file needs the model with parse digest {file.header.parse_digest.hex()}, "
                f"this is {self.card.get('name')} with {self.parse_digest.hex()}"
            )
        return file

    def _read_latents(self, files: list[Parsed]) -> list[Latents]:
        header = files[0].header
        size = -(-header.height // DOWN), -(-header.width // DOWN)
        for file in files:
            bits, least = 8 * len(file.data[0].payload), self.entropy.least_bits(file.header.quality, size)
            if bits + 64 < least:  # 64: what the coder's last words may leave out
                raise CorruptFile(
                    f"{bits} bits cannot hold {header.width} x {header.height} pixels: {least:.0f} or more do"
                )
        readers = [Reader(file.data[0].payload) for file in files]
        latents = self.entropy.traverse(readers, [f.header.quality for f in files], size, None, self.device)
        for file, reader, decoded in zip(files, readers, latents, strict=True):
            if decoded.digest() != file.data[0].digest or not reader.exhausted():
                raise CorruptFile("the picture's data does not decode to what was encoded")
        return latents

    @torch.inference_mode()
    def _synthesise(self, latents: list[Latents], q: Sequence[int]) -> Tensor:
        """Latents of one size -> x_hat [B, 3, 16 h, 16 w]."""
        y_hat = torch.from_numpy(np.stack([item.y_hat for item in latents])).to(self.device)
        y_hat = (y_hat.float() * 2.0**-MEAN_BITS).contiguous(memory_format=torch.channels_last)
        return self.g_s(y_hat, self._index(q))


def load(name: str = "image", device: str = "cpu", *, model: str | os.PathLike[str] | None = None) -> ImageCodec:
    """The codec of a model: by name or path (`model` overrides `name`), on "cpu" or "cuda".

    Loading the same file again gives the same object. Raises UnknownModel, ModelError, InputError (device).
    """
    path = find_model(model or name).path
    return _load(path, os.stat(path).st_mtime_ns, device)


@lru_cache(maxsize=4)
def _load(path: Path, _changed: int, device: str) -> ImageCodec:
    try:
        return ImageCodec(load_tensors(path), read_card(path).card, device)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from None


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        return device
    except (RuntimeError, AssertionError):
        raise InputError(f"device {name!r} is not available here") from None


def _fill(network: nn.Module, prefix: str, tensors: Mapping[str, np.ndarray], device: torch.device) -> None:
    """Give a network its weights, as float32."""
    state = {}
    for name, array in tensors.items():
        if name.startswith(prefix + "."):
            if array.dtype not in (np.float16, np.float32) or not np.isfinite(array).all():
                raise ModelError(f"the model's {name} is not made of finite floats")
            state[name[len(prefix) + 1 :]] = torch.from_numpy(array.astype(np.float32)).to(device)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError:
        raise ModelError(f"the model's weights do not fit the {prefix} that its card describes") from None
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _check_samples(samples: np.ndarray) -> None:
    if not isinstance(samples, np.ndarray) or samples.dtype != np.uint8:
        found = getattr(samples, "dtype", type(samples).__name__)
        raise InputError(f"samples must be a numpy array of uint8, not {found}")
    if not (samples.ndim == 2 or (samples.ndim == 3 and samples.shape[2] == 3)) or 0 in samples.shape:
        raise InputError(f"samples must have the shape [H, W] or [H, W, 3], not {list(samples.shape)}")
    check_picture_size(samples.shape[1], samples.shape[0])


def _to_samples(x: Tensor, grey: bool) -> np.ndarray:
    """[3, H, W] nominally in [0, 1] -> uint8 [H, W, 3], or [H, W] (the mean of the channels) for grey."""
    x = x.mean(0) if grey else x.permute(1, 2, 0)
    return x.mul(255).round_().clamp_(0, 255).to(torch.uint8).cpu().contiguous().numpy()
