"""The image codec: pictures to `.lec` files and back.

    samples -> x -> g_a -> y, h_a -> z -> HyperpriorCoding.traverse, tile by tile -> container
    container -> HyperpriorCoding.traverse, tile by tile -> y_hat -> g_s -> x_hat -> samples

Samples are uint8 or uint16, [H, W] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB, [H, W, 4] RGBA; alpha is straight and
kept without loss (see `alpha`). A large picture is cut into tiles, each coded by itself, so that a part can be decoded
alone. The transforms do not know of tiles: they see margins beyond them, so there are no seams.

Guarantees. The latents that a file decodes to are integers computed by integers: identical on every machine, thread
count, batch size and device, and checked against the digests in the file, so that a mismatch is a CorruptFile, never a
wrong picture. Pixels come from the float synthesis and may differ by a rounding between machines, or between a picture
decoded whole and in parts. An encoder's bytes may differ between machines (its analysis is float); every one of its
files decodes everywhere.

A codec holds no state between calls: threads may share one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bitstream import (
    QUALITY_MAX,
    QUALITY_ONE,
    DataChunk,
    Header,
    Metadata,
    Parsed,
    TileReader,
    pack,
    parse,
)
from ..entropy.coder import Coder, Reader, Writer
from ..entropy.hyperprior import MEAN_BITS, HyperAnalysis, HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding, Latents, Meter, Pass
from ..errors import CorruptFile, InputError, ModelError, UnknownModel
from . import targets
from .alpha import decode_alpha, encode_alpha
from .registry import find_by_digest, find_model, load_tensors, read_card
from .samples import join, planes_of, psnr_of, split, to_numpy
from .tiles import DOWN, Box, boxes_of, equal_boxes, latent_size, meet, paste, reach, tile_side
from .transforms import Analysis, Synthesis, TransformConfig
from .windows import windows

__all__ = ["ImageCodec", "fixed_quality", "load", "load_for", "receptive_field", "synthesis_digest"]

WINDOW = {"cpu": 2**14, "cuda": 2**16}
"""Positions of y (16 x 16 pixels each) that a transform works on at a time, so that memory stays bounded."""
GROUP = {"cpu": 2**12, "cuda": 2**16}
"""Positions of y whose tiles go through the entropy model together. On the CPU one tile of 1024 x 1024 fills it: larger
tensors would come from the system, and go back to it, for every layer."""


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


@dataclass(frozen=True)
class _Picture:
    """A picture on its way into a file. header: with quality 0; alpha: a chunk for each tile, or none."""

    header: Header
    colour: np.ndarray
    alpha: list[tuple[bytes, bytes]]
    metadata: Metadata


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
        # How far, in latents, the transforms look: as far as their depthwise layers reach.
        self._reach_a = -(-(8 * transform.analysis8 + 16 * transform.analysis16) // DOWN)
        self._reach_s = -(-receptive_field(transform) // DOWN)
        self._window = WINDOW.get(self.device.type, WINDOW["cpu"])
        self._group = GROUP.get(self.device.type, GROUP["cpu"])

    # -- encoding

    def encode(
        self,
        samples: np.ndarray,
        quality: float | None = None,
        *,
        bpp: float | None = None,
        psnr: float | None = None,
        size: int | None = None,
        tile: int | None = None,
        metadata: Metadata | None = None,
    ) -> bytes:
        """samples (see the module's text), any size from 1 x 1 -> the bytes of a `.lec` file.

        At most one of: quality, 1 (small) to 100 (good), any fraction, 60 by default; bpp, bits a pixel of the whole
        file, met within 1.5% (or 8 bytes); psnr in dB over the colour samples, met within 0.1 dB (where quality goes up
        in a larger step, as on flat pictures, the upper end of it); size, the most bytes the file may have, of which it
        uses 97% unless coded words of 4 bytes, or quality 100, do not allow it.
        tile: side of the tiles in pixels, a multiple of 64; 0: none; None: none up to 4 megapixels, else 1024.
        Raises InputError, also for a target out of reach (with what is in reach), and LimitExceeded.
        """
        wanted = {"quality": quality, "bpp": bpp, "psnr": psnr, "size": size}
        given = {name: value for name, value in wanted.items() if value is not None}
        if len(given) > 1:
            raise InputError(f"only one of quality, bpp, psnr and size can be asked for, not {' and '.join(given)}")
        if not given or quality is not None:
            return self.encode_batch([samples], 60 if quality is None else quality, tile=tile, metadata=[metadata])[0]
        ((kind, target),) = given.items()
        picture = self._picture(samples, tile, metadata)
        colour, pixels = picture.colour, picture.header.width * picture.header.height
        fixed = len(pack(picture.header, [(bytes(8), b"")] * picture.header.tiles, picture.alpha, picture.metadata))

        def estimate(q: int) -> float:
            meter = Meter()
            for _ in self._write([picture], [q], lambda: meter):
                pass
            return fixed + meter.bits / 8

        def fidelity(q: int) -> float:
            y_hat = self._y_hat([picture.header], ((box, latents) for box, latents, _ in self._write([picture], [q])))
            return psnr_of(colour, self._samples(y_hat, [q], picture.header)[0])

        def real(q: int) -> bytes:
            return self._encode_run([picture], q)[0]

        if kind == "psnr":
            return real(targets.index_for_psnr(fidelity, target))
        if kind == "bpp":
            return targets.encode_to_bpp(estimate, real, target, pixels)
        return targets.encode_to_size(estimate, real, target)

    def encode_batch(
        self,
        batch: Sequence[np.ndarray],
        quality: float = 60,
        *,
        tile: int | None = None,
        metadata: Sequence[Metadata | None] | None = None,
    ) -> list[bytes]:
        """Several pictures, neighbours of one shape together. metadata: one for each, or None for none at all. The
        other arguments, results and errors are those of `encode`.
        """
        q = fixed_quality(quality)
        with_each = [None] * len(batch) if metadata is None else metadata
        pictures = [self._picture(samples, tile, data) for samples, data in zip(batch, with_each, strict=True)]
        files: list[bytes] = []
        for run in _runs(pictures, self._window):
            files += self._encode_run(run, q)
        return files

    def estimate_bits(self, samples: np.ndarray, quality: float = 60) -> float:
        """The entropy model's estimate of a picture's coded size in bits; container, alpha and metadata excluded."""
        meter = Meter()
        self.record_latents(samples, fixed_quality(quality), meter)
        return meter.bits

    def record_latents(self, samples: np.ndarray, q: int, coder: Coder) -> None:
        """Run the encoder on one picture at the fixed-point index q and hand the symbols of all tiles to `coder`."""
        for _ in self._write([self._picture(samples, None, None)], [q], lambda: coder):
            pass

    def degrade(self, x: Tensor, quality: Sequence[float]) -> Tensor:
        """x: uint8 [B, 1 or 3, H, W]; quality: B numbers in [1, 100] -> what decoding gives after encoding, of the same
        shape, type and device, without the entropy coder's work. Raises InputError.
        """
        if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3) or len(quality) != len(x) or not x.numel():
            raise InputError(f"expected uint8 [B, 1 or 3, H, W] and B qualities, not {x.dtype} {list(x.shape)}")
        samples = x.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        pictures = [self._picture(s if s.shape[2] == 3 else s[:, :, 0], 0, None) for s in samples]
        parts, done = [], 0
        for run in _runs(pictures, self._window):
            q = [fixed_quality(value) for value in quality[done : done + len(run)]]
            headers = [p.header for p in run]
            y_hat = self._y_hat(headers, ((box, latents) for box, latents, _ in self._write(run, q)))
            parts.append(self._synthesise(y_hat, q, headers[0])[:, : x.shape[2], : x.shape[3]])
            done += len(run)
        return torch.cat(parts).permute(0, 3, 1, 2).contiguous().to(x.device)

    def _picture(self, samples: np.ndarray, tile: int | None, metadata: Metadata | None) -> _Picture:
        """Check samples and options, and do what does not depend on the quality."""
        colour, alpha = split(samples)
        height, width = colour.shape[:2]
        metadata = metadata or Metadata()
        side = tile_side(tile, width, height)
        header = Header(
            width=width,
            height=height,
            channels=1 if colour.ndim == 2 else 3,
            bit_depth=8 * colour.itemsize,
            alpha=0 if alpha is None else 1,
            colour_primaries=metadata.primaries,
            transfer=metadata.transfer,
            quality=0,
            parse_digest=self.parse_digest,
            synthesis_digest=self.synthesis_digest,
            tile_width=side,
            tile_height=side,
        )
        planes = []
        if alpha is not None:
            for n in range(header.tiles):
                x, y, w, h = header.tile_box(n)
                planes.append(encode_alpha(alpha[y : y + h, x : x + w]))
        return _Picture(header, colour, planes, metadata)

    def _encode_run(self, pictures: list[_Picture], q: int) -> list[bytes]:
        """The files of pictures of one shape."""
        coded: list[dict[int, tuple[bytes, bytes]]] = [{} for _ in pictures]
        for box, latents, writer in self._write(pictures, [q] * len(pictures), Writer):
            coded[box.picture][box.tile] = latents.digest(), writer.finish()
        return [
            pack(replace(p.header, quality=q), [chunks[n] for n in range(p.header.tiles)], p.alpha, p.metadata)
            for p, chunks in zip(pictures, coded, strict=True)
        ]

    @torch.inference_mode()
    def _write(
        self, pictures: list[_Picture], q: Sequence[int], coder: Callable[[], Coder] = Pass
    ) -> Iterator[tuple[Box, Latents, Any]]:
        """Run the encoder on pictures of one shape: each tile's latents, with the coder that took its symbols."""
        y = self._analyse([p.colour for p in pictures], self._index(q))
        boxes = [box for n, p in enumerate(pictures) for box in boxes_of(p.header, n)]
        for group in equal_boxes(boxes, self._group):
            part = torch.stack([y[b.picture, :, b.rows, b.columns] for b in group])
            h, w = part.shape[-2:]
            indices = [q[b.picture] for b in group]
            z = self.h_a(F.pad(part, (0, -w % 4, 0, -h % 4), mode="replicate"), self._index(indices)).round()
            if not bool(torch.isfinite(part).all() & torch.isfinite(z).all()):
                raise ModelError("the model's analysis gave a number that is not finite")
            source = part.cpu().numpy(), z.clamp(-(2.0**20), 2.0**20).to(torch.int32).cpu().numpy()
            coders = [coder() for _ in group]
            yield from zip(
                group, self.entropy.traverse(coders, indices, (h, w), source, self.device), coders, strict=True
            )

    def _analyse(self, pictures: list[np.ndarray], index: Tensor) -> Tensor:
        """Colour samples of one shape -> y [B, M, h, w] float32; borders are replicated to multiples of 16."""
        x = np.stack(pictures) if len(pictures) > 1 else pictures[0][None]
        x = x.reshape(*x.shape[:3], -1)  # [B, H, W, C]
        h, w = -(-x.shape[1] // DOWN), -(-x.shape[2] // DOWN)
        y = torch.empty(len(x), self.entropy.latent, h, w, device=self.device)
        for window in windows(h, w, self._reach_a, self._window // len(x)):
            rows, columns = (slice(DOWN * s.start, DOWN * s.stop) for s in window.take)
            part = x[:, rows, columns]
            missing = rows.stop - rows.start - part.shape[1], columns.stop - columns.start - part.shape[2]
            if any(missing):
                part = np.pad(part, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            planes = planes_of(torch.from_numpy(np.array(part)).to(self.device))
            y[:, :, *window.core] = self.g_a.of_planes(planes, index)[:, :, *window.keep]
        return y

    def _index(self, q: Sequence[int]) -> Tensor:
        return torch.tensor(q, dtype=torch.float32, device=self.device) / QUALITY_ONE

    # -- decoding

    def decode(self, data: bytes) -> np.ndarray:
        """The bytes of a `.lec` file -> its samples (see the module's text). Raises a CodecError for anything else."""
        return self.decode_batch([data])[0]

    def decode_batch(self, batch: Sequence[bytes]) -> list[np.ndarray]:
        """Several files, neighbours of one kind together. Same results and errors as `decode`."""
        pictures: list[np.ndarray] = []
        files = [self._parse(data) for data in batch]
        for run in _runs(files, self._window):
            headers = [f.header for f in run]
            y_hat = self._y_hat(headers, self._read(headers, [dict(enumerate(f.data)) for f in run]))
            colour = self._samples(y_hat, [f.header.quality for f in run], headers[0])
            for file, samples in zip(run, colour, strict=True):
                pictures.append(join(samples, _alpha_of(file.header, dict(enumerate(file.alpha)))))
        return pictures

    def decode_tensor(self, data: bytes) -> Tensor:
        """The same as a tensor on the codec's device: [C, H, W] (C = 1 to 4) of uint8 or uint16, in channels-last
        memory, so that nothing is copied. Same errors as `decode`.
        """
        file = self._parse(data)
        header = file.header
        y_hat = self._y_hat([header], self._read([header], [dict(enumerate(file.data))]))
        out = self._synthesise(y_hat, [header.quality], header)[0, : header.height, : header.width]
        alpha = _alpha_of(header, dict(enumerate(file.alpha)))
        if alpha is not None:
            out = torch.cat([out, torch.from_numpy(alpha[:, :, None]).to(self.device)], 2)
        return out.permute(2, 0, 1)

    def decode_region(self, source: bytes | BinaryIO, region: tuple[int, int, int, int]) -> np.ndarray:
        """A part of a picture: the samples at region = (x, y, width, height) in pixels, within one grey level of those
        of the whole. Only the tiles that it depends on are read, if the source can seek, and decoded.

        Raises InputError for a region that is not inside the picture, otherwise as `decode`.
        """
        reader = TileReader(source)
        header = reader.header
        self._check_model(header)
        x, y, width, height = region
        if not (0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height):
            raise InputError(
                f"region {x},{y},{width},{height} (x, y, width, height) is not inside the picture of "
                f"{header.width} x {header.height}"
            )
        # The part of y that the region depends on, and the tiles that hold it.
        height_y, width_y = latent_size(header)
        rows = reach(y, height, height_y, self._reach_s)
        columns = reach(x, width, width_y, self._reach_s)
        boxes = [box for box in boxes_of(header, 0) if meet(box.rows, rows) and meet(box.columns, columns)]
        chunks = dict(zip((box.tile for box in boxes), reader.read([box.tile for box in boxes]), strict=True))
        data = {tile: chunk for tile, (chunk, _) in chunks.items()}
        y_hat = np.empty((1, self.entropy.latent, rows.stop - rows.start, columns.stop - columns.start), np.int32)
        for box, latents in self._read([header], [data]):
            paste(latents.y_hat, box, y_hat[0], rows.start, columns.start)
        top, left = y - DOWN * rows.start, x - DOWN * columns.start
        colour = self._synthesise(y_hat, [header.quality], header)[0, top : top + height, left : left + width]
        alpha = {tile: plane for tile, (_, plane) in chunks.items() if plane is not None}
        return join(to_numpy(colour, header), _alpha_of(header, alpha, (x, y, width, height)))

    def test(self, data: bytes) -> None:
        """Decode latents and alpha and compare their digests, without making a picture. Raises a CodecError."""
        file = self._parse(data)
        for _ in self._read([file.header], [dict(enumerate(file.data))]):
            pass
        _alpha_of(file.header, dict(enumerate(file.alpha)))

    def latents(self, data: bytes, tile: int = 0) -> Latents:
        """The latents that a tile of a file decodes to: the part that is the same on every machine."""
        file = self._parse(data)
        ((_, latents),) = self._read([file.header], [{tile: file.data[tile]}])
        return latents

    def _parse(self, data: bytes) -> Parsed:
        file = parse(data)
        self._check_model(file.header)
        return file

    def _check_model(self, header: Header) -> None:
        if header.parse_digest != self.parse_digest:
            raise UnknownModel(
                f"the file needs the model with parse digest {header.parse_digest.hex()}, "
                f"this is {self.card.get('name')} with {self.parse_digest.hex()}"
            )

    def _read(
        self, headers: Sequence[Header], chunks: Sequence[Mapping[int, DataChunk]]
    ) -> Iterator[tuple[Box, Latents]]:
        """Decode the tiles whose chunks are given (by number, for each file) and compare their digests."""
        boxes = [box for n, header in enumerate(headers) for box in boxes_of(header, n) if box.tile in chunks[n]]
        for box in boxes:
            quality = headers[box.picture].quality
            bits, least = 8 * len(chunks[box.picture][box.tile].payload), self.entropy.least_bits(quality, box.size)
            if bits + 64 < least:  # 64: what the coder's last words may leave out
                height, width = DOWN * box.size[0], DOWN * box.size[1]
                raise CorruptFile(f"{bits} bits cannot hold {width} x {height} pixels: {least:.0f} or more do")
        for group in equal_boxes(boxes, self._group):
            data = [chunks[box.picture][box.tile] for box in group]
            readers = [Reader(chunk.payload) for chunk in data]
            indices = [headers[box.picture].quality for box in group]
            decoded = self.entropy.traverse(readers, indices, group[0].size, None, self.device)
            for box, latents, reader, chunk in zip(group, decoded, readers, data, strict=True):
                if latents.digest() != chunk.digest or not reader.exhausted():
                    raise CorruptFile("the picture's data does not decode to what was encoded")
                yield box, latents

    def _y_hat(self, headers: Sequence[Header], parts: Iterable[tuple[Box, Latents]]) -> np.ndarray:
        """The tiles of pictures of one size, side by side: [B, M, h, w] int32 in units of 2^-MEAN_BITS."""
        y_hat = None
        for box, latents in parts:  # the first one has been checked before memory is taken for all
            if y_hat is None:
                y_hat = np.empty((len(headers), self.entropy.latent, *latent_size(headers[0])), np.int32)
            paste(latents.y_hat, box, y_hat[box.picture], 0, 0)
        assert y_hat is not None, "a picture has at least one tile"
        return y_hat

    @torch.inference_mode()
    def _synthesise(self, y_hat: np.ndarray, q: Sequence[int], header: Header) -> Tensor:
        """y_hat [B, M, h, w] -> colour samples [B, 16 h, 16 w, C], uint8 or uint16 as the header says."""
        b, _, h, w = y_hat.shape
        peak, dtype = (255, torch.uint8) if header.bit_depth == 8 else (65535, torch.uint16)
        out = torch.empty(b, DOWN * h, DOWN * w, header.channels, dtype=dtype, device=self.device)
        index = self._index(q)
        for window in windows(h, w, self._reach_s, self._window // b):
            part = torch.from_numpy(y_hat[:, :, *window.take]).to(self.device).float().mul_(2.0**-MEAN_BITS)
            planes = self.g_s.planes(part.contiguous(memory_format=torch.channels_last), index).float()
            planes = planes.permute(0, 2, 3, 1).unflatten(3, (64, 3))  # [b, h8, w8, 64, 3]
            if header.channels == 1:
                planes = planes.mean(4, keepdim=True)
            planes = planes.add_(0.5).mul_(peak).round_().clamp_(0, peak).to(dtype)
            rows, columns = (slice(2 * s.start, 2 * s.stop) for s in window.keep)
            blocks = planes[:, rows, columns].unflatten(3, (8, 8)).transpose(2, 3)  # [b, h8, 8, w8, 8, C]
            rows, columns = (slice(DOWN * s.start, DOWN * s.stop) for s in window.core)
            out[:, rows, columns].unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).copy_(blocks)
        return out

    def _samples(self, y_hat: np.ndarray, q: Sequence[int], header: Header) -> list[np.ndarray]:
        """Colour samples, [H, W] or [H, W, 3] each, of pictures like the header's."""
        out = self._synthesise(y_hat, q, header)[:, : header.height, : header.width]
        return [to_numpy(samples, header) for samples in out]


def load(name: str = "image", device: str = "cpu", *, model: str | os.PathLike[str] | None = None) -> ImageCodec:
    """The codec of a model: by name or path (`model` overrides `name`), on "cpu" or "cuda".

    Loading the same file again gives the same object. Raises UnknownModel, ModelError, InputError (device).
    """
    path = find_model(model or name).path
    return _load(path, os.stat(path).st_mtime_ns, device)


def load_for(header: Header, device: str = "cpu", *, model: str | os.PathLike[str] | None = None) -> ImageCodec:
    """The codec that a file with this header needs: that of `model` if given, otherwise of the model at hand that has
    the file's digests. Raises as `load`.
    """
    path = find_by_digest(header.parse_digest, header.synthesis_digest).path if model is None else model
    return load(device=device, model=path)


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


def _alpha_of(
    header: Header, chunks: Mapping[int, DataChunk], region: tuple[int, int, int, int] | None = None
) -> np.ndarray | None:
    """The alpha plane, or a region (x, y, width, height) of it, from the chunks of its tiles by number."""
    if not header.alpha:
        return None
    left, top, width, height = region or (0, 0, header.width, header.height)
    dtype = np.dtype(f"u{header.bit_depth // 8}")
    out = np.empty((height, width), dtype)
    for tile, chunk in chunks.items():
        x, y, w, h = header.tile_box(tile)
        plane = decode_alpha(chunk, w, h, dtype)
        x0, y0, x1, y1 = max(x, left), max(y, top), min(x + w, left + width), min(y + h, top + height)
        if x0 < x1 and y0 < y1:
            out[y0 - top : y1 - top, x0 - left : x1 - left] = plane[y0 - y : y1 - y, x0 - x : x1 - x]
    return out


def _runs(items: Sequence[Any], most: int) -> Iterator[list[Any]]:
    """Neighbours of one kind together, at most `most` positions of y at a time. items: with a header each."""

    def kind(item: Any) -> tuple[int, ...]:
        h: Header = item.header
        return h.width, h.height, h.channels, h.bit_depth, h.tile_width, h.tile_height

    for _, group in groupby(items, kind):
        run = list(group)
        h, w = latent_size(run[0].header)
        count = max(1, most // (h * w))
        yield from (run[n : n + count] for n in range(0, len(run), count))
