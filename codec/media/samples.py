"""Samples as the codec takes them apart: colour from alpha, and back.

samples -> split -> colour -> transform          transform -> plain_colour -> colour -> join -> samples

No torch.
"""

from __future__ import annotations

import numpy as np

from ...bitstream import MAX_TILE, Metadata, PictureLayout, check_picture_size
from ...errors import InputError
from .part import whole

__all__ = [
    "tile_side",
    "check_region",
    "join",
    "paste_samples",
    "picture_layout",
    "plain",
    "plain_colour",
    "psnr_of",
    "split",
]

TILE = 1024
"""Side of the tiles, in pixels, of a large picture, where nothing else is asked for."""
UNTILED = 2**22
"""Pixels up to which a picture is not cut unless asked for."""


def plain(samples: np.ndarray) -> np.ndarray:
    """An array of numpy's own class: others (matrices, memory maps) compute and index in ways of their own.

    Raises InputError for a masked array, whose hidden samples a file cannot have.
    """
    if isinstance(samples, np.ma.MaskedArray):
        raise InputError("samples are a masked array: .filled(0) or .data makes a plain one")
    return np.asarray(samples) if isinstance(samples, np.ndarray) else samples


def split(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples -> colour [H, W] or [H, W, 3], and alpha [H, W] or None. Raises InputError, LimitExceeded."""
    if not isinstance(samples, np.ndarray) or samples.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        found = getattr(samples, "dtype", type(samples).__name__)
        how = ": (255 * x).round().astype('uint8') of those in [0, 1]" * (getattr(found, "kind", "") == "f")
        raise InputError(f"samples must be a numpy array of uint8 or uint16, not {found}{how}")
    if not (samples.ndim == 2 or (samples.ndim == 3 and 2 <= samples.shape[2] <= 4)) or 0 in samples.shape:
        how = ": channels come last, transpose(1, 2, 0)" * (samples.ndim == 3 and 1 <= samples.shape[0] <= 4)
        raise InputError(f"samples must have the shape [H, W] or [H, W, 2 to 4], not {list(samples.shape)}{how}")
    check_picture_size(samples.shape[1], samples.shape[0])
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.ndim == 2 or samples.shape[2] == 3:
        return samples, None
    return (samples[:, :, 0] if samples.shape[2] == 2 else samples[:, :, :3]), samples[:, :, -1]


def join(colour: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    return colour if alpha is None else np.dstack([colour, alpha])


def paste_samples(part: np.ndarray, whole: np.ndarray, x: int, y: int) -> None:
    """Put a part [h, w, ...] where it belongs in `whole`, its left top pixel at (x, y), which may lie outside; what
    is outside is cut off.
    """
    height, width = part.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, whole.shape[1]), min(y + height, whole.shape[0])
    if x0 < x1 and y0 < y1:
        whole[y0:y1, x0:x1] = part[y0 - y : y1 - y, x0 - x : x1 - x]


def tile_side(tile: int | None, width: int, height: int) -> int:
    """The side for the header: 0 if there is nothing to cut."""
    if tile is None:
        tile = TILE if width * height > UNTILED else 0
    tile = whole(tile, "tile")
    if tile < 0 or tile % 64 or tile > MAX_TILE:
        raise InputError(f"tile {tile} is not a multiple of 64 up to {MAX_TILE}, nor 0 for none")
    return tile if tile < max(width, height) else 0


def picture_layout(colour: np.ndarray, alpha: np.ndarray | None, metadata: Metadata, tile: int | None) -> PictureLayout:
    """What a file says of a picture, as `split` gives it, whatever the codec. tile: see `tile_side`.

    Raises InputError (tile), LimitExceeded.
    """
    height, width = colour.shape[:2]
    side = tile_side(tile, width, height)
    return PictureLayout(
        width=width,
        height=height,
        channels=1 if colour.ndim == 2 else 3,
        bit_depth=8 * colour.itemsize,
        alpha=0 if alpha is None else 1,
        colour_primaries=metadata.primaries,
        transfer=metadata.transfer,
        tile_width=side,
        tile_height=side,
    )


def check_region(layout: PictureLayout, region: tuple[int, int, int, int]) -> None:
    """Refuse a region (x, y, width, height) that is not inside a picture. Raises InputError."""
    x, y, width, height = region
    if not (0 <= x < x + width <= layout.width and 0 <= y < y + height <= layout.height):
        raise InputError(
            f"region {x},{y},{width},{height} (x, y, width, height) is not inside the picture of "
            f"{layout.width} x {layout.height}"
        )


def plain_colour(samples: np.ndarray) -> np.ndarray:
    """[H, W, C], C = 1 or 3 -> contiguous samples, [H, W] for grey."""
    return np.ascontiguousarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)


def psnr_of(reference: np.ndarray, found: np.ndarray) -> float:
    """PSNR in dB over all samples; infinite for equal pictures."""
    total = 0.0
    for row in range(0, len(reference), 256):  # pieces: a whole picture of float64 would be 24 bytes a pixel
        a, b = reference[row : row + 256], found[row : row + 256]
        total += float(np.square(a.astype(np.float32) - b.astype(np.float32)).sum(dtype=np.float64))
    peak = 255 if reference.dtype == np.uint8 else 65535
    return float("inf") if total == 0 else 10 * float(np.log10(peak**2 * reference.size / total))
