"""Effort for videos: latents of a frame that cost less for what they show, given the frames that it is coded from.

    y of a frame, its way (alone, given two others, …) -> refine.refined at the rate of the frame -> y

The frame is improved as a picture is (see `refine`), by the entropy model of the way that was the smallest without, and
by what it shows in its group: y_hat at the rate of the frame, brought to the group's quality, through g_s. lambda is
that of the frame's own rate: frames that others are coded from have finer rates, which says what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bitstream import Header, PictureLayout
from ..entropy.coder import Coder
from ..entropy.latents import Choice, EntropyModel, Latents, Meter
from ..entropy.place import load_torch

if TYPE_CHECKING:
    from torch import Tensor

    from .transforms.transform import Transform

__all__ = ["Refiner", "Run"]

Run = Callable[[np.ndarray, Coder, Choice], Latents]
"""y [M, h, w] as coded at the rate of the frame, a coder, how to round -> its latents, in one of the ways."""


class Refiner:
    """Of one video. card: of the image model; steps: at least one. Raises MissingExtra without torch, InputError for a
    model whose card does not say what it was trained for.
    """

    def __init__(self, card: Mapping[str, Any], transform: Transform, steps: int):
        load_torch("effort above 1")
        from .objective import objective_of

        objective_of(card)  # is there one?
        self._card, self._transform, self._steps = card, transform, steps

    def refined(
        self,
        y: np.ndarray,
        samples: np.ndarray,
        rates: tuple[int, int],
        ratio: np.ndarray,
        model: EntropyModel,
        run: Run,
    ) -> np.ndarray:
        """y: [M, h, w] float32 at the rate of the frame; samples: uint8 [H, W, 3]; rates: of the frame and of its
        group; ratio: [M] float32, from the one to the other; model, run: what codes it, and how -> y of which plain
        rounding gives the latents that were found.
        """
        from .refine import Refinable, kept_of, refined

        kept = kept_of(y[0].size)

        def rounds(y: np.ndarray, deadzone: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
            meter = Meter()
            latents = run(y[0], meter, Choice(deadzone, kept))
            return np.array([meter.bits]), latents.y_hat[None]

        layout = PictureLayout(width=samples.shape[1], height=samples.shape[0], channels=3)
        header = Header(layout=layout, quality=rates[0], parse_digest=bytes(8), synthesis_digest=bytes(8))
        coding = Refinable(self._card, _AtRate(self._transform, ratio, rates[1]), model.y_tables, rounds)
        return refined(coding, y[None].copy(), header, [samples], rates[0], self._steps)[0]


class _AtRate:
    """g_s of y_hat that is coded at another rate. ratio: [M], what brings it to the rate of g_s."""

    def __init__(self, transform: Transform, ratio: np.ndarray, quality: int):
        self._transform, self._ratio, self._quality = transform, ratio, quality
        self.device, self.down = transform.device, transform.down

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor:
        """See `Transform`."""
        ratio = y_hat.new_tensor(self._ratio)[:, None, None]
        return self._transform.shown(y_hat * ratio, [self._quality] * len(rates), channels)
