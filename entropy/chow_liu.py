"""Chow-Liu trees: which variable tells most about which, and the tree that keeps as much of that as a tree can.

    samples -> pairwise mutual information [V, V] -> maximum spanning tree -> root at its centre -> parents

The structure of a hidden Chow-Liu tree (entropy/circuit.py). A tree of the largest total mutual information is the best
tree there is for the likelihood (Chow and Liu 1968). Values are grouped into a few levels first: a few thousand samples
and 16 levels find the same tree as everything would. The tree is data of a model: nothing here has to be exact.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import InputError

__all__ = ["centre", "mutual_information", "spanning_tree", "tree_of"]


def mutual_information(samples: np.ndarray, levels: int, bins: int = 16, *, block: int = 4096) -> np.ndarray:
    """Mutual information of every pair of variables, in nats: float64 [V, V], symmetric, 0 on the diagonal.

    samples: integers [N, V] below `levels`. bins: equal ranges of levels that count as one value. block: columns of the
    one-hot matrix that are multiplied at once; it bounds the memory to block * V * bins numbers.
    Raises InputError for samples of another shape or none.
    """
    if samples.ndim != 2 or 0 in samples.shape:
        raise InputError(f"mutual information takes samples of shape [N, V], got {samples.shape}")
    count, variables = samples.shape
    bins = min(bins, levels)
    coarse = torch.from_numpy((samples.astype(np.int64) * bins) // levels)
    onehot = torch.nn.functional.one_hot(coarse, bins).to(torch.float32).view(count, variables * bins)
    single = onehot.mean(0, dtype=torch.float64).view(variables, bins)
    single_entropy = -torch.special.xlogy(single, single).sum(1)
    information = torch.zeros(variables, variables, dtype=torch.float64)
    rows = max(1, block // bins)
    for low in range(0, variables, rows):  # the upper half, a few rows at a time
        high = min(low + rows, variables)
        joint = onehot[:, low * bins : high * bins].t() @ onehot[:, low * bins :]  # whole numbers: exact in float32
        joint = joint.div_(count).view(high - low, bins, variables - low, bins)
        pair = -torch.special.xlogy(joint, joint).sum((1, 3), dtype=torch.float64)
        information[low:high, low:] = single_entropy[low:high, None] + single_entropy[None, low:] - pair
    information = information.triu(1).clamp_min_(0)
    information += information.t().clone()
    return information.numpy()


def spanning_tree(weight: np.ndarray) -> np.ndarray:
    """The edges of a maximum spanning tree, by Prim's algorithm: int64 [V - 1, 2]. weight: symmetric [V, V]."""
    variables = len(weight)
    best = weight[0].astype(np.float64).copy()
    nearest = np.zeros(variables, np.int64)
    best[0] = -np.inf
    outside = np.ones(variables, bool)
    outside[0] = False
    edges = np.empty((variables - 1, 2), np.int64)
    for step in range(variables - 1):
        new = int(np.argmax(np.where(outside, best, -np.inf)))
        edges[step] = nearest[new], new
        outside[new] = False
        closer = outside & (weight[new] > best)
        best[closer], nearest[closer] = weight[new][closer], new
    return edges


def _neighbours(edges: np.ndarray, variables: int) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(variables)]
    for a, b in edges.tolist():
        near[a].append(b)
        near[b].append(a)
    return near


def _walk(near: list[list[int]], root: int) -> tuple[np.ndarray, list[int]]:
    """Parents of all variables with this root, and the variables in order of their distance from it."""
    parent = np.full(len(near), -1, np.int64)
    order, seen = [root], {root}
    for v in order:
        for c in near[v]:
            if c not in seen:
                seen.add(c)
                parent[c] = v
                order.append(c)
    return parent, order


def centre(edges: np.ndarray, variables: int) -> int:
    """The middle of the tree's longest path: the root that makes the tree least deep."""
    near = _neighbours(edges, variables)
    end = _walk(near, 0)[1][-1]
    parent, order = _walk(near, end)
    path = [order[-1]]
    while parent[path[-1]] >= 0:
        path.append(int(parent[path[-1]]))
    return path[len(path) // 2]


def tree_of(edges: np.ndarray, variables: int) -> np.ndarray:
    """The parent of each variable, -1 for the root, which is the tree's centre: int64 [V]."""
    return _walk(_neighbours(edges, variables), centre(edges, variables))[0]
