"""Exact networks in torch, on a CPU or a GPU.

Registers are tensors [B, C, H, W], rows [B, C, 1, 1]. Only kernels that are plain sums are used: k x k layers are
unfold + matmul, never a convolution routine that may transform its operands (Winograd is not exact). Whatever the
program around has set (autocast, reduced precision, default device), the integers are the same: see `guard`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .guard import guarded
from .interpreter import Interpreter, clamped, place
from .program import Program, Step
from .run_numpy import NumpyRuntime

__all__ = ["TorchRuntime"]

_DTYPES = {np.float32: torch.float32, np.float64: torch.float64}
_INTEGERS = {np.uint8: torch.uint8, np.int32: torch.int32, np.int64: torch.int64}


class TorchRuntime(Interpreter):
    """device: as torch names it. Threads may share one."""

    def __init__(self, device: str, wide: bool = False):
        super().__init__(wide)
        self.device = torch.device(device)

    @guarded
    @torch.inference_mode()
    def run(self, program: Program, inputs: Any) -> dict[str, np.ndarray]:
        return super().run(program, inputs)

    def constants(self, step: Step, carrier: type) -> tuple[Any, ...]:
        arrays = NumpyRuntime.constants(self, step, carrier)  # type: ignore[arg-type]
        return tuple(None if a is None else torch.from_numpy(a).to(self.device) for a in arrays)

    _shifts = NumpyRuntime._shifts

    def input(self, array: np.ndarray, carrier: type, channels: int, low: int, high: int, row: int) -> Tensor:
        array = array.reshape(*array.shape[:2], 1, 1) if row else array
        if array.ndim != 4 or array.shape[1] != channels:
            raise ValueError(f"an input of {array.shape}, expected {channels} channels")
        safe = clamped(array.dtype, low, high)
        array = array if array.flags.writeable else array.copy()
        tensor = torch.from_numpy(array).to(self.device)
        if carrier is np.float32 and not safe:
            tensor = tensor.clamp(low, high)  # before float32 rounds what is large
        out = tensor.to(_DTYPES[carrier])
        return out.contiguous() if safe or carrier is np.float32 else out.clamp(low, high).contiguous()

    def carried(self, register: Tensor, carrier: type) -> Tensor:
        dtype = _DTYPES[carrier]
        return register if register.dtype is dtype else register.to(dtype)

    def output(self, register: Tensor, dtype: type[np.integer]) -> np.ndarray:
        return register.to(_INTEGERS[dtype]).cpu().numpy()

    # -- the operations: of (registers), mine (which of them may be overwritten), numbers, constants

    def constant(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return constants[0]

    def matmul(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        (weight, bias), a = constants, of[0]
        out = torch.empty((len(a), len(weight), *a.shape[2:]), dtype=a.dtype, device=a.device)
        for sums, flat in zip(out.flatten(2), a.flatten(2), strict=True):
            torch.addmm(bias, weight, flat, out=sums)
        return out.round_()  # a last bit, should a routine reassociate beyond plain sums within the bound's margin

    def depthwise(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        a, (weight, bias) = of[0], constants
        height, width = weight.shape[1:]
        ready = F.pad(a, (width // 2, width // 2, height // 2, height // 2))
        out = bias[:, None, None].expand(len(a), *a.shape[1:]).clone()
        for n in range(height * width):
            i, j = divmod(n, width)
            out.addcmul_(ready[:, :, i : i + a.shape[2], j : j + a.shape[3]], weight[:, i, j, None, None])
        return out

    def add(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.add(*of, out=place(of, mine))

    def multiply(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.mul(*of, out=place(of, mine))

    def divide(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.div(*of, out=place(of, mine)).floor_()

    def absolute(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.abs(of[0], out=place(of, mine))

    def shift(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        step, half = constants
        out = torch.mul(of[0], step, out=place(of, mine))
        return (out if half is None else out.add_(half)).floor_()

    def clamp(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.clamp(of[0], *numbers, out=place(of, mine))

    def table(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return constants[0][of[0].long()]

    def select(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return of[0][:, constants[0]]

    def join(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return torch.cat(of, 1)

    def window(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        a, (height, width, edge) = of[0], numbers
        if height == width == 1:
            return a if mine[0] else a.clone()
        pad = (width // 2, width // 2, height // 2, height // 2)
        ready = F.pad(a, pad, mode="replicate") if edge else F.pad(a, pad)
        return F.unfold(ready, (height, width)).unflatten(2, a.shape[2:])

    def spread(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return F.pixel_shuffle(of[0], *numbers)

    def fold(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        return F.pixel_unshuffle(of[0], *numbers)

    def move(self, of: list, mine: list, numbers: tuple, constants: tuple) -> Tensor:
        a, (dy, dx) = of[0], (v.long()[:, 0] for v in of[1:])
        h, w = a.shape[2:]
        rows = (torch.arange(h, device=a.device)[:, None] + dy).clamp_(0, h - 1)
        columns = (torch.arange(w, device=a.device) + dx).clamp_(0, w - 1)
        place = (rows * w + columns).flatten(1)[:, None].expand(-1, a.shape[1], -1)
        return a.flatten(2).gather(2, place).view_as(a)
