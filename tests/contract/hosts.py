"""What a program around lecodec may have set in torch, as context managers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["HOSTS", "default_dtype", "everything", "reduced_products"]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def reduced_products() -> Iterator[None]:
    """What `torch.set_float32_matmul_precision` and the switches of oneDNN allow: products of 8 bits."""
    before = torch.get_float32_matmul_precision()
    switches = [getattr(torch.backends.mkldnn, name, None) for name in ("matmul", "conv")]
    values = [getattr(switch, "fp32_precision", None) for switch in switches]
    torch.set_float32_matmul_precision("medium")
    for switch, value in zip(switches, values, strict=True):
        if value is not None:
            switch.fp32_precision = "bf16"  # pyright: ignore
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        for switch, value in zip(switches, values, strict=True):
            if value is not None:
                switch.fp32_precision = value  # pyright: ignore


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def everything() -> Iterator[None]:
    with ExitStack() as stack:
        for hostile in (
            torch.autocast("cpu", dtype=torch.bfloat16),
            default_dtype(torch.bfloat16),
            reduced_products(),
            deterministic(),
            torch.inference_mode(),
            torch.device("meta"),
        ):
            stack.enter_context(hostile)
        yield


HOSTS = {
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default bfloat16": lambda: default_dtype(torch.bfloat16),
    "default float16": lambda: default_dtype(torch.float16),
    "default float64": lambda: default_dtype(torch.float64),
    "default device": lambda: torch.device("meta"),
    "reduced products": reduced_products,
    "deterministic": deterministic,
    "inference": torch.inference_mode,
    "everything": everything,
}
