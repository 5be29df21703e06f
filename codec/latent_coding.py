"""Latents of pictures: what lies between samples and the bytes of the arithmetic coder.

    colour samples -> g_a -> y -> tiles -> h_a, traverse of the entropy model with a writing coder -> latents
    chunks of tiles -> traverse of the entropy model with a reading coder -> latents -> y_hat -> g_s -> colour samples

Entropy model and transforms are those of this package, or others that fit into their place (`Parts`). The transforms
work on windows of the picture with a margin as wide as they look, the entropy model on tiles; neither
knows of the other, so tiles leave no seams in the picture and a window may be of any size.

Guarantee: latents that are read are those that were written, or a CorruptFile says so. They are integers computed by
integers; only `_analyse` and `_synthesise` are float.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from math import isfinite
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bitstream import QUALITY_ONE, DataChunk, Header
from ..entropy.coder import Coder, Reader
from ..entropy.context_coding import ContextCoding
from ..entropy.hyperprior import HyperAnalysis, HyperConfig
from ..entropy.hyperprior_coding import HyperpriorCoding
from ..entropy.latents import MEAN_BITS, NEAREST, Choice, EntropyModel, Latents
from ..errors import CorruptFile, InputError, ModelError
from .model_file import parse_tensors
from .samples import planes_of, to_numpy
from .tiles import DOWN, Box, boxes_of, equal_boxes, latent_size, layout_of, paste
from .transforms import Analysis, Synthesis, TransformConfig
from .windows import windows

__all__ = ["LatentCoding", "Parts", "Tiles", "check_shapes", "entropy_model_of", "receptive_field", "synthesis_digest"]

WINDOW = {"cpu": 2**14, "cuda": 2**16}
"""Positions of y (16 x 16 pixels each) that a transform works on at a time, so that memory stays bounded."""
GROUP = {"cpu": 2**12, "cuda": 2**16}
"""Positions of y whose tiles go through the entropy model together. On the CPU one tile of 1024 x 1024 fills it: larger
tensors would come from the system, and go back to it, for every layer."""
Tiles = tuple[list[Box], tuple[np.ndarray, ...]]
"""A group of tiles of one size, and the levels above y, coarsest first, [B, C, *size] float32 each, not yet rounded."""
SPARE_BITS = 64
"""Bits by which data may be shorter than the least that holds its symbols: what the coder's last words leave out."""


def synthesis_digest(tensors: Mapping[str, np.ndarray], transform: Mapping[str, Any]) -> bytes:
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
    return (8 * config.synthesis8 + 16 * config.synthesis16) * (config.kernel // 2)


def entropy_model_of(card: Mapping[str, Any]) -> type[HyperpriorCoding]:
    """The entropy model of a model of the kind "image": with context if its card has the sizes of that."""
    return HyperpriorCoding if card.get("context") is None else ContextCoding


@dataclass(frozen=True)
class Parts:
    """What codes latents. entropy: the entropy model; g_a, h_a, g_s: networks with the interface of `Analysis`,
    `HyperAnalysis` (None: there is no level above y) and `Synthesis`, whose weights are still to come; analysis_reach,
    synthesis_reach: how many latents beyond an output's own position, on each side, the transforms look at; window:
    positions of y that a transform works on at a time, by kind of device.
    """

    entropy: EntropyModel
    g_a: nn.Module
    h_a: nn.Module | None
    g_s: nn.Module
    analysis_reach: int
    synthesis_reach: int
    window: Mapping[str, int]


class LatentCoding:
    """The networks and the entropy model of an image model, at work on colour samples and data chunks.

    tensors: of a model file: `parse.*` (integers), `g_a.*`, `h_a.*`, `g_s.*` (float16 or float32); card: its card.

    Raises ModelError when they do not make a codec, or are not what the card's digests say.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any], device: str = "cpu"):
        self.card = dict(card)
        self.device = _device(device)
        parts = self._parts(tensors)
        self.entropy = parts.entropy
        self.parse_digest = self.entropy.digest()
        self.synthesis_digest = synthesis_digest(tensors, card["transform"])
        for kind in ("parse", "synthesis"):
            found, said = getattr(self, f"{kind}_digest").hex(), card.get(f"{kind}_digest")
            if said != found:
                raise ModelError(f"the model's {kind} digest is {found}, but its card says {said}")
        for name in ("g_a", "h_a", "g_s"):
            if (network := getattr(parts, name)) is not None:
                _fill(network, name, tensors, self.device)
        self.g_a: Any = parts.g_a
        self.h_a: Any = parts.h_a
        self.g_s: Any = parts.g_s
        self._reach_a, self._reach_s = parts.analysis_reach, parts.synthesis_reach
        self._window = parts.window.get(self.device.type, parts.window["cpu"])
        self._group = GROUP.get(self.device.type, GROUP["cpu"])

    def _parts(self, tensors: Mapping[str, np.ndarray]) -> Parts:
        """The parts of this kind of model, of the sizes that its card gives. Raises ModelError."""
        try:
            transform = TransformConfig(**self.card["transform"])
            hyper = HyperConfig(**self.card["hyper"])
        except (KeyError, TypeError, ValueError):
            raise ModelError("the model's card does not give the sizes of its networks") from None
        entropy = entropy_model_of(self.card)(parse_tensors(tensors))
        if (entropy.latent, entropy.hyper) != (transform.latent, hyper.hyper):
            raise ModelError("the model's entropy model does not fit its transforms")
        if transform.most_blocks > len(tensors):  # more names than there is time to compare
            raise _misfit("g_a or g_s")
        check_shapes(tensors, {**transform.shapes(), "h_a": hyper.analysis_shapes()})
        # Not on the meta device: random numbers there import torch's compiler, which costs more than they do.
        return Parts(
            entropy,
            Analysis(transform),
            HyperAnalysis(hyper),
            Synthesis(transform),
            # As far as their depthwise layers reach.
            analysis_reach=-(-(8 * transform.analysis8 + 16 * transform.analysis16) * (transform.kernel // 2) // DOWN),
            synthesis_reach=-(-receptive_field(transform) // DOWN),
            window=WINDOW,
        )

    def _tiles(self, y: Tensor, headers: Sequence[Header], q: Sequence[int]) -> Iterator[Tiles]:
        """Groups of tiles of one size, each with the levels above y."""
        boxes = [box for n, header in enumerate(headers) for box in boxes_of(header, n)]
        for group in equal_boxes(boxes, self._group):
            part = torch.stack([y[b.picture, :, b.rows, b.columns] for b in group])
            above = self._above(part, self._index([q[b.picture] for b in group]))
            if not all(bool(torch.isfinite(level).all()) for level in (part, *above)):
                raise ModelError("the model's analysis gave a number that is not finite")
            yield group, tuple(level.cpu().numpy() for level in above)

    def _above(self, y: Tensor, index: Tensor) -> tuple[Tensor, ...]:
        """y of tiles [B, M, h, w] -> the levels above it: z [B, Z, h/4, w/4], if there is one."""
        if self.h_a is None:
            return ()
        h, w = y.shape[-2:]
        return (self.h_a(F.pad(y, (0, -w % 4, 0, -h % 4), mode="replicate"), index),)

    def traversed(
        self,
        y: Tensor,
        tiles: Iterable[Tiles],
        q: Sequence[int],
        coder: Callable[[], Coder],
        choices: Iterable[Choice] = repeat(NEAREST),
    ) -> Iterator[tuple[Box, Latents, Any]]:
        """The entropy model on y [B, M, h, w], each tile with a coder of its own. choices: one for each group of tiles,
        or more.
        """
        for (group, above), choice in zip(tiles, choices, strict=False):
            source = *above, torch.stack([y[b.picture, :, b.rows, b.columns] for b in group]).cpu().numpy()
            coders, rates = [coder() for _ in group], [q[b.picture] for b in group]
            latents = self.entropy.traverse(coders, group[0].size, rates, source, device=self.device, choice=choice)
            yield from zip(group, latents, coders, strict=True)

    def _analyse(self, pictures: list[np.ndarray], index: Tensor) -> Tensor:
        """Colour samples of one shape -> y [B, M, h, w] float32; borders are replicated to multiples of 16."""
        x = np.stack(pictures) if len(pictures) > 1 else pictures[0][None]
        x = x.reshape(*x.shape[:3], -1)  # [B, H, W, C]
        h, w = -(-x.shape[1] // DOWN), -(-x.shape[2] // DOWN)
        y = torch.empty(len(x), self.entropy.latent, h, w, dtype=torch.float32, device=self.device)
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

    def _read(
        self, headers: Sequence[Header], chunks: Sequence[Mapping[int, DataChunk]]
    ) -> Iterator[tuple[Box, Latents]]:
        """Decode the tiles whose chunks are given (by number, for each file) and compare their digests."""
        boxes = [box for n, header in enumerate(headers) for box in boxes_of(header, n) if box.tile in chunks[n]]
        for picture, of_picture in groupby(boxes, lambda box: box.picture):
            bits = least = tiles = 0
            for box in of_picture:
                coded = 8 * len(chunks[picture][box.tile].payload)
                needed = self.entropy.least_bits(box.size, headers[picture].quality)
                if coded + SPARE_BITS < needed:
                    height, width = DOWN * box.size[0], DOWN * box.size[1]
                    raise CorruptFile(f"{coded} bits cannot hold {width} x {height} pixels: {needed:.0f} or more do")
                bits, least, tiles = bits + coded, least + needed, tiles + 1
            # Each tile alone may be short by what it could never be: no writer's tiles are short all together.
            if bits + SPARE_BITS < least:
                raise CorruptFile(f"{bits} bits cannot hold {tiles} tiles: {least:.0f} or more do")
        for group in equal_boxes(boxes, self._group):
            data = [chunks[box.picture][box.tile] for box in group]
            readers = [Reader(chunk.payload) for chunk in data]
            rates = [headers[box.picture].quality for box in group]
            decoded = self.entropy.traverse(readers, group[0].size, rates, device=self.device)
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
        layout = layout_of(header)
        peak, dtype = (255, torch.uint8) if layout.bit_depth == 8 else (65535, torch.uint16)
        with torch.inference_mode(False):  # what leaves the codec may be written to
            out = torch.empty(b, DOWN * h, DOWN * w, layout.channels, dtype=dtype, device=self.device)
        index = self._index(q)
        for window in windows(h, w, self._reach_s, self._window // b):
            part = torch.from_numpy(y_hat[:, :, *window.take]).to(self.device).float().mul_(2.0**-MEAN_BITS)
            planes = self.g_s.planes(part.contiguous(memory_format=torch.channels_last), index).float()
            if not all(map(isfinite, torch.stack(planes.aminmax()).tolist())):
                raise ModelError("the model's synthesis gave a number that is not finite")
            planes = planes.permute(0, 2, 3, 1).unflatten(3, (64, 3))  # [b, h8, w8, 64, 3]
            if layout.channels == 1:
                planes = planes.mean(4, keepdim=True)
            planes = planes.add_(0.5).mul_(peak).round_().clamp_(0, peak).to(dtype)
            rows, columns = (slice(2 * s.start, 2 * s.stop) for s in window.keep)
            blocks = planes[:, rows, columns].unflatten(3, (8, 8)).transpose(2, 3)  # [b, h8, 8, w8, 8, C]
            rows, columns = (slice(DOWN * s.start, DOWN * s.stop) for s in window.core)
            out[:, rows, columns].unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).copy_(blocks)
        return out

    def _samples(self, y_hat: np.ndarray, q: Sequence[int], header: Header) -> list[np.ndarray]:
        """Colour samples, [H, W] or [H, W, 3] each, of pictures like the header's."""
        layout = layout_of(header)
        out = self._synthesise(y_hat, q, header)[:, : layout.height, : layout.width]
        return [to_numpy(samples, layout) for samples in out]


def check_shapes(tensors: Mapping[str, np.ndarray], networks: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    """Compare the tensors of a model file with the networks that its card describes, before memory is taken for these.
    networks: by prefix, the shapes by name. Raises ModelError.
    """
    for prefix, wanted in networks.items():
        found = {name: array.shape for name, array in tensors.items() if name.startswith(f"{prefix}.")}
        if found != {f"{prefix}.{name}": shape for name, shape in wanted.items()}:
            raise _misfit(prefix)


def _misfit(network: str) -> ModelError:
    return ModelError(f"the model's weights do not fit the {network} that its card describes")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, dtype=torch.float32, device=device)
        return device
    except (RuntimeError, AssertionError):
        raise InputError(f"device {name!r} is not available here") from None


@torch.inference_mode(False)  # whoever loads a model: the encoder takes gradients through it
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
        raise _misfit(prefix) from None
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
