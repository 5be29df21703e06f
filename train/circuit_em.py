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


def prune(counts: Counts, keep: float, root: int, mask: Tensor | None = None) -> Tensor:
    """Which transitions to keep: the share `keep` of those with the largest counts, and the largest of each row.

    mask: those that there are. Returns a mask [V, K, K]; sets the counts of the others to zero. The root's prior stays.
    """
    flow = counts.transition
    number = max(1, round(keep * flow.numel()))
    threshold = flow.flatten().kthvalue(flow.numel() - number + 1).values
    kept = flow >= threshold.clamp_min(1e-20)
    best = flow if mask is None else flow + 1e-12 * mask
    kept.scatter_(2, best.argmax(2, keepdim=True), True)
    kept[root] = True if mask is None else mask[root]
    flow.mul_(kept)
    return kept


def narrow(counts: Counts, mask: Tensor | None, circuit: Circuit, shares: list[tuple[float, int]]) -> Tensor:
    """Leave variables that say little with few states: coding costs states times states for every variable.

    shares: (share, states): of the variables, ordered by the entropy of their levels, largest first, those up to
    `share` keep `states` states: ones that are used much and unlike each other, and the others' counts are added to
    those of the most alike. Alike are states with alike emissions and alike transitions to all children.
    Returns a mask [V, K, K]; changes the counts in place.
    """
    group = torch.from_numpy(circuit.group).to(circuit.device)
    levels = counts.emission.sum(2)
    entropy = torch.special.entr(levels / levels.sum(1, keepdim=True)).sum(1)[group]
    limit = torch.empty(len(group), dtype=torch.int64)
    begin, ordered = 0, entropy.argsort(descending=True, stable=True).cpu()
    for share, states in shares:
        end = round(share * len(ordered))
        limit[ordered[begin:end]] = states
        begin = end
    alone = torch.bincount(group)[group] == 1
    mask = torch.ones_like(counts.transition, dtype=torch.bool) if mask is None else mask.clone()
    for v in reversed(circuit.order):
        if limit[v] < circuit.states:
            below = [counts.transition[c] for c in circuit.children[v]]
            target = _merged(
                counts.transition[v].sum(0), [counts.emission[circuit.group[v]].t(), *below], int(limit[v])
            )
            counts.transition[v] = torch.zeros_like(counts.transition[v]).index_add_(1, target, counts.transition[v])
            mask[v] = torch.zeros_like(counts.transition[v]).index_add_(1, target, mask[v].float()) > 0
            for c in circuit.children[v]:
                counts.transition[c] = torch.zeros_like(counts.transition[c]).index_add_(
                    0, target, counts.transition[c]
                )
                mask[c] |= torch.zeros_like(counts.transition[c]).index_add_(0, target, mask[c].float()) > 0
            if alone[v]:
                table = counts.emission[circuit.group[v]]
                table.copy_(torch.zeros_like(table).index_add_(1, target, table))
    return mask


def _merged(usage: Tensor, tables: list[Tensor], limit: int) -> Tensor:
    """Which of at most `limit` states each state [K] becomes part of. tables: [K, n] counts of what follows from it."""
    distance = torch.zeros(len(usage), len(usage), device=usage.device)
    for table in tables:
        root = (table / table.sum(1, keepdim=True).clamp_min(1e-20)).sqrt()
        distance -= (root @ root.t()).clamp(1e-6, 1).log()  # Bhattacharyya
    distance.fill_diagonal_(0)
    kept = [int(usage.argmax())]
    nearest = distance[kept[0]].clone()
    while len(kept) < limit and float((worth := usage * nearest).max()) > 0:
        kept.append(int(worth.argmax()))
        nearest = torch.minimum(nearest, distance[kept[-1]])
    chosen = torch.tensor(kept, device=usage.device)
    target = chosen[distance[:, chosen].argmin(1)]
    target[chosen] = chosen
    return target


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
