"""What video models are trained on: latents of clips, and frames of them as files have them, made once.

clips, photographs under synthetic motion -> g_a of the frozen image model -> stretches of y (float16)
some frames of each -> groups, coded by the model that a run starts from -> CodedFrames (see `coded`)
                    -> FILE, if the recipe names a cache: later runs read that
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codec.image import ImageCodec
from ..codec.video_encoder import DEAD
from ..codec.video_steps import LEAST
from ..entropy.rate import QUALITY_ONE
from ..entropy.spatiotemporal_coding import SpatiotemporalCoding
from ..errors import InputError
from .checkpoint import contents_of, load_checkpoint, save_checkpoint
from .clips import moving, read_frames, video_files
from .coded import CodedFrame, coded_frames
from .data import load_pictures
from .recipe import VideoRecipe

__all__ = ["Clips", "Stretch", "collected"]

FRAMES = 9
"""Of a synthetic clip, and of what is held out of a real one."""
STRETCH = 33
"""Frames of a real clip at one index."""
SIZE = 256, 320
"""Height and width of synthetic clips."""
HELD_OUT = 0.12
"""Share of each real clip, at its end, that is never trained on."""
HELD_OUT_CLIPS = 4
"""Synthetic clips that are never trained on."""
HELD_OUT_INDEX, HELD_OUT_CODED = 48, 30
"""Of latents that are held out, and of groups of them."""
STEEPNESS = (0.6, 0.8, 1.0, 1.2)
"""Groups are coded with one of these powers of the steps of their levels."""


@dataclass(frozen=True)
class Stretch:
    """y [N, M, h, w] float16 of neighbouring frames, all at one index."""

    index: int
    y: Tensor


@dataclass
class Clips:
    """Of real clips, or of synthetic ones: what is trained on, and what is held out."""

    trained: list[Stretch] = field(default_factory=list)
    held_out: list[Stretch] = field(default_factory=list)
    coded: list[CodedFrame] = field(default_factory=list)
    coded_held_out: list[CodedFrame] = field(default_factory=list)


def collected(
    recipe: VideoRecipe, codec: ImageCodec, temporal: SpatiotemporalCoding | None, say: Callable[[str], None]
) -> tuple[Clips, Clips]:
    """Real clips and synthetic ones. temporal: what codes groups of them; None: nothing does. Raises InputError,
    CodecError for a cache that cannot be written.
    """
    key = _key(recipe, codec, temporal)
    if recipe.cache is not None and recipe.cache.exists():
        return _kept(load_checkpoint(recipe.cache), key, recipe)
    maker = _Maker(recipe, codec, temporal)
    found = maker.real(say), maker.synthetic(say)
    if recipe.cache is not None:
        parts = {name: _plain(clips) for name, clips in zip(("real", "synthetic"), found, strict=True)}
        save_checkpoint({"key": key, **parts}, recipe.cache)
    return found


class _Maker:
    def __init__(self, recipe: VideoRecipe, codec: ImageCodec, temporal: SpatiotemporalCoding | None):
        self._recipe, self._codec, self._temporal = recipe, codec, temporal
        self._random = random.Random(recipe.seed)

    def real(self, say: Callable[[str], None]) -> Clips:
        recipe, clips = self._recipe, Clips()
        files = video_files(recipe.clips) if recipe.clips and recipe.real else []
        for path in files:
            frames = [_whole(f) for f in read_frames(path, recipe.real // len(files), recipe.side)]
            kept = len(frames) - int(HELD_OUT * len(frames))
            for start in range(0, kept - 2, STRETCH - 1):
                self._train_on(clips, frames[start : min(start + STRETCH, kept)])
            self._hold_out(clips, frames[kept:][:FRAMES])
            say(f"{path.name}: {len(frames)} frames, {len(clips.coded)} coded so far")
        return clips

    def synthetic(self, say: Callable[[str], None]) -> Clips:
        recipe, clips = self._recipe, Clips()
        if recipe.pictures and recipe.synthetic:
            pictures = load_pictures(recipe.pictures, smallest=300, say=say)
            for n in range(recipe.synthetic):
                frames = list(moving(pictures, self._random, FRAMES, *SIZE))
                (self._hold_out if n < HELD_OUT_CLIPS else self._train_on)(clips, frames)
                if n % 20 == 19:
                    say(f"{n + 1} of {recipe.synthetic} synthetic clips")
        return clips

    def _train_on(self, clips: Clips, frames: Sequence[np.ndarray]) -> None:
        made = self._made(frames, self._random.choice(self._recipe.indices))
        clips.trained.append(made)
        clips.coded += self._coded(frames, made, self._random.random() < 0.5, self._random.choice(STEEPNESS))

    def _hold_out(self, clips: Clips, frames: Sequence[np.ndarray]) -> None:
        if frames:
            clips.held_out.append(self._made(frames, HELD_OUT_INDEX))
        if len(frames) == FRAMES and self._temporal is not None:
            clips.coded_held_out += self._coded(frames, self._made(frames, HELD_OUT_CODED), False, 1.0)

    def _made(self, frames: Sequence[np.ndarray], index: int) -> Stretch:
        rates = [index * QUALITY_ONE]
        with torch.inference_mode():
            y = np.stack([self._codec.transform.analyse([frame], rates)[0] for frame in frames])
        return Stretch(index, torch.from_numpy(y).half())

    def _coded(self, frames: Sequence[np.ndarray], made: Stretch, closed: bool, steepness: float) -> list[CodedFrame]:
        if self._temporal is None or len(frames) < 3:
            return []
        y = made.y.float().numpy()
        with torch.inference_mode():
            return coded_frames(frames, y, made.index, self._codec, self._temporal, closed, steepness)


def _whole(frame: np.ndarray) -> np.ndarray:
    """Cut to multiples of 32 pixels."""
    height, width = (n // 32 * 32 for n in frame.shape[:2])
    return frame[:height, :width]


def _key(recipe: VideoRecipe, codec: ImageCodec, temporal: SpatiotemporalCoding | None) -> str:
    """What the latents follow from."""
    fields = {"seed", "clips", "pictures", "synthetic", "real", "side", "indices"}
    says = json.dumps(recipe.model_dump(mode="json", include=fields), sort_keys=True)
    digests = [
        codec.synthesis_digest,
        b"" if temporal is None else temporal.digest() + repr((LEAST, STEEPNESS, DEAD)).encode(),
    ]
    return hashlib.blake2b(says.encode() + b"".join(digests), digest_size=8).hexdigest()


def _plain(clips: Clips) -> dict[str, list[Any]]:
    """For a file: tuples of tensors and numbers."""
    return {name: [_parts(a) for a in found] for name, found in vars(clips).items()}


def _parts(a: Stretch | CodedFrame) -> tuple[Any, ...]:
    return tuple(getattr(a, name) for name in a.__dataclass_fields__)


def _kept(state: dict[str, Any], key: str, recipe: VideoRecipe) -> tuple[Clips, Clips]:
    assert recipe.cache is not None
    with contents_of(recipe.cache, "latents of clips"):
        if state["key"] != key:
            raise InputError("it holds latents of other clips or models: another name makes them anew")
        kinds = {"trained": Stretch, "held_out": Stretch, "coded": CodedFrame, "coded_held_out": CodedFrame}
        real, synthetic = (
            Clips(**{field: [kind(*parts) for parts in state[name][field]] for field, kind in kinds.items()})
            for name in ("real", "synthetic")
        )
        return real, synthetic
