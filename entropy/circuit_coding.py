"""The hidden Chow-Liu tree frozen for coding: integer parameters, integer messages, one sweep over the tree.

    p(x) = sum_z p(z_root) prod_c A_c[z_parent, z_c] prod_i E_i[z_i, x_i]

    code(i, m):                    m: proportional to p(z_i, everything coded so far)
        code x_i with m E_i;  like = E_i[:, x_i];  m = m * like
        for each child c:          like_c = code(c, m A_c);  up = A_c like_c;  m = m * up;  like = like * up
        return like                proportional to p(x_i and all below | z_i)

This is sum-product message passing on a tree (Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988): two K x K
products an edge give all the conditional distributions that coding needs, depth first. The model is that of Liu, Mandt,
Van den Broeck, "Lossless Compression with Probabilistic Circuits" (ICLR 2022); their algorithm, which evaluates
cumulative probabilities bottom-up for each variable in turn, is not used here.

Exact on every machine. Parameters are integers below 2^20 with rows that sum to 2^20; messages are 24-bit integers,
divided by powers of two and rounded down after each product; sums stay below K 2^44 <= 2^53 and are carried in float64,
exact in any order of summation. A message that becomes zero everywhere (only hostile or degenerate data gets there) is
made uniform, and every symbol keeps a count of at least one, so that any data can be coded.

A symbol is coded in two steps, its block of 16 and its place there, so that a decoder never needs a whole distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CorruptFile, ModelError
from .arrays import Array, beside, doubled, emptied, exponent, filled, floored, largest, placed, power
from .circuit_codes import ONE, PARAMETER_BITS, ZERO, codes_of, parameters_of
from .coder import RowCoder
from .counts import COUNT_BITS, counts_of
from .digest import parse_digest
from .guard import guarded
from .packing import pack, unpack
from .place import place_of
from .runtime import runtime_of
from .tables import TOTAL

__all__ = ["BLOCK", "CircuitCoding", "depth_first"]

MESSAGE_BITS = 24
MAX_STATES = 512
"""K 2^(24 + 20) stays below 2^53."""
MAX_VARIABLES = 1 << 16
MAX_PARAMETERS = 1 << 27
"""As many codes, a byte each, are unpacked from a file at most. The circuit of MNIST has 2^26.6."""
BLOCK = 16
"""Symbols are coded as their block of BLOCK and the place in it."""


class CircuitCoding:
    """tensors: what `tensors` returns and a model file holds:

    parent: int32 [V], of each variable, -1 for the root; group: int32 [V], its table of emissions; states, levels:
    int32 [1]; transition, emission: uint8, the codes [V, K, K] (row: the parent's state; the root's rows are alike) and
    [G, K, levels], packed with xz. device: see `arrays.placed`. Raises ModelError when they do not make a circuit.
    Threads may share one.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        device: str = "cpu",
        accept: Callable[[CircuitCoding], None] = lambda _: None,
    ):
        """accept: looks at sizes and digest before the parameters take their 8 bytes each, and may raise."""
        try:
            names = ("parent", "group", "states", "levels", "transition", "emission")
            t = {name: np.ascontiguousarray(tensors[name]) for name in names}
        except KeyError as e:
            raise ModelError(f"the model lacks {e.args[0]}") from None
        for name, array in t.items():
            wanted = np.uint8 if name in ("transition", "emission") else np.int32
            if array.dtype != wanted or array.ndim != 1 or not len(array):
                raise ModelError(f"the model's {name} is {array.dtype} {list(array.shape)}, not {np.dtype(wanted)} [n]")
        self._packed = t
        self.parent, self.group = t["parent"].astype(np.int64), t["group"].astype(np.int64)
        self.states, self.levels = int(t["states"][0]), int(t["levels"][0])
        variables = len(self.parent)
        if not (1 <= self.states <= MAX_STATES and 2 <= self.levels <= 2**16 and variables <= MAX_VARIABLES):
            raise ModelError(f"a circuit of {variables} variables, {self.states} states and {self.levels} levels")
        if len(self.group) != variables or self.group.min() < 0 or self.group.max() >= variables:
            raise ModelError("the model's groups do not fit its variables")
        k, groups = self.states, int(self.group.max()) + 1
        if (count := variables * k * k + groups * k * self.levels) > MAX_PARAMETERS:
            raise ModelError(f"a circuit of {count} parameters, more than {MAX_PARAMETERS}")
        self.order, self.children = depth_first(self.parent)
        codes = self._unpacked()
        self._digest = parse_digest(
            {
                "block": BLOCK,
                "message": MESSAGE_BITS,
                "model": "hidden Chow-Liu tree 0",
                "parameter": PARAMETER_BITS,
                "weight": COUNT_BITS,
            },
            {**{n: a for n, a in t.items() if a.dtype == np.int32}, "transition": codes[0], "emission": codes[1]},
        )
        accept(self)
        runtime_of(device)  # whose sums are exact, or it raises
        self._device = place_of(device)
        self._tables = self._reached(codes[0], codes[1])

    def _reached(self, transition: np.ndarray, emission: np.ndarray) -> list[_Tables]:
        """The parameters of each variable, without the states that no path from the root reaches: their messages would
        be zero, and so change nothing.
        """
        blocks = -(-self.levels // BLOCK)
        reached = _reachable(self.parent, self.order, transition)
        for i in self.order.tolist():  # before memory is taken for any of them
            rows = [0] if self.parent[i] < 0 else reached[int(self.parent[i])]
            for codes in (transition[i][rows], emission[self.group[i]][reached[i]]):
                if (codes == ZERO).all(1).any():
                    raise ModelError("the model holds a row of parameters that are all zero")
        tables: list[_Tables] = [None] * self.variables  # type: ignore[list-item]
        for i in self.order.tolist():
            parent = int(self.parent[i])
            a = parameters_of(transition[i][[0] if parent < 0 else reached[parent]])
            padded = np.zeros((blocks * BLOCK, len(reached[i])), np.int32)
            padded[: self.levels] = parameters_of(emission[self.group[i]][reached[i]]).T
            sums = padded.reshape(blocks, BLOCK, -1).sum(1, dtype=np.float64)
            parts = np.ascontiguousarray(a[:, reached[i]]), padded, sums
            down, likelihood, by_block = (placed(part, self._device) for part in parts)
            tables[i] = _Tables(down, likelihood, by_block.T)
        return tables

    @classmethod
    def from_parameters(
        cls, parent: np.ndarray, group: np.ndarray, transition: np.ndarray, emission: np.ndarray
    ) -> CircuitCoding:
        """Freeze probabilities: parent, group [V]; transition [V, K, K], emission [G, K, L], non-negative, rows of any
        sum.

        Zero transitions stay zero; emissions do not fall below 2^-19. A row without mass becomes uniform. Raises
        ModelError.
        """
        transition, emission = (np.asarray(a, np.float64) for a in (transition, emission))
        if transition.ndim != 3 or emission.ndim != 3 or not all(np.isfinite(a).all() for a in (transition, emission)):
            raise ModelError("a circuit's parameters must be finite [V, K, K] and [G, K, L]")
        codes = codes_of(transition, keep=False), codes_of(emission, keep=True)
        _blank(np.asarray(parent), np.asarray(group), *codes)
        packed = {
            "parent": np.asarray(parent, np.int32),
            "group": np.asarray(group, np.int32),
            "states": np.array([transition.shape[1]], np.int32),
            "levels": np.array([emission.shape[2]], np.int32),
            "transition": pack(codes[0]),
            "emission": pack(codes[1]),
        }
        return cls(packed)

    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """What `from_parameters` was given, as the file has it: transition [V, K, K], emission [G, K, L], float32. Of
        states that no path from the root reaches nothing is kept.
        """
        transition, emission = (
            np.stack([(parameters_of(rows) / ONE).astype(np.float32) for rows in table]) for table in self._unpacked()
        )
        return transition, emission

    def _unpacked(self) -> tuple[np.ndarray, np.ndarray]:
        """The codes [V, K, K] and [G, K, L]."""
        k, groups = self.states, int(self.group.max()) + 1
        transition = unpack(self._packed["transition"], (self.variables, k, k), np.uint8)
        return transition, unpack(self._packed["emission"], (groups, k, self.levels), np.uint8)

    def tensors(self) -> dict[str, np.ndarray]:
        """What a model file stores; see the class."""
        return dict(self._packed)

    def digest(self) -> bytes:
        """The parse digest: 8 bytes over everything integer that decoding depends on."""
        return self._digest

    @property
    def variables(self) -> int:
        return len(self.parent)

    def bits(self, x: np.ndarray) -> np.ndarray:
        """x: [B, V] integers below `levels` -> the estimate -log2 p(x) of the frozen circuit, [B] float64."""
        meter = _Meter()
        self.traverse([meter], [len(x)], x)
        return meter.bits

    @guarded
    def traverse(self, coders: Sequence[RowCoder], sizes: Sequence[int], x: np.ndarray | None) -> np.ndarray:
        """Code items. coders: one for each chunk; sizes: items in each chunk; x: [sum of sizes, V] integers below
        `levels`, or None when the coders read -> the items, int32 [sum of sizes, V]. What a chunk decodes to does not
        depend on the others. Raises CorruptFile for data that no encoder writes.
        """
        count = sum(sizes)
        out = np.empty((self.variables, count), np.int32) if x is None else np.ascontiguousarray(x.T, np.int32)
        edges = np.cumsum([0, *sizes])
        walk = _Walk(self, coders, edges, out, x is None)
        root = int(self.order[0])
        start = self._tables[root].transition[np.zeros(count, np.int64)]
        stack = [walk.enter(root, _normalised(start))]
        while stack:
            top = stack[-1]
            if top.waiting:
                c = top.waiting.pop()
                down = _normalised(top.message @ self._tables[c].transition)
                if not top.waiting:
                    top.message = down[:0]  # of no use any more: trees can be deep
                stack.append(walk.enter(c, down))
            else:
                stack.pop()
                if stack:
                    walk.leave(top, stack[-1], is_root=len(stack) == 1)
        return out.T


@dataclass(frozen=True)
class _Tables:
    """One variable's parameters, of the states that are reached: k of its own, j of its parent's.

    transition: [j, k] float64; likelihood: [blocks * BLOCK, k] int32, a symbol's side by side, zero beyond the last
    symbol; blocks: [k, blocks] float64, sums over the symbols of each block.
    """

    transition: Array
    likelihood: Array
    blocks: Array


@dataclass
class _Visit:
    """A variable on the way down or up.

    message: [B, k], what is known of its state from outside of the children still to come; waiting: those children.
    like: [U, k], the likelihood of everything below so far, for each of the U different contents that items have there;
    which: [B], the row of each item. Most items share theirs with others: small subtrees, and large ones that are flat.
    """

    variable: int
    message: Array
    like: Array
    which: np.ndarray
    waiting: list[int]


@dataclass(frozen=True)
class _Walk:
    """What one traversal works on. out: [V, B] the values, written to if `reading`."""

    circuit: CircuitCoding
    coders: Sequence[RowCoder]
    edges: np.ndarray
    out: np.ndarray
    reading: bool

    def enter(self, i: int, message: Array) -> _Visit:
        """Code variable i of all items, message [B, k] being what is known of its state."""
        self._symbols(i, message)
        symbols, which = np.unique(self.out[i], return_inverse=True)
        like = doubled(self.circuit._tables[i].likelihood[beside(symbols, message)])
        waiting = self.circuit.children[i][::-1].tolist()
        if waiting:
            message *= like[beside(which, message)]
            message = _normalised(message)
        return _Visit(i, message, like, which, waiting)

    def leave(self, child: _Visit, parent: _Visit, is_root: bool) -> None:
        """Tell a parent what was found below one of its children."""
        table = self.circuit._tables[child.variable]
        up = _normalised(child.like @ table.transition.T)
        if parent.waiting:  # the message is of use to further children only
            parent.message *= up[beside(child.which, up)]
            parent.message = _normalised(parent.message)
        if not is_root:  # the likelihood to a parent only
            pairs, which = np.unique(parent.which * len(up) + child.which, return_inverse=True)
            mine, below = beside(pairs // len(up), up), beside(pairs % len(up), up)
            parent.like = _normalised(parent.like[mine] * up[below])
            parent.which = which

    def _symbols(self, i: int, message: Array) -> None:
        table, levels = self.circuit._tables[i], self.circuit.levels
        values = None if self.reading else self.out[i]
        given = None if values is None else values // BLOCK
        block = _code(counts_of(message @ table.blocks), given, self.coders, self.edges)
        found = np.unique(block).tolist()
        weights = emptied(message, BLOCK)
        for b in found:
            inside = doubled(table.likelihood[b * BLOCK : (b + 1) * BLOCK]).T
            if len(found) == 1:
                weights = message @ inside
            else:
                chosen = beside(np.flatnonzero(block == b), message)
                weights[chosen] = message[chosen] @ inside
        place = _code(counts_of(weights), None if values is None else values % BLOCK, self.coders, self.edges)
        if values is None:
            values = block * BLOCK + place
            if len(values) and int(values.max()) >= levels:
                raise CorruptFile("coded data does not decode: a symbol beyond the last")
            self.out[i] = values


def _normalised(message: Array) -> Array:
    """[B, k] non-negative integers -> the same in at most MESSAGE_BITS bits, the largest with all of them: divided by a
    power of two and rounded down. Rows of zeros become uniform. In place.
    """
    most = largest(message)
    message *= power(MESSAGE_BITS - exponent(most))
    message = floored(message)
    zero = most == 0
    return filled(message, zero, 2.0 ** (MESSAGE_BITS - 1)) if bool(zero.any()) else message


def _code(counts: np.ndarray, symbols: np.ndarray | None, coders: Sequence[RowCoder], edges: np.ndarray) -> np.ndarray:
    """Hand each chunk's rows to its coder. What has one symbol only is not coded."""
    if counts.shape[1] == 1:
        return np.zeros(len(counts), np.int32)
    out = np.empty(len(counts), np.int32) if symbols is None else symbols.astype(np.int32, copy=False)
    for coder, begin, end in zip(coders, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        out[begin:end] = coder.code_rows(counts[begin:end], None if symbols is None else out[begin:end])
    return out


class _Meter:
    """A coder that writes nothing and adds up -log2 of the counts, row by row."""

    def __init__(self) -> None:
        self.bits = np.zeros(0)

    def code_rows(self, counts: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None, "a meter cannot read"
        if not len(self.bits):
            self.bits = np.zeros(len(counts))
        self.bits += np.log2(TOTAL / counts[np.arange(len(counts)), symbols])
        return symbols


def depth_first(parent: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """parent: [V], -1 for the root -> (variables in depth-first order, children of each in the order of their numbers).

    Raises ModelError unless it is one tree.
    """
    variables = len(parent)
    roots = np.flatnonzero(parent == -1)
    if len(roots) != 1 or parent.min() < -1 or parent.max() >= variables:
        raise ModelError("the model's variables do not form one tree")
    by_parent = np.argsort(parent, kind="stable")
    starts = np.searchsorted(parent[by_parent], np.arange(variables + 1))
    children = [by_parent[starts[i] : starts[i + 1]] for i in range(variables)]
    order, stack = [], [int(roots[0])]
    while stack:
        i = stack.pop()
        order.append(i)
        stack += children[i][::-1].tolist()
    if len(order) != variables:  # a cycle beside the tree
        raise ModelError("the model's variables do not form one tree")
    return np.array(order), children


def _reachable(parent: np.ndarray, order: np.ndarray, transition: np.ndarray) -> dict[int, np.ndarray]:
    """The states of each variable that some path from the root leads to. transition: codes [V, K, K]."""
    reached: dict[int, np.ndarray] = {}
    for i in order.tolist():
        rows = transition[i][[0] if parent[i] < 0 else reached[int(parent[i])]]
        reached[i] = np.flatnonzero((rows != ZERO).any(0))
    return reached


def _blank(parent: np.ndarray, group: np.ndarray, transition: np.ndarray, emission: np.ndarray) -> None:
    """Overwrite the codes of what is never reached, which would only take space."""
    order, _ = depth_first(parent)
    used = np.zeros(emission.shape[:2], bool)
    reached = _reachable(parent, order, transition)
    for i in order.tolist():
        used[group[i], reached[i]] = True
        if parent[i] >= 0:
            lost = np.setdiff1d(np.arange(transition.shape[1]), reached[int(parent[i])])
            transition[i, lost] = ZERO
            transition[i, lost, 0] = 0
    emission[~used] = 0
