"""The M step of circuits, and how they lose and gain parameters: expected counts in, distributions out.

    counts + prior -> maximise -> transition, emission        prune: the least used edges become exact zeros
                                                              grow: every state becomes two, a little different
                                                              narrow: variables that say little keep few states

Counts are in units of the whole training set. A mini-batch's are blended in, counts = (1 - a) counts + a N/n batch:
stepwise EM (Cappe and Moulines 2009), where a state that a batch does not visit keeps its parameters.

Priors are pseudocounts. A row of transitions is drawn to how often each of its columns is used at all; a state's
emissions to their own smoothed version: the counts of every level but the commonest spread over its neighbours, each
neighbour in proportion to how common it is, and a little of the variable's marginal.
Pruning and growing follow Dang, Liu, Van den Broeck, "Sparse Probabilistic Circuits via Pruning and Growing" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..entropy.circuit import Circuit, Counts

__all__ = ["Maximiser", "Smoothing", "grow", "narrow", "prune"]


@dataclass(frozen=True)
class Smoothing:
    """Pseudocounts. transition, emission: items that the prior of each row of a table weighs; width: standard deviation
    of the smoothing over levels; backoff: share of the variable's marginal in the prior of its emissions.
    """

    transition: float = 1.0
    emission: float = 50.0
    width: float = 6.0
    backoff: float = 0.05


class Maximiser:
    """Turns counts into parameters, in place of the last ones, so that no memory is taken at each step.

    histogram: [G, L], how often the variables of each group have each level in the training data.
    """

    def __init__(self, histogram: Tensor, smoothing: Smoothing):
        self.smoothing = smoothing
        histogram = histogram.float()
        groups, levels = histogram.shape
        self.common = histogram.argmax(1)
        """[G]: the commonest level of each group."""
        self.index = self.common[:, None]
        seen = histogram.sum(1, keepdim=True)
        top = histogram.gather(1, self.index)
        rest = histogram.scatter(1, self.index, 0.0)
        everywhere = rest.sum(0) + 1
        shape = rest + 50 * everywhere / everywhere.sum()
        shape = (shape / shape.sum(1, keepdim=True)).scatter(1, self.index, 0.0)
        shape /= shape.sum(1, keepdim=True)
        self.marginal = (shape * (seen - top + 0.5)).scatter(1, self.index, top + 0.5) / (seen + 1)
        """[G, L]: the distribution of each group, smoothed, without zeros."""
        distance = torch.arange(levels, device=histogram.device, dtype=torch.float32)
        distance = distance[:, None] - distance[None, :]
        self.kernel = torch.exp(-0.5 * (distance / smoothing.width) ** 2)
        self.shape = shape
        self.spread = (shape @ self.kernel).clamp_min_(1e-12)
        self._prior: Tensor | None = None

    def refresh(self, emission: Tensor) -> None:
        """Make the prior of the emissions anew from their counts [G, L, K]: it changes slowly, and takes a while."""
        states = emission.shape[2]
        index = self.index[:, :, None].expand(-1, 1, states)
        top = emission.gather(1, index)
        smooth = torch.matmul(self.kernel, emission.scatter(1, index, 0.0).div_(self.spread[:, :, None]))
        smooth.mul_(self.shape[:, :, None]).scatter_(1, index, top)
        total = smooth.sum(1, keepdim=True)
        weight = (1 - self.smoothing.backoff) * total / (total + 1e-3)
        smooth.mul_(weight / total.clamp_min(1e-20))
        self._prior = smooth.add_(self.marginal[:, :, None] * (1 - weight))

    def maximise(self, counts: Counts, circuit: Circuit, mask: Tensor | None = None) -> None:
        """Set the circuit's parameters. mask: [V, K, K], False where an edge was pruned. Call `refresh` first."""
        prior = self.smoothing
        transition, root = counts.transition, circuit.root
        used = transition.sum(1, keepdim=True)
        used = used + 1e-3 * used.mean(2, keepdim=True) + 1e-12
        used /= used.sum(2, keepdim=True)
        out = torch.add(transition, used, alpha=prior.transition, out=circuit.transition)
        out[root] = transition[root].sum(0) + prior.transition * used[root, 0]
        if mask is not None:
            out.mul_(mask)
        out.div_(out.sum(2, keepdim=True))
        if self._prior is None or self._prior.shape != counts.emission.shape:
            self.refresh(counts.emission)
        assert self._prior is not None
        out = torch.add(counts.emission, self._prior, alpha=prior.emission, out=circuit.by_level)
        out.div_(out.sum(1, keepdim=True))


def prune(counts: Counts, keep: float, root: int) -> Tensor:
    """Which transitions to keep: the share `keep` of those with the largest counts, and the largest of each row.

    Returns a mask [V, K, K]; sets the counts of the others to zero. The root's prior is kept whole.
    """
    flow = counts.transition
    number = max(1, round(keep * flow.numel()))
    threshold = flow.flatten().kthvalue(flow.numel() - number + 1).values
    mask = flow >= threshold.clamp_min(1e-20)
    mask.scatter_(2, flow.argmax(2, keepdim=True), True)
    mask[root] = True
    flow.mul_(mask)
    return mask


def narrow(counts: Counts, mask: Tensor | None, group: Tensor, shares: list[tuple[float, int]]) -> Tensor:
    """Leave variables that say little with few states: coding costs states times states for every variable.

    shares: (share, states): of the variables, ordered by the entropy of their levels, largest first, those up to
    `share` keep their `states` most used states. Returns a mask [V, K, K]; sets the counts of the others to zero.
    """
    p = counts.emission.sum(2)
    p = p / p.sum(1, keepdim=True)
    order = torch.special.entr(p).sum(1)[group].argsort(descending=True, stable=True)
    flow = counts.transition
    kept = torch.zeros(flow.shape[0], flow.shape[2], dtype=torch.bool, device=flow.device)
    begin = 0
    for share, states in shares:
        end = round(share * len(order))
        chosen = order[begin:end]
        most = flow[chosen].sum(1).topk(min(states, flow.shape[2]), 1).indices
        kept[chosen] = kept[chosen].scatter(1, most, True)
        begin = end
    narrowed = kept[:, None, :].expand_as(flow).clone()
    if mask is not None:
        narrowed &= mask
    flow.mul_(kept[:, None, :])
    best = (flow + 1e-12 * kept[:, None, :]).argmax(2, keepdim=True)
    return narrowed.scatter_(2, best, True)  # every row keeps an edge


def grow(counts: Counts, mask: Tensor | None, noise: float, generator: torch.Generator) -> tuple[Counts, Tensor | None]:
    """Every state becomes two that share its counts, up to factors exp(noise * normal); an edge becomes four."""

    def doubled(table: Tensor, dims: tuple[int, ...]) -> Tensor:
        for dim in dims:
            table = table.repeat_interleave(2, dim)
        factor = torch.randn(table.shape, generator=generator).mul_(noise).exp_().to(table.device)
        return table * factor / 2 ** len(dims)

    grown = Counts(doubled(counts.transition, (1, 2)), doubled(counts.emission, (2,)), counts.items)
    if mask is not None:
        mask = mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return grown, mask
