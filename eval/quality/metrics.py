"""Quality metrics: how far a decoded picture or sound is from its original.

    original, decoded -> PSNR (dB), PSNR of luma (dB), MS-SSIM (0..1), MS-SSIM (dB), SSIMULACRA2 (score up to 100);
    of sounds SNR, SI-SDR (dB)

Two families with the same definitions: `psnr` and `ms_ssim` measure 8-bit pictures for the evaluator;
`mse_loss_per_sample` and `ms_ssim_per_sample` are differentiable and serve as training objectives. METRICS and
SOUND_METRICS list by name what needs nothing but the two.

PSNR = 10 log10(255^2 / MSE), with the MSE over all samples of all three RGB channels together (not the mean of three
PSNRs, not luma). Luma is Y = 0.299 R + 0.587 G + 0.114 B (BT.601 over the full range, as in JPEG), not rounded, with
the same peak of 255; luma in the studio range 16..235, as of MATLAB's rgb2ycbcr, gives figures 1.3 dB higher. MS-SSIM
is that of Wang, Simoncelli and Bovik (Asilomar 2003): five scales, an 11-tap Gaussian window of sigma 1.5, their
weights, the mean over R, G and B, as computed by the library pytorch-msssim, which the papers on learned compression
report. SSIMULACRA2 is computed as the package of that name does (see `codec.ssimulacra2`).

SNR = 10 log10(|s|^2 / |s - e|^2) for a sound s and its estimate e; SI-SDR (Le Roux et al., ICASSP 2019) is the same
with s scaled to fit e best, so that a change of volume costs nothing; the mean is not subtracted.

Guarantees: PSNR is computed exactly (integer sums), so it is the same on every machine. MS-SSIM is float32 on the CPU
whatever torch's defaults are. Wrong shapes, types and ranges are an `InputError`, never a silently wrong figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...codec.ssimulacra2 import ssimulacra2 as score
from ...errors import InputError
from ._extras import extra

if TYPE_CHECKING:
    import torch

__all__ = [
    "METRICS",
    "MOST_DB",
    "MS_SSIM_MIN_SIDE",
    "SLOW_METRICS",
    "SOUND_METRICS",
    "batch_of",
    "capped",
    "check_pictures",
    "lower_is_better",
    "ms_ssim",
    "ms_ssim_db",
    "ms_ssim_per_sample",
    "mse_loss_per_sample",
    "psnr",
    "psnr_y",
    "si_sdr",
    "snr_db",
    "ssimulacra2",
]

# Four halvings, and the 11-tap window must still fit inside the smallest scale: (11 - 1) * 2^4 + 1.
MS_SSIM_MIN_SIDE = 161

# How far above 1 or below 0 an original may stray in training (interpolation overshoot); 0..255 input is far beyond.
_RANGE_SLACK = 0.05


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures [H, W, 3]; `inf` when they are identical.

    Raises `InputError` when the shapes differ or either is not uint8 [H, W, 3].
    """
    check_pictures(a, b)
    from ...codec.media.samples import psnr_of  # imports torch

    return psnr_of(a, b)


def psnr_y(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of the luma of two uint8 pictures [H, W, 3]; `inf` when that is identical.

    Raises `InputError` as `psnr` does.
    """
    check_pictures(a, b)
    total, weights = 0, np.array([299, 587, 114])
    for row in range(0, len(a), 256):  # pieces: a whole picture of int64 would be 24 bytes a pixel
        difference = (a[row : row + 256].astype(np.int64) - b[row : row + 256]) @ weights  # [h, W], thousandths
        total += int(np.square(difference).sum())
    pixels = a.shape[0] * a.shape[1]
    return math.inf if total == 0 else 10 * math.log10(255_000**2 * pixels / total)


def snr_db(sound: np.ndarray, decoded: np.ndarray) -> float:
    """Signal-to-noise ratio in dB of two sounds, float [T]; `inf` when they are identical, `nan` for silence.

    Raises `InputError` when the lengths differ or either is not a finite float [T].
    """
    s, e = _sounds(sound, decoded)
    energy = s @ s
    return _ratio_db(energy, (s - e) @ (s - e)) if energy > 0 else math.nan


def si_sdr(sound: np.ndarray, decoded: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB of two sounds, float [T]; `inf` when they are identical,
    `-inf` when they have nothing in common, `nan` for silence.

    Raises `InputError` as `snr_db` does.
    """
    s, e = _sounds(sound, decoded)
    energy = s @ s
    if energy == 0:
        return math.nan
    target = (s @ e / energy) * s
    return _ratio_db(target @ target, (target - e) @ (target - e))


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM in 0..1 of two uint8 pictures [H, W, 3]; `nan` when a side is shorter than 161 pixels.

    A small picture has no five scales, so it has no MS-SSIM; `nan` keeps it out of averages without stopping a run
    over many pictures. Raises `InputError` for wrong shapes or types, and when pytorch-msssim is not installed.
    """
    check_pictures(a, b)
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return math.nan
    import torch

    with torch.inference_mode():
        return float(ms_ssim_per_sample(batch_of(a), batch_of(b))[0])


def batch_of(picture: np.ndarray) -> torch.Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), dtype=np.float32)).unsqueeze(0) / 255.0


def ssimulacra2(a: np.ndarray, b: np.ndarray) -> float:
    """SSIMULACRA2 of two uint8 pictures [H, W, 3]: 100 when they are the same; `nan` when a side is shorter than 8
    pixels. See `codec.ssimulacra2`. Raises `InputError` as `ms_ssim` does, the package being ssimulacra2.
    """
    check_pictures(a, b)
    return score(a, b)


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a scale where equal steps look equally large: -10 log10(1 - value), in dB; `inf` at 1, `nan` at `nan`.

    Raises `InputError` outside 0..1.
    """
    if math.isnan(value):
        return math.nan
    # float32 sums can end an ulp or two above 1 for identical pictures.
    if not 0.0 <= value <= 1.0 + 1e-5:
        raise InputError(f"MS-SSIM is within 0..1, found {value}")
    return math.inf if value >= 1.0 else -10.0 * math.log10(1.0 - value)


def mse_loss_per_sample(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each sample of a batch.

    x: [B, 3, H, W] float in [0, 1], the originals; x_hat: the same shape, not clamped (a clamp would stop the gradient
    where it is needed most). Returns [B] float32. Raises `InputError` for shapes, types or ranges that cannot be meant.
    """
    _check_batches(x, x_hat)
    return (x_hat.float() - x.float()).square().flatten(1).mean(1)  # [B]


def ms_ssim_per_sample(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Differentiable MS-SSIM of each sample of a batch; 1 is perfect, so the loss is 1 minus this.

    x: [B, 3, H, W] float in [0, 1], H and W at least 161; x_hat: the same shape. Returns [B] float32.

    Always computed in float32 with autocast off: the variances are differences of nearly equal numbers and mean nothing
    in bfloat16. Where a contrast term is not positive (an untrained decoder) the true gradient is infinite; there the
    gradient of that sample and channel is set to zero, so that one hopeless sample cannot poison a step with NaN.

    Raises `InputError` for wrong shapes, types or ranges, for sides below 161, or when pytorch-msssim is missing.
    """
    import torch

    library = extra("pytorch_msssim", "pytorch-msssim")
    _check_batches(x, x_hat)
    if min(x.shape[-2:]) < MS_SSIM_MIN_SIDE:
        raise InputError(f"MS-SSIM needs sides of at least {MS_SSIM_MIN_SIDE} pixels, found {tuple(x.shape[-2:])}")
    with torch.autocast(device_type=x.device.type, enabled=False):
        x, x_hat = x.float(), x_hat.float()
        if x_hat.requires_grad:
            x_hat = x_hat.view_as(x_hat)  # a node of its own: the hook must not touch the caller's tensor
            x_hat.register_hook(lambda gradient: torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0))
        return library.ms_ssim(x, x_hat, data_range=1.0, size_average=False)  # [B]


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"psnr": psnr, "psnr_y": psnr_y, "ms_ssim": ms_ssim}
"""Measures of two uint8 pictures [H, W, 3], the original first; higher is better."""
SLOW_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"ssimulacra2": ssimulacra2}
"""The same, of packages that may be missing; they take their time: 2.5 s a megapixel."""
SOUND_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"snr": snr_db, "si_sdr": si_sdr}
"""Measures of two sounds, float [T], the original first; higher is better."""

MOST_DB: dict[str, float] = {"psnr": 60.0, "psnr_y": 60.0, "ms_ssim_db": 60.0, "snr": 108.0, "si_sdr": 108.0}
"""What decibels count as at most where means are taken: one item that comes back exactly has infinitely many, and would
say all of a mean. 6 * bits + 12, as libvmaf bounds PSNR, of 8 bits for pictures and 16 for sounds.
"""


def capped(metric: str, value: float) -> float:
    """A value as it counts in means: at most `MOST_DB`, and as much below 0 at least. `nan` stays."""
    most = MOST_DB.get(metric, math.inf)
    return value if math.isnan(value) else max(-most, min(most, value))


def lower_is_better(metric: str) -> bool:
    """Whether a metric is a distance: `d_...` (of features), `log_...` (of spectra), lpips and dists in all their
    variants.
    """
    return metric.startswith(("d_", "log_", "lpips", "dists"))


def _ratio_db(signal: float, noise: float) -> float:
    if signal == 0:
        return -math.inf
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


def _sounds(sound: np.ndarray, decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [T], checked."""
    for samples in (sound, decoded):
        if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f" or samples.ndim != 1 or not samples.size:
            found = f"{samples.dtype} {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
            raise InputError(f"expected a sound, float [T], found {found}")
        if not np.isfinite(samples).all():
            raise InputError("expected a sound of finite samples")
    if sound.shape != decoded.shape:
        raise InputError(f"the sounds differ in length: {len(sound)} and {len(decoded)} samples")
    return sound.astype(np.float64), decoded.astype(np.float64)


def check_pictures(a: np.ndarray, b: np.ndarray) -> None:
    """Raises `InputError` unless both are uint8 [H, W, 3] of one shape."""
    for picture in (a, b):
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
            found = getattr(picture, "dtype", type(picture).__name__)
            raise InputError(f"expected a uint8 picture [H, W, 3], found {found}")
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise InputError(f"expected a picture of shape [H, W, 3], found {picture.shape}")
    if a.shape != b.shape:
        raise InputError(f"the pictures differ in shape: {a.shape} and {b.shape}")


def _check_batches(x: torch.Tensor, x_hat: torch.Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or x.numel() == 0:
        raise InputError(f"expected a batch [B, 3, H, W], found {tuple(x.shape)}")
    if x.shape != x_hat.shape:
        raise InputError(f"the batches differ in shape: {tuple(x.shape)} and {tuple(x_hat.shape)}")
    if not (x.is_floating_point() and x_hat.is_floating_point()):
        raise InputError(f"expected floating point batches, found {x.dtype} and {x_hat.dtype}")
    low, high = (float(bound) for bound in x.detach().aminmax())
    if not (-_RANGE_SLACK <= low and high <= 1.0 + _RANGE_SLACK):
        raise InputError(f"expected originals in [0, 1], found [{low:.4g}, {high:.4g}]")
