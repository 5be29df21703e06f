"""Hidden Chow-Liu trees: a distribution over V variables of L values each, with K hidden states for every variable.

    p(x) = sum over z of  prod_v  transition[v][z_parent(v), z_v] * emission[group(v)][z_v, x_v]

Here is what training needs: the likelihood, the expected counts of EM and its M step, pruning and growing, in float32,
on a CPU or a GPU. Coding has integers of its own (entropy/circuit_coding.py), made from these parameters.

The way up sends lambda_v = p(values of v's subtree | z_v) to the parent, the way down sends the posterior of z_v to the
children: classical message passing on a tree (Pearl 1988), scaled at every variable so that float32 suffices.
Items often have large parts that are alike, paper around a digit. Where all of a subtree has each variable's commonest
value, its message up is the same for every item: one row, the first, stands for all of them, and the messages down to
them are added up before they are passed on. That is exact, and saves three quarters of the work on MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .circuit_coding import depth_first

__all__ = ["Circuit", "Counts"]

ROWS = 64
"""Messages are computed for multiples of so many items, or for all of the parent's."""
TINY = 1e-30
"""Divisors are at least this: messages that are zero stay zero."""


@dataclass
class Counts:
    """Expected counts of some items, the sufficient statistics of EM. They add up over items."""

    transition: Tensor
    """float32 [V, K, K]: how often the parent was in the row's state and the variable in the column's."""
    emission: Tensor
    """float32 [G, L, K]: how often a variable of the group had the value and was in the state."""
    items: float = 0.0

    def scale_(self, factor: float) -> Counts:
        self.transition.mul_(factor)
        self.emission.mul_(factor)
        self.items *= factor
        return self

    def add_(self, other: Counts, factor: float = 1.0) -> Counts:
        self.transition.add_(other.transition, alpha=factor)
        self.emission.add_(other.emission, alpha=factor)
        self.items += factor * other.items
        return self


class Circuit:
    """The parameters of a hidden Chow-Liu tree and what is computed with them.

    parent: [V], -1 for the root. group: [V], which emission table each variable has. transition: [V, K, K], rows sum
    to 1 and belong to the parent's states; the root has its prior in every row. emission: [G, K, L], rows sum to 1.
    common: [V] the commonest value of each variable (default: 0); mask: [V, K, K], False where transitions are zero for
    good (default: nowhere). Only speed depends on these two: states that no path from the root reaches are left out.
    Raises InputError for shapes that do not fit each other and ModelError for parents that are not a tree.
    """

    def __init__(
        self,
        parent: np.ndarray,
        group: np.ndarray,
        transition: Tensor,
        emission: Tensor,
        common: np.ndarray | None = None,
        mask: Tensor | None = None,
    ):
        self.parent = np.asarray(parent, np.int64)
        self.group = np.asarray(group, np.int64)
        order, children = depth_first(self.parent)
        self.order: list[int] = order.tolist()
        self.children: list[list[int]] = [c.tolist() for c in children]
        self.root = self.order[0]
        variables = len(self.parent)
        self.transition = transition
        self.by_level = emission.transpose(1, 2).contiguous()
        """The emissions as [G, L, K]: a value's row is contiguous."""
        self.common = np.zeros(variables, np.int64) if common is None else np.asarray(common, np.int64)
        groups, self.states, self.levels = emission.shape
        if transition.shape != (variables, self.states, self.states) or len(self.group) != variables:
            raise InputError(f"{variables} variables do not fit transitions {tuple(transition.shape)}")
        if not 0 <= self.group.min() <= self.group.max() < groups or len(self.common) != variables:
            raise InputError(f"variables have the groups {self.group.min()} to {self.group.max()}, of {groups}")
        self.reached = _reached(self.parent, self.order, mask)
        """[V] of: the states of each variable that can be reached, None: all of them."""

    @property
    def emission(self) -> Tensor:
        """[G, K, L], a view."""
        return self.by_level.transpose(1, 2)

    @property
    def device(self) -> torch.device:
        return self.transition.device

    def to(self, device: torch.device | str) -> Circuit:
        """The same circuit on another device."""
        moved = Circuit(self.parent, self.group, self.transition.to(device), self.emission.to(device), self.common)
        moved.reached = [None if r is None else r.to(device) for r in self.reached]
        return moved

    def no_counts(self) -> Counts:
        """Counts of no items."""
        return Counts(torch.zeros_like(self.transition), torch.zeros_like(self.by_level))

    # -- messages

    @torch.no_grad()
    def log_likelihood(self, items: Tensor, *, block: int = 1024) -> Tensor:
        """Natural logarithm of the probability of each item: float64 [N] of integers [N, V], `block` at a time."""
        tables = self._tables()
        return torch.cat([_Pass(self, part, *tables).likelihood() for part in items.split(block)])

    @torch.no_grad()
    def count(self, items: Tensor, counts: Counts, *, block: int = 1024) -> Tensor:
        """Add the expected counts of items [N, V] to `counts`; returns their log-likelihoods, float64 [N]."""
        transitions, emissions = self._tables()
        inside = [torch.zeros_like(t) for t in transitions]
        seen = [
            counts.emission[g] if r is None else torch.zeros_like(e)
            for g, r, e in zip(self.group, self.reached, emissions, strict=True)
        ]
        values = []
        for part in items.split(block):
            run = _Pass(self, part, transitions, emissions)
            values.append(run.likelihood())
            run.count(inside, seen)
        for v, (found, transition) in enumerate(zip(inside, transitions, strict=True)):
            found.mul_(transition)
            above, own = None if v == self.root else self.reached[self.parent[v]], self.reached[v]
            if own is not None:
                counts.emission[self.group[v]].index_add_(1, own, seen[v])
                found = torch.zeros(len(found), self.states, dtype=found.dtype, device=found.device).index_add_(
                    1, own, found
                )
            if above is None:
                counts.transition[v, : len(found)].add_(found)
            else:
                counts.transition[v].index_add_(0, above, found)
        counts.items += len(items)
        return torch.cat(values)

    def _tables(self) -> tuple[list[Tensor], list[Tensor]]:
        """[V] of: transitions [j, k] and emissions [L, k] of the states that are reached, the root's with j = 1."""
        transitions, emissions = [], []
        for v, own in enumerate(self.reached):
            transition, emission = self.transition[v], self.by_level[self.group[v]]
            above = None if v == self.root else self.reached[self.parent[v]]
            transition = transition[:1] if v == self.root else transition
            transition = transition if above is None else transition.index_select(0, above)
            transitions.append(transition if own is None else transition.index_select(1, own))
            emissions.append(emission if own is None else emission.index_select(1, own))
        return transitions, emissions


class _Pass:
    """One block of items on its way up and down. Row 0 of every message stands for all items not listed in `rows`."""

    def __init__(self, circuit: Circuit, items: Tensor, transitions: list[Tensor], emissions: list[Tensor]):
        c, device = circuit, circuit.device
        self.transitions, self.emissions = transitions, emissions
        self.circuit, self.size = c, len(items)
        common = torch.from_numpy(c.common).to(device)
        self.values = torch.cat([common[None], items.to(device).long()]).t().contiguous()
        active = self.values != common[:, None]
        active[:, 0] = True
        for v in reversed(c.order[1:]):
            active[c.parent[v]] |= active[v]
        number = active.sum(1).tolist()
        for v in c.order:  # more rows than needed do no harm: few different sizes, for which kernels are made once
            within = active[c.parent[v]] if v != c.root else torch.ones_like(active[v])
            lacking = -number[v] % ROWS
            if lacking:
                active[v, (within & ~active[v]).nonzero().squeeze(1)[:lacking]] = True
        place = active.cumsum(1) - 1
        self.rows = [row.nonzero().squeeze(1) for row in active]
        """[V] of: the items, counted from 1, with a message of their own."""
        self.within = [place[c.parent[v]][self.rows[v]] for v in range(len(c.parent))]
        """[V] of: where these are among the rows of the parent."""
        self.own: list[Tensor] = [torch.empty(0)] * len(c.parent)
        self.up: list[Tensor] = [torch.empty(0)] * len(c.parent)

    def likelihood(self) -> Tensor:
        """The way up; returns the log-likelihood of each item, float64."""
        c = self.circuit
        total = torch.zeros(self.size + 1, dtype=torch.float64, device=c.device)
        for v in reversed(c.order):
            rows = self.rows[v]
            own = self.emissions[v].index_select(0, self.values[v].index_select(0, rows))
            scale = None
            for number, child in enumerate(c.children[v]):
                if number % 4 == 3:  # before the product of many messages underflows
                    scale = _rescale(own, scale)
                up = self.up[child]
                if len(up) == len(own):
                    own.mul_(up)
                else:
                    own.mul_(up[0].repeat(len(own), 1).index_copy_(0, self.within[child], up))
            scale = _rescale(own, scale)
            self.own[v] = own
            self.up[v] = own @ self.transitions[v].t()
            if v == c.root:
                scale += self.up[v].clamp_min(TINY).log()
            logs = scale.squeeze(1).double()
            total += logs[0]
            total.index_add_(0, rows, logs - logs[0])
        return total[1:]

    def count(self, inside: list[Tensor], seen: list[Tensor]) -> None:
        """The way down, after `likelihood`. Adds to `inside` what has to be multiplied by the transitions to be their
        expected counts, and to `seen` the expected counts of emissions.
        """
        c = self.circuit
        posterior: dict[int, Tensor] = {}
        waiting = [len(children) for children in c.children]
        for v in c.order:
            own, up = self.own[v], self.up[v].clamp_min_(TINY)
            if v == c.root:
                message = 1 / up
                message[0] *= self.size + 1 - len(own)
            else:
                p = int(c.parent[v])
                above = posterior[p]
                if len(own) == len(above):
                    message = above / up
                else:
                    message = above.index_select(0, self.within[v])
                    others = torch.ones(len(above), dtype=above.dtype, device=c.device)
                    others[self.within[v][1:]] = 0
                    message[0] = others @ above
                    message.div_(up)
                waiting[p] -= 1
                if not waiting[p]:
                    del posterior[p]
            inside[v].addmm_(message.t(), own)
            mine = torch.mm(message, self.transitions[v]).mul_(own)
            seen[v].index_add_(0, self.values[v].index_select(0, self.rows[v]), mine)
            if waiting[v]:
                posterior[v] = mine
            self.own[v] = self.up[v] = torch.empty(0)


def _rescale(message: Tensor, logarithm: Tensor | None) -> Tensor:
    """Divide each row by its largest entry, in place; returns `logarithm` plus what was divided by, [n, 1]."""
    scale = message.amax(1, keepdim=True).clamp_min_(TINY)
    message.div_(scale)
    scale.log_()
    return scale if logarithm is None else scale.add_(logarithm)


def _reached(parent: np.ndarray, order: list[int], mask: Tensor | None) -> list[Tensor | None]:
    """The states of each variable that a path from the root leads to, None: all."""
    reached: list[Tensor | None] = [None] * len(parent)
    if mask is None:
        return reached
    for v in order:
        above = None if parent[v] < 0 else reached[parent[v]]
        edges = mask[v, :1] if parent[v] < 0 else mask[v] if above is None else mask[v].index_select(0, above)
        found = edges.any(0)
        reached[v] = None if bool(found.all()) else found.nonzero().squeeze(1)
    return reached
