"""Encoder effort: latents that cost less for what they show. The format, the decoder and decoding time stay the same.

    y --traverse--> y_hat, bits --g_s--> x_hat --> dD/dy_hat --> y moves --> again, `steps` times --> y_hat

The analysis transform was trained on all pictures; here the latent of one picture is improved by itself, on what a
file costs: J = bits + lambda D, D the error of the samples that will be shown, lambda that of the training. y
is the number that a latent is rounded from. Each step rounds y as coding does (the entropy model runs exactly, so that
mu and t are those of the file), takes the gradient g of lambda D at y_hat through the float synthesis, and moves

    y += pull (y_hat - y) - step g / h

h is the curvature of lambda D in a latent. Latents are in units of a quantisation step, and a rate-distortion optimal
step has about the same curvature everywhere (12 / ln 2 = 17 bits at high rates; 12 to 20 measured), so one number
serves all channels, pictures and qualities. The rate enters by rounding: towards zero a little further than to the
nearest integer, by what the smaller symbol saves under its table. The pull forgets what rounding has decided against;
without it, latents wander between two integers for ever. Rounding with the whole dead zone at once costs more than it
saves, since errors that point the same way add up: it grows from none with the steps, and g corrects it meanwhile.
After Yang, Bamler, Mandt, "Improving Inference for Neural Image Compression" (NeurIPS 2020), in a few steps, not
thousands: their annealed noise needs many.

D is what the model was trained for (see `objective`). Where that is no sum over pixels, it is taken of each window, as
it was of each crop in training, and counts by the window's area. h is the same: at the optimum of rate and distortion
the bits that a step size saves are what its errors cost, whatever measures them (12 / ln 2 again).

Guarantees. J of a picture, as this machine computes it, is never above that without effort. Memory is bounded: g is
taken by windows of the picture. The hyper-latent z stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Header
from ..entropy.latents import MEAN_BITS, Choice, Meter, deadzone_of
from ..entropy.tables import TableSet
from .objective import Objective, objective_of
from .tiles import latent_size, layout_of, paste
from .transforms.torch_transform import centred
from .transforms.transform import cut, pixels
from .transforms.windows import Window, windows
from .workers.told import told

if TYPE_CHECKING:
    from .latent_coding import LatentCoding, Tiles

__all__ = ["Refinable", "in_tiles", "kept_of", "refined"]

CURVATURE = 15.5
"""h at the lambda of the training, in bits."""
EMPHASIS = 1.25
"""What lambda is multiplied by. At lambda itself J falls as far, but more by bytes than by errors; real curves of rate
and distortion are a little steeper than lambda says: BD-rate -6.9% at 1, -7.2% at 1.25 and 1.5 (validation crops)."""
FIRST_STEP, LAST_STEP, DEADZONE = 0.42, 0.04, 0.8
"""The values of a long schedule; and the share of `deadzone_of` that it ends with. A short one takes steps that are
more alike, and it leans less, as there is no time to correct what rounding loses."""
MARGIN, SEEN = 4, 2
"""Positions of y around the core of a window: that the synthesis gets, and whose errors count. What a latent does
further off is a fiftieth of its own effect."""
WINDOW = {"cpu": 2**11, "cuda": 2**15}
"""Positions of y that a gradient is taken of at a time: 100 to 150 kB each."""
KEPT = 2**12
"""Positions of y up to which what the entropy model derives from z is kept between the steps: 6 kB each."""


class Shows(Protocol):
    """The part of a `Transform` that is needed."""

    @property
    def device(self) -> str: ...

    @property
    def down(self) -> tuple[int, ...]: ...

    def shown(self, y_hat: Tensor, rates: Sequence[int], channels: int) -> Tensor: ...


Rounds = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""y [B, M, h, w], how it is rounded (see `deadzone_of`) -> bits [B], y_hat [B, M, h, w] int32 in units of
2^-MEAN_BITS: a run of the entropy model.
"""


@dataclass(frozen=True)
class Refinable:
    """What is improved, but for its latents. card: of the model; tables: those of y."""

    card: Mapping[str, Any]
    transform: Shows
    tables: TableSet
    rounds: Rounds


@dataclass(frozen=True)
class _Schedule:
    """What a run of `steps` steps does in each of them: long steps first, and rounding that leans more and more."""

    steps: int

    def step(self, k: int) -> float:
        """The values of step k, the pull too."""
        first, last = min(0.15 + 0.07 * self.steps, FIRST_STEP), LAST_STEP + 0.22 / self.steps
        return first * (last / first) ** (k / max(self.steps - 1, 1))

    def deadzone(self, k: int) -> float:
        return DEADZONE * self.steps / (self.steps + 2) * (k / self.steps) ** 0.6


def kept_of(positions: int) -> dict[str, Any] | None:
    """What a `Choice` keeps between the steps, for so many positions of y."""
    return {} if positions <= KEPT else None


def in_tiles(coding: LatentCoding, tiles: Sequence[Tiles], positions: int, q: int) -> Refinable:
    """Pictures of one shape and quality, whose y is coded in tiles. positions: of y, of all pictures."""
    kept = [kept_of(positions) for _ in tiles]

    def rounds(y: np.ndarray, deadzone: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        bits, y_hat = np.zeros(len(y)), np.empty(y.shape, np.int32)
        choices = [Choice(deadzone, found) for found in kept]
        for box, latents, meter in coding.traversed(y, tiles, [q] * len(y), Meter, choices):
            paste(latents.y_hat, box, y_hat[box.picture], 0, 0)
            bits[box.picture] += meter.bits
        return bits, y_hat

    return Refinable(coding.card, coding.transform, coding.entropy.y_tables, rounds)


@torch.inference_mode()
def refined(
    coding: Refinable,
    y: np.ndarray,
    header: Header,
    colours: list[np.ndarray],
    q: int,
    steps: int,
) -> np.ndarray:
    """y: [B, M, h, w] float32 of pictures of one shape, at one quality; header: of one of them -> y of which plain
    rounding gives the latents that were found; overwritten.
    """
    objective = objective_of(coding.card)
    lam = EMPHASIS * objective.multiplier(q)
    curvature, schedule = EMPHASIS * CURVATURE, _Schedule(steps)
    original, cost, y_hat = y.copy(), [], np.empty(0, np.int32)
    for k in range(steps + 1):
        deadzone = deadzone_of(coding.tables, curvature, schedule.deadzone(k)) if k else None
        bits, y_hat = coding.rounds(y, deadzone)
        error, step = np.zeros(len(y)), schedule.step(k)
        for view in _views(coding, y_hat, header, colours, objective.shrink):
            if k == steps:
                shown = coding.transform.shown(view.y_hat, [q] * len(view.y_hat), view.x.shape[3])
                error[view.some] += _error(objective, view, shown, coding.transform.down).cpu().numpy()
                continue
            gradient, found = _gradient(coding, objective, view, q, lam)
            own = y[view.some, :, *view.window.core]
            pull = view.y_hat.cpu().numpy() - y[view.some, :, *view.window.take]
            move = pull - gradient / (curvature * objective.stiffness)
            own += step * move[:, :, *view.window.keep]
            error[view.some] += found
        cost.append(bits + lam * error)
    for b, better in enumerate(cost[-1] < cost[0]):
        y[b] = y_hat[b] * np.float32(2.0**-MEAN_BITS) if better else original[b]
    return y


@dataclass(frozen=True)
class _View:
    """A part of pictures that fits into memory. some: which pictures; y_hat: [b, M, h, w] float32 of the window; x: the
    samples - 1/2 [b, 16 h, 16 w, C] that it should show, of which `size` rows and columns are of the picture.
    """

    some: slice
    window: Window
    y_hat: Tensor
    x: Tensor
    size: tuple[int, int]


def _views(
    coding: Refinable, y_hat: np.ndarray, header: Header, colours: list[np.ndarray], shrink: int
) -> Iterator[_View]:
    layout, transform = layout_of(header), coding.transform
    height, width = latent_size(header)
    most = WINDOW.get(transform.device.partition(":")[0], WINDOW["cpu"]) // shrink
    group = max(1, most // (height * width))
    for begin in range(0, len(y_hat), group):
        some = slice(begin, min(begin + group, len(y_hat)))
        x = np.stack([colour.reshape(*colour.shape[:2], -1) for colour in colours[some]])
        parts = list(windows(height, width, MARGIN, most))
        for window in told("improving", parts, len(parts)):
            part = torch.from_numpy(y_hat[some, :, *window.take]).to(transform.device).float().mul_(2.0**-MEAN_BITS)
            wanted = centred(torch.from_numpy(cut(x, window.take, transform.down)).to(transform.device))
            rows, columns = pixels(window.take, transform.down)
            size = layout.height - rows.start, layout.width - columns.start
            yield _View(some, window, part, wanted, size)


def _error(objective: Objective, view: _View, shown: Tensor, down: tuple[int, ...], around: int = 0) -> Tensor:
    """D [b], times samples of a colour, of what a window shows [b, 16 h, 16 w, C] at its core and `around` positions of
    y further. What lies beyond the picture's edge does not count.
    """
    seen = [slice(max(s.start - around, 0), s.stop + around) for s in view.window.keep]
    shown = shown.clamp(-0.5, 0.5)
    if objective.squared:
        weight = torch.zeros(*shown.shape[1:3], 1, dtype=torch.float32, device=shown.device)
        weight[: view.size[0], : view.size[1]] = 1 / shown.shape[3]
        return ((shown - view.x).square() * weight)[:, *pixels(seen, down)].sum((1, 2, 3))
    rows, columns = (slice(s.start, min(s.stop, most)) for s, most in zip(pixels(seen, down), view.size, strict=True))
    x, x_hat = (a[:, rows, columns].movedim(3, 1).expand(-1, 3, -1, -1) + 0.5 for a in (view.x, shown))
    return objective.error(x, x_hat) * (x.shape[2] * x.shape[3])


def _gradient(
    coding: Refinable, objective: Objective, view: _View, q: int, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """lambda dD/dy_hat [b, M, h, w] of a window, right at its core; D [b] of the pixels there."""
    down = coding.transform.down
    with torch.inference_mode(False), torch.enable_grad():
        view = replace(view, y_hat=view.y_hat.clone().requires_grad_(), x=view.x.clone())  # none of inference mode
        shown = coding.transform.shown(view.y_hat, [q] * len(view.y_hat), view.x.shape[3])
        error = _error(objective, view, shown, down, SEEN)
        (gradient,) = torch.autograd.grad(lam * error.sum(), view.y_hat)
    with torch.inference_mode():
        return gradient.cpu().numpy(), _error(objective, view, shown, down).cpu().numpy()
