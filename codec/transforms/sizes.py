"""Sizes of g_a and g_s of the image codec, as a card has them: no library is needed to know them.

    card -> TransformConfig -> shapes of tensors -> networks

The networks are in `image` (torch) and in `plain_image` (numpy).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...entropy.hyper_config import KNOTS

__all__ = ["LIMIT", "REACH", "STRIP", "TransformConfig", "middle_of"]

LIMIT = 16.0
"""Features between blocks stay within +-LIMIT. A block is a product of its inputs, so that what is larger than anything
in training would grow as a power of a power; photographs reach 7 (validation pictures)."""
REACH = 1
"""Rows and columns that a block looks at on each side of a position: its spatial convolution is 3 x 3."""
STRIP = 4096
"""Positions that a block works on at a time when it codes on the CPU: its widest tensor is then 5 to 10 MB."""

_UNUSUAL = ("block", "linear", "knots")
"""Fields that a card has only where they are not as usual."""


def middle_of(width: int) -> int:
    """Channels within a residual block of so many: as narrow as costs with 3x3 what a gated one does."""
    return max(1, 19 * width // 40)


def _pointwise_shapes(name: str, cin: int, cout: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a 1x1 convolution's tensors."""
    return {f"{name}.weight": (cout, cin), f"{name}.bias": (cout,)}


def _gated_shapes(width: int) -> dict[str, tuple[int, ...]]:
    return {
        **_pointwise_shapes("project_in", width, 2 * width),
        "depthwise.weight": (width, 1, 3, 3),
        "depthwise.bias": (width,),
        **_pointwise_shapes("project_out", width, width),
    }


def _residual_shapes(width: int) -> dict[str, tuple[int, ...]]:
    middle = middle_of(width)
    return {
        **_pointwise_shapes("project_in", width, middle),
        "spatial.weight": (middle, middle, 3, 3),
        "spatial.bias": (middle,),
        **_pointwise_shapes("project_out", middle, width),
    }


_BLOCKS: dict[str, Callable[[int], dict[str, tuple[int, ...]]]] = {"gated": _gated_shapes, "residual": _residual_shapes}
"""By the name of a block, width -> the shape of each of its tensors."""


@dataclass(frozen=True)
class TransformConfig:
    """Sizes of g_a and g_s. Both are symmetric, but for the number of blocks. Raises ValueError for sizes below 1 and
    for blocks that there are not.
    """

    channels: int = 3
    """Colour channels of the picture: 3 (RGB; grey pictures are coded as RGB with equal channels)."""
    width8: int = 160
    """Channels at 1/8 resolution."""
    width16: int = 320
    """Channels at 1/16 resolution."""
    latent: int = 192
    """M, channels of the latent y at 1/16 resolution."""
    analysis8: int = 3
    """Blocks of g_a at 1/8 resolution."""
    analysis16: int = 3
    """Blocks of g_a at 1/16 resolution."""
    synthesis8: int = 4
    """Blocks of g_s at 1/8 resolution."""
    synthesis16: int = 3
    """Blocks of g_s at 1/16 resolution."""
    block: str = "gated"
    """The kind of blocks: "gated" or "residual"."""
    linear: int = 0
    """1: a linear path in parallel with each transform, between blocks of 16 x 16 pixels and y; 0: none."""
    knots: int = KNOTS
    """Rows of the tables of gains that depend on the quality index."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "linear" else 1
            if name == "block":
                if value not in _BLOCKS:
                    raise ValueError(f"block is one of {', '.join(_BLOCKS)}, not {value!r}")
            elif not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")

    @property
    def most_blocks(self) -> int:
        """Blocks in the longest chain of them."""
        return max(self.analysis8, self.analysis16, self.synthesis8, self.synthesis16)

    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """By network, "g_a" and "g_s", the shape of each tensor of its state: computed, so that no memory is taken for
        networks of sizes that a file only claims. There are as many names as blocks ask for.
        """
        planes, w8, w16, m = 64 * self.channels, self.width8, self.width16, self.latent
        g_a = {
            **_pointwise_shapes("stem", planes, w8),
            **self._chain("blocks8", self.analysis8, w8),
            "gain8.value": (self.knots, w8),
            **_pointwise_shapes("down", 4 * w8, w16),
            **self._chain("blocks16", self.analysis16, w16),
            **_pointwise_shapes("head", w16, m),
            "gain_y.value": (self.knots, m),
        }
        g_s = {
            "gain_y.value": (self.knots, m),
            **_pointwise_shapes("stem", m, w16),
            **self._chain("blocks16", self.synthesis16, w16),
            **_pointwise_shapes("up", w16, 4 * w8),
            "gain8.value": (self.knots, w8),
            **self._chain("blocks8", self.synthesis8, w8),
            **_pointwise_shapes("head", w8, planes),
        }
        if self.linear:
            g_a |= _pointwise_shapes("linear", 4 * planes, m)
            g_s |= _pointwise_shapes("linear", m, 4 * planes)
        return {"g_a": g_a, "g_s": g_s}

    def _chain(self, name: str, count: int, width: int) -> dict[str, tuple[int, ...]]:
        """The shapes of a chain of blocks."""
        own = _BLOCKS[self.block](width)
        return {f"{name}.{n}.{part}": shape for n in range(count) for part, shape in own.items()}

    def entries(self) -> dict[str, Any]:
        """What a model's card says of them: the sizes, and of the blocks what is not as usual."""
        usual = {f.name: f.default for f in fields(self) if f.name in _UNUSUAL}
        return {name: value for name, value in asdict(self).items() if value != usual.get(name)}
