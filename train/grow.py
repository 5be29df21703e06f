"""A wider image model from a trained one, without losing what it knows.

    trained network, crops -> principal components of what it leaves -> network with more channels of y

The wider network begins as the old one. Old weights keep their places. New channels of y go through the linear paths of
g_a and g_s alone: they are the principal components of x - g_s(y_hat) at the old network's highest rate, outside the
space that its reconstructions fill. All other weights that touch them are zero. At the old network's rates they have
the table that codes nothing, so that rate and picture are the old ones there; above, the scales that the crops have.

A quality index stands for lambda. What depends on it is copied at equal lambda, exactly where the knots of the new
range lie on those of the old one (see `matching_range`). The new range may be a part of the old one. Beyond that the
gains on y follow the step size that is optimal at high rates, 5.1 / sqrt(lambda), and all else stays as it was.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..codec.transforms.network import ImageNetwork, principal_components
from ..entropy.hyperprior import IndexTable
from ..entropy.hyperprior_coding import SCALE_LOW, SCALE_STEP
from ..entropy.rate import BANKS, QUALITY_LEVELS
from ..errors import InputError

__all__ = ["grow", "matching_range"]

SHUT = -4.0
"""Table number of channels that are not coded: so far below 0 that a few steps of training leave it there."""


def matching_range(old: tuple[float, float], old_knots: int, new_knots: int) -> float:
    """The highest lambda of a range that begins as `old` does and has its knots on those of `old`."""
    return old[0] * (old[1] / old[0]) ** ((new_knots - 1) / (old_knots - 1))


@torch.no_grad()
def grow(
    old: ImageNetwork, new: ImageNetwork, old_range: tuple[float, float], new_range: tuple[float, float], crops: Tensor
) -> None:
    """Fill `new` with what `old` has learned. The ranges: lambda at the lowest and highest quality index of each;
    crops: [N, 3, H, W] float32 in [0, 1], H and W multiples of 64, with more blocks of 16 x 16 than 768.

    Raises InputError when `new` is not `old` with linear paths and no fewer channels, tables and range of means.
    """
    m, wide = old.config.transform.latent, new.config.transform.latent
    smaller = old.config.hyper.tables > new.config.hyper.tables or old.config.hyper.reach > new.config.hyper.reach
    if not new.config.transform.linear or wide < m or smaller:
        raise InputError("a network grows into one with linear paths and no fewer channels and tables")
    theirs, ours = dict(old.named_parameters()), dict(new.named_parameters())
    tables = {f"{name}.value": part for name, part in new.named_modules() if isinstance(part, IndexTable)}
    for name, source in theirs.items():
        target = ours[name]
        if name.startswith("hyperprior.prior."):
            target.copy_(source[_banks(old_range, new_range)])
        elif name in tables:
            scale = tables[name].scale
            rows = _resampled(name, source * scale, len(target), old_range, new_range) / scale
            target.copy_(_placed(name, rows.t(), target.t(), m, wide).t())
        else:
            try:
                target.copy_(_placed(name, source, target, m, wide))
            except RuntimeError:
                raise InputError(f"{name} is {list(source.shape)} and cannot become {list(target.shape)}") from None
    if wide > m:
        _open_channels(old, new, old_range[1], new_range, crops)


def _placed(name: str, source: Tensor, target: Tensor, m: int, wide: int) -> Tensor:
    """`source` where its channels are in a tensor like `target`, zeros elsewhere."""
    if source.shape == target.shape:
        return source
    out = torch.zeros_like(target)
    if len(source) == 2 * m and len(target) == 2 * wide:  # means, then table numbers
        out[:m], out[wide : wide + m] = source[:m], source[m:]
    elif name.startswith("hyperprior.context.") and len(source) == len(target):
        first = source.shape[1] - m * (target.shape[1] - source.shape[1]) // (wide - m)
        out[:, :first] = source[:, :first]  # features, then r and |r| of each pass
        for n, part in enumerate(source[:, first:].split(m, 1)):
            out[:, first + n * wide : first + n * wide + m] = part
    else:
        out[tuple(slice(n) for n in source.shape)] = source
    return out


def _places(old: tuple[float, float], new: tuple[float, float], rows: int, new_rows: int) -> Tensor:
    """Where each row of a table over the new range is among those of one over the old range, fractions allowed."""
    log_lambda = torch.linspace(math.log(new[0]), math.log(new[1]), new_rows, dtype=torch.float64)
    return (log_lambda - math.log(old[0])) * ((rows - 1) / math.log(old[1] / old[0]))


def _banks(old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """For each bank of the new network's factorised prior the old one at its middle lambda."""
    place = _places(old, new, QUALITY_LEVELS, QUALITY_LEVELS).view(BANKS, -1).mean(1)
    return (place * (BANKS / QUALITY_LEVELS)).floor().clamp(0, BANKS - 1).long()


def _resampled(name: str, value: Tensor, count: int, old: tuple[float, float], new: tuple[float, float]) -> Tensor:
    """The rows [count, C] of a table over the new range, from those over the old one [rows, C]."""
    rows = len(value)
    place = _places(old, new, rows, count)
    inside = place.clamp(0, rows - 1)
    below = inside.floor().clamp(max=rows - 2)
    out = torch.lerp(value[below.long()], value[below.long() + 1], (inside - below).float()[:, None])
    # How far the optimal log gain on y moves beyond the old range: half of what log lambda does.
    beyond = ((place - inside) * (0.5 * math.log(old[1] / old[0]) / (rows - 1))).float()[:, None]
    half = value.shape[1] // 2
    if name in ("g_a.gain_y.value", "g_s.gain_y.value", "hyperprior.h_a.gain_y.value"):
        out += beyond if name.startswith("g_a") else -beyond
    elif name == "hyperprior.h_s.gains.2.value":
        out[:, :half] += beyond  # of means; table numbers have an offset instead
    elif name == "hyperprior.h_s.offset.value":
        out[:, :half] *= beyond.exp()
        out[:, half:] += beyond / SCALE_STEP
    return out


def _open_channels(
    old: ImageNetwork, new: ImageNetwork, old_top: float, new_range: tuple[float, float], crops: Tensor
) -> None:
    """Give the new channels of y their linear paths, gains and scales."""
    m, wide = old.config.transform.latent, new.config.transform.latent
    old.eval()
    x_hat = torch.cat([old(x[None], torch.tensor([QUALITY_LEVELS - 1]))[0] for x in crops])
    x, x_hat = (_blocks(a - 0.5) for a in (crops, x_hat))
    filled, _ = principal_components(x_hat, m)
    rest = x - x_hat
    rest = rest - torch.einsum("mc,md,ndhw->nchw", filled, filled, rest)
    basis, _ = principal_components(rest, wide - m)
    assert new.g_a.linear is not None and new.g_s.linear is not None
    new.g_a.linear.weight[m:] = basis
    new.g_s.linear.weight[:, m:] = basis.t()
    size = torch.einsum("mc,nchw->nmhw", basis, x).abs().mean((0, 2, 3)).clamp_min(1e-5)  # b of a Laplacian
    knots = new.config.transform.knots
    log_lambda = torch.linspace(math.log(new_range[0]), math.log(new_range[1]), knots)[:, None]
    gain = 0.5 * log_lambda - math.log(5.1)
    new.g_a.gain_y.value[:, m:] = gain
    new.g_s.gain_y.value[:, m:] = -gain
    new.hyperprior.h_a.gain_y.value[:, m:] = -gain
    h_s = new.hyperprior.h_s
    t = (size.log() + gain - math.log(SCALE_LOW)) / SCALE_STEP
    t = torch.where(log_lambda <= math.log(old_top) + 1e-3, SHUT, t)
    h_s.offset.value[:, wide + m :] = t / h_s.offset.scale
    means = h_s.gains[2]
    assert isinstance(means, IndexTable)
    means.value[:, m:wide] = gain - gain.mean()


def _blocks(x: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 768, H/16, W/16], in the order that the linear paths have."""
    return F.pixel_unshuffle(F.pixel_unshuffle(x, 8), 2)
