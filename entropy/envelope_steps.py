"""The context networks of `envelope_coding` for a reader: what is known before y is, at once; the rest frame by frame.

    envelope, features, y of the other channel --known--> sums of the hidden layer, of all frames at once
    |y| of the two frames before and of lower groups, those sums --step--> tables of a group in one frame

The first layer is one sum of products, cut in two: the integers are those of the whole. Positions of these programs are
the segments that are read together, so that a step of all of them is one small product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bands import BANDS, GROUPS, LOWER, PAST
from .coder import Coder
from .program import Builder, Program
from .runtime import Runtime
from .tables import TableSet

__all__ = ["ContextSteps", "GroupSteps", "known_program", "split_inputs"]


@dataclass(frozen=True)
class GroupSteps:
    """The two programs of a group of bins."""

    known: Program
    step: Program


def split_inputs(group: int) -> int:
    """How many of the inputs of a group's context are known from what is read already: those of `step` come first."""
    (a, b), (c, d) = PAST[group], LOWER[group]
    return 2 * (b - a) + (d - c)


def known_program(
    weight: np.ndarray, group: int, features: int, seen: int, levels: tuple[int, int], most: int
) -> Program:
    """weight: of the context's first layer. seen: the largest of what contexts see; levels: the range of the envelope;
    most: of the features.
    """
    b, first = Builder(), split_inputs(group)
    other = b.input("other", GROUPS[group + 1] - GROUPS[group] + 1, 0, seen)
    envelope = b.input("envelope", BANDS, *levels)
    more = b.input("features", features, 0, most)
    part = weight[:, first:]
    return b.program(sums=b.matmul(b.join(other, envelope, more), part, np.zeros(len(part), np.int64)))


@dataclass(frozen=True)
class ContextSteps:
    """steps: of each group; seen: what contexts see of |y| up to its last entry."""

    steps: Sequence[GroupSteps]
    seen: np.ndarray
    tables: TableSet
    limit: int

    def read(
        self,
        coders: Sequence[Coder],
        bins: int,
        inputs: dict[str, np.ndarray],
        rows: Sequence[dict[str, np.ndarray]],
        start: np.ndarray,
        runtime: Runtime,
    ) -> np.ndarray:
        """Read y of a channel. coders: one for each of B segments; inputs: of `known`, [B, C, 1, t], `other` with all
        bins and its flag as the last; rows: gain and offset of each group, [1, C]; start: table numbers without
        context, [B, BINS, 1, t] -> [B, bins, t] int32.
        """
        batch, frames = len(coders), start.shape[-1]
        used = [g for g in range(len(GROUPS) - 1) if GROUPS[g] < bins]
        known = [self._known(g, inputs, runtime) for g in used]
        at_start = np.ascontiguousarray(start[:, :, 0].transpose(2, 1, 0))  # [t, BINS, B]
        y = np.zeros((frames, bins, batch), np.int32)
        seen = np.zeros((frames + 2, GROUPS[-1], batch), np.int16)
        top = len(self.seen) - 1
        for j in range(frames):
            before, further, here = seen[j + 1], seen[j], seen[j + 2]
            for g in used:
                (a, b), (c, d) = PAST[g], LOWER[g]
                first, stop = GROUPS[g], min(GROUPS[g + 1], bins)
                found = runtime.run(
                    self.steps[g].step,
                    {
                        "seen": np.concatenate([before[a:b], further[a:b], here[c:d]])[None, :, None],
                        "sums": known[g][j][None, :, None],
                        "t": at_start[j, first : GROUPS[g + 1]][None, :, None],
                        **rows[g],
                    },
                )["t"][0, : stop - first, 0]
                columns = np.ascontiguousarray(found.T)
                values = np.stack(
                    [coder.code(self.tables, column, None) for coder, column in zip(coders, columns, strict=True)], 1
                )
                np.maximum(np.minimum(values, self.limit, out=values), -self.limit, out=values)
                y[j, first:stop] = values
                here[first:stop] = self.seen[np.minimum(np.abs(values), top)]
        return np.ascontiguousarray(y.transpose(2, 1, 0))

    def _known(self, g: int, inputs: dict[str, np.ndarray], runtime: Runtime) -> np.ndarray:
        """The sums of a group in all frames: [t, hidden, B]."""
        own = [*range(GROUPS[g], GROUPS[g + 1]), GROUPS[-1]]
        sums = runtime.run(self.steps[g].known, {**inputs, "other": inputs["other"][:, own]})["sums"]
        return np.ascontiguousarray(sums[:, :, 0].transpose(2, 1, 0))
