"""Sizes of the mean-scale hyperprior, as a card has them: no library is needed to know them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from .hyperprior_coding import SCALES, USUAL_REACH

__all__ = ["KNOTS", "MAX_LEVELS", "HyperConfig"]

KNOTS = 16
"""Rows of an `IndexTable`, unless a model has more."""


MAX_LEVELS = 3
TABLES_ABOVE = 48
"""Laplacian tables of z in a nest: up to a scale of 14."""


@dataclass(frozen=True)
class HyperConfig:
    """Sizes of h_a and h_s."""

    latent: int = 192
    """M, channels of y."""
    width: int = 192
    """Channels of h_a and of h_s at 1/64 and 1/16 of the picture."""
    middle: int = 224
    """Channels of h_s at 1/32."""
    hyper: int = 96
    """Channels of z at 1/64."""
    tables: int = SCALES
    """Laplacian tables."""
    reach: int = USUAL_REACH
    """mu and what context sees of y_hat - mu_0 stay within +-2^reach, in units of 2^-MEAN_BITS."""
    knots: int = KNOTS
    """Rows of the tables of values that depend on the quality index."""
    levels: int = 1
    """Levels above y: z, and what is coded before it, each by a hyperprior of its own."""

    def entries(self) -> dict[str, int]:
        """What a model's card says of them: the sizes, and of the rest what is not as usual."""
        usual = {f.name: f.default for f in fields(self) if f.name in ("tables", "reach", "knots", "levels")}
        return {name: value for name, value in asdict(self).items() if value != usual.get(name)}

    @property
    def mean_range(self) -> tuple[int, int]:
        """The range of mu, in units of 2^-MEAN_BITS."""
        return -(2**self.reach), 2**self.reach - 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
        if self.levels > MAX_LEVELS:
            raise ValueError(f"levels are at most {MAX_LEVELS}, not {self.levels}")

    @property
    def above(self) -> HyperConfig | None:
        """Sizes of the hyperprior of z, as many channels everywhere; None: z is coded with tables alone."""
        if self.levels == 1:
            return None
        return HyperConfig(*[self.hyper] * 4, tables=TABLES_ABOVE, knots=self.knots, levels=self.levels - 1)

    def analysis_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor of h_a, computed: a file may claim sizes for which there is no memory."""
        m, w = self.latent, self.width
        layers = {
            "stem": (w, 4 * m, 1, 1),
            "mix2": (w, 1, 3, 3),
            "wide2": (w, w, 1, 1),
            "down": (w, 4 * w, 1, 1),
            "mix4": (w, 1, 3, 3),
            "wide4": (w, w, 1, 1),
            "head": (self.hyper, w, 1, 1),
        }
        weights = {f"{name}.weight": shape for name, shape in layers.items()}
        biases = {f"{name}.bias": shape[:1] for name, shape in layers.items()}
        own = {**weights, **biases, "gain_y.value": (self.knots, m), "gain_z.value": (self.knots, self.hyper)}
        above = {} if self.above is None else self.above.analysis_shapes()
        return {**own, **{f"above.{name}": shape for name, shape in above.items()}}
