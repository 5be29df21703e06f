"""Where EM starts: a tree, and hidden states that already mean something.

    items -> mutual information -> Chow-Liu tree
    items -> k-means of what each variable's neighbours hold -> a state for each variable and item -> counts
    or a model that there is -> counts

The neighbours of a variable are those that tell most about it, weighted by how much. Counts of states that stand for
neighbourhoods are far better than random ones: EM starts where many passes would have led, and no two states are alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..entropy.circuit import Counts
from ..entropy.circuit_coding import CircuitCoding

__all__ = ["counts_of_model", "counts_of_states", "k_means", "starting_counts"]


def k_means(points: Tensor, clusters: int, generator: torch.Generator, rounds: int = 8) -> Tensor:
    """The centres [clusters, D] of points [N, D] after a few rounds; empty clusters move to random points."""
    device = points.device

    def some(count: int) -> Tensor:
        return points[torch.randint(len(points), (count,), generator=generator).to(device)]

    first = torch.randperm(len(points), generator=generator)[:clusters].to(device)
    centres = torch.cat([points[first], some(clusters - len(first))])
    for _ in range(rounds):
        nearest = closest(points, centres)
        size = torch.bincount(nearest, minlength=clusters)
        centres = torch.zeros_like(centres).index_add_(0, nearest, points) / size.clamp_min(1)[:, None]
        empty = size == 0
        centres[empty] = some(int(empty.sum()))
    return centres


def closest(points: Tensor, centres: Tensor) -> Tensor:
    """Which centre is nearest to each point: int64 [N]."""
    return torch.addmm((centres * centres).sum(1)[None], points, centres.t(), alpha=-2).argmin(1)


def counts_of_states(
    items: Tensor, states: Tensor, parent: int, v: int, hidden: int, levels: int
) -> tuple[Tensor, Tensor]:
    """Counts of one variable whose states are known. items: [N] its values; states: [V, N] -> [K, K], [L, K]."""
    own = states[v].long()
    if parent < 0:
        edges = torch.bincount(own, minlength=hidden).float().expand(hidden, hidden) / hidden
    else:
        edges = torch.bincount(states[parent].long() * hidden + own, minlength=hidden**2).float().view(hidden, hidden)
    return edges, torch.bincount(items.long() * hidden + own, minlength=levels * hidden).float().view(levels, hidden)


def starting_counts(
    items: Tensor,
    information: np.ndarray,
    parent: np.ndarray,
    group: np.ndarray,
    hidden: int,
    levels: int,
    *,
    neighbours: int = 40,
    sample: int = 8000,
    generator: torch.Generator,
    say: Callable[[str], None] = lambda _: None,
) -> Counts:
    """Counts to begin EM with. items: [N, V] below `levels`; information: [V, V]; hidden: states of each variable.

    neighbours: how many variables a variable's state is made of; sample: items that k-means sees.
    """
    variables, device = items.shape[1], items.device
    states = torch.empty((variables, len(items)), dtype=torch.int16, device=device)
    seen = items[torch.randperm(len(items), generator=generator)[:sample].to(device)]
    for v in range(variables):
        near = np.argsort(-information[v], kind="stable")[:neighbours]
        near = np.concatenate([[v], near[near != v]])
        weight = information[v][near] / max(information[v].max(), 1e-9)
        weight[0] = 1
        column = torch.from_numpy(near).to(device)
        scale = torch.from_numpy(np.sqrt(weight)).to(device, torch.float32) / levels
        centres = k_means(seen[:, column] * scale, hidden, generator)
        centres = centres[centres[:, 0].argsort()]  # by the variable's own value: alike where variables share emissions
        for low in range(0, len(items), 1 << 16):
            part = items[low : low + (1 << 16)]
            states[v, low : low + len(part)] = closest(part[:, column] * scale, centres).to(torch.int16)
        if v % 100 == 99:
            say(f"start: {v + 1} of {variables} variables")
    counts = Counts(
        torch.zeros(variables, hidden, hidden, device=device),
        torch.zeros(int(group.max()) + 1, levels, hidden, device=device),
        len(items),
    )
    for v in range(variables):
        edges, values = counts_of_states(items[:, v], states, int(parent[v]), v, hidden, levels)
        counts.transition[v] += edges
        counts.emission[group[v]] += values
    return counts


def counts_of_model(circuit: CircuitCoding, items: int) -> tuple[Counts, Tensor]:
    """What a circuit itself expects of so many items, to go on from it -> counts; a mask [V, K, K], False where it has
    no edge.
    """
    transition, emission = (torch.from_numpy(table) for table in circuit.probabilities())
    mask = transition > 0
    levels, states = emission.shape[2], emission.shape[1]
    counts = Counts(torch.zeros_like(transition), torch.zeros(len(emission), levels, states), items)
    usage = torch.zeros(circuit.variables, states)
    for v in circuit.order.tolist():
        above = int(circuit.parent[v])
        if above < 0:
            counts.transition[v, 0] = items * transition[v, 0]
        else:
            counts.transition[v] = usage[above][:, None] * transition[v]
        usage[v] = counts.transition[v].sum(0)
        counts.emission[circuit.group[v]] += usage[v] * emission[circuit.group[v]].t()
    return counts, mask
