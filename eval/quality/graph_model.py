"""Networks in TensorFlow.js's form, as packages of npm ship them, run by torch.

    model.json (operations by name, shapes of weights) + weights.bin -> GraphModel -> outputs by name

A graph model is a list of operations, each of which names its inputs. The operations that convolutional networks are
made of are known here, and an unknown one is refused when the file is read; what an output does not need is not run.
Values lie as TensorFlow has them, [B, H, W, C]. `SAME` padding puts the odd pixel behind, and bilinear resizing takes
the corner of a pixel for its place (`half_pixel_centers` and `align_corners` both false), as TensorFlow 1 did.

Guarantees: what is computed depends on the two files alone; no code of theirs is run. float32 on the CPU.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GraphModel"]

_DTYPES = {"float32": np.float32, "int32": np.int32, "float16": np.float16}
_MOST_BYTES = 2**28
"""Of a file of weights."""


class GraphModel:
    """The network of a model.json and the weights that it names, which lie beside it. Raises InputError for what cannot
    be read, and for an operation on the way to `outputs` that is not known here.
    """

    def __init__(self, path: Path, outputs: tuple[str, ...]):
        try:
            model = json.loads(path.read_text())
            nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
            self._values = _weights(path.parent, model["weightsManifest"])
            self.outputs = outputs
            self._order = [nodes[name] for name in _needed(nodes, outputs)]
            self.inputs = tuple(node["name"] for node in self._order if node["op"] == "Placeholder")
            unknown = sorted({n["op"] for n in self._order} - {"Placeholder", "Const", *_OPERATIONS})
            if missing := [n["name"] for n in self._order if n["op"] == "Const" and n["name"] not in self._values]:
                raise InputError(f"{path}: has no weights for {missing[0]}")
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: cannot be read as a graph model of TensorFlow.js: {error!r}") from None
        if unknown:
            raise InputError(f"{path}: holds operations that are not known here: {', '.join(map(str, unknown))}")

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """inputs: float32 [B, H, W, C] each, in the order of `inputs`. Returns the outputs, in order. Raises InputError
        where shapes do not fit.
        """
        import torch

        if len(inputs) != len(self.inputs):
            raise InputError(f"the network takes {len(self.inputs)} inputs, not {len(inputs)}")
        given = dict(zip(self.inputs, inputs, strict=True))
        known: dict[str, Any] = {}
        try:
            with torch.inference_mode():
                for node in self._order:
                    name, operation = node["name"], node["op"]
                    if operation == "Placeholder":
                        known[name] = torch.from_numpy(np.ascontiguousarray(given[name], np.float32))
                    elif operation == "Const":
                        known[name] = torch.from_numpy(self._values[name])
                    else:
                        values = [known[source] for source in _sources(node)]
                        known[name] = _OPERATIONS[operation](node.get("attr", {}), *values)
                return [known[name].numpy() for name in self.outputs]
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise InputError(f"the network cannot be run: {' '.join(str(error).split())[:200]}") from None


def _sources(node: Mapping[str, Any]) -> list[str]:
    """The names of a node's inputs; what only has to come before it is left out."""
    return [source.partition(":")[0] for source in node.get("input", []) if not source.startswith("^")]


def _needed(nodes: Mapping[str, Any], outputs: tuple[str, ...]) -> list[str]:
    """The names of what the outputs need, each after what it needs itself. Raises InputError for a circle."""
    order: list[str] = []
    state: dict[str, bool] = {}
    stack = [(name, False) for name in reversed(outputs)]
    while stack:
        name, done = stack.pop()
        if done:
            state[name] = True
            order.append(name)
        elif name not in state:
            state[name] = False
            stack.append((name, True))
            stack += [(source, False) for source in _sources(nodes[name])]
        elif not state[name] and any(entry == (name, True) for entry in stack):
            raise InputError(f"the graph has a circle at {name}")
    return order


def _weights(folder: Path, manifest: list[Any]) -> dict[str, np.ndarray]:
    """Weights by name. Those that were halved to float16 or to integers of 8 or 16 bits are float32 again."""
    found: dict[str, np.ndarray] = {}
    for group in manifest:
        files = [folder / Path(str(name)).name for name in group["paths"]]
        if sum(file.stat().st_size for file in files) > _MOST_BYTES:
            raise InputError(f"{files[0]}: more than {_MOST_BYTES >> 20} MB of weights")
        data, at = b"".join(file.read_bytes() for file in files), 0
        for weight in group["weights"]:
            stored = weight.get("quantization", {})
            dtype = np.dtype(stored.get("dtype") or weight["dtype"]).newbyteorder("<")
            shape = tuple(map(int, weight["shape"]))
            size = dtype.itemsize * math.prod(shape)
            if dtype.name not in (*_DTYPES, "uint8", "uint16") or min(shape, default=1) < 0 or at + size > len(data):
                raise InputError(f"{files[0]}: does not hold the weights {weight['name']}")
            values = np.frombuffer(data, dtype, math.prod(shape), at).reshape(shape)
            if "scale" in stored:
                values = values * np.float64(stored["scale"]) + np.float64(stored.get("min", 0))
            found[weight["name"]] = np.array(values, _DTYPES[weight["dtype"]])
            at += size
    return found


# -- operations: attributes and values -> value


def _text(attributes: Mapping[str, Any], name: str) -> str:
    return base64.b64decode(attributes[name]["s"]).decode()


def _list(attributes: Mapping[str, Any], name: str) -> list[int]:
    return [int(n) for n in attributes.get(name, {}).get("list", {}).get("i", [])] or [1, 1, 1, 1]


def _padded(x: Tensor, attributes: Mapping[str, Any], window: tuple[int, int], value: float) -> Tensor:
    """[B, C, H, W] with the border that SAME asks for."""
    import torch

    if _text(attributes, "padding") == "VALID":
        return x
    strides, dilations = _list(attributes, "strides")[1:3], _list(attributes, "dilations")[1:3]
    borders: list[int] = []
    for axis in (1, 0):
        reach = (window[axis] - 1) * dilations[axis] + 1
        side = x.shape[2 + axis]
        total = max((-(-side // strides[axis]) - 1) * strides[axis] + reach - side, 0)
        borders += [total // 2, total - total // 2]
    return torch.nn.functional.pad(x, borders, value=value) if any(borders) else x


def _convolution(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor, *more: Tensor) -> Tensor:
    """kernel: [h, w, C, C']; more: the bias, where it is fused in."""
    return _convolved(attributes, x, kernel.permute(3, 2, 0, 1), 1, more)


def _depthwise(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor, *more: Tensor) -> Tensor:
    """kernel: [h, w, C, copies]."""
    height, width, channels, copies = kernel.shape
    return _convolved(attributes, x, kernel.reshape(height, width, 1, -1).permute(3, 2, 0, 1), channels, more)


def _convolved(
    attributes: Mapping[str, Any], x: Tensor, kernel: Tensor, groups: int, more: tuple[Tensor, ...]
) -> Tensor:
    import torch

    fused = [base64.b64decode(name).decode() for name in attributes.get("fused_ops", {}).get("list", {}).get("s", [])]
    if fused[:1] not in ([], ["BiasAdd"]) or any(name not in _ACTIVATIONS for name in fused[1:]):
        raise ValueError(f"a convolution fused with {', '.join(fused)}")
    x = _padded(x.permute(0, 3, 1, 2), attributes, (kernel.shape[2], kernel.shape[3]), 0.0)
    strides, dilations = _list(attributes, "strides")[1:3], _list(attributes, "dilations")[1:3]
    bias = more[0] if fused else None
    found = torch.nn.functional.conv2d(x, kernel, bias, tuple(strides), 0, tuple(dilations), groups).permute(0, 2, 3, 1)
    for name in fused[1:]:
        found = _ACTIVATIONS[name](found)
    return found


def _pooled(attributes: Mapping[str, Any], x: Tensor) -> Tensor:
    import torch

    window = (_list(attributes, "ksize")[1], _list(attributes, "ksize")[2])
    x = _padded(x.permute(0, 3, 1, 2), attributes, window, -math.inf)
    return torch.nn.functional.max_pool2d(x, window, tuple(_list(attributes, "strides")[1:3])).permute(0, 2, 3, 1)


def _resized(attributes: Mapping[str, Any], x: Tensor, size: Tensor) -> Tensor:
    import torch

    if any(attributes.get(name, {}).get("b") for name in ("align_corners", "half_pixel_centers")):
        raise ValueError("a way of resizing that is not known here")
    for axis, wanted in zip((1, 2), size.tolist(), strict=True):
        side = x.shape[axis]
        place = torch.arange(wanted, dtype=torch.float32) * (side / wanted)
        low = place.floor().long().clamp(max=side - 1)
        share = (place - low).reshape(-1, *[1] * (3 - axis))
        below, above = x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=side - 1))
        x = below + (above - below) * share
    return x


def _mean(attributes: Mapping[str, Any], x: Tensor, axes: Tensor) -> Tensor:
    return x.mean(tuple(axes.reshape(-1).tolist()), keepdim=bool(attributes.get("keep_dims", {}).get("b")))


def _joined(_: Mapping[str, Any], *values: Tensor) -> Tensor:
    import torch

    return torch.cat(values[:-1], int(values[-1]))


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"Relu": lambda x: x.relu(), "Relu6": lambda x: x.clamp(0, 6)}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "AddV2": lambda _, a, b: a + b,
    "BiasAdd": lambda _, a, b: a + b,
    "ConcatV2": _joined,
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "FusedDepthwiseConv2dNative": _depthwise,
    "Identity": lambda _, a: a,
    "MaxPool": _pooled,
    "Mean": _mean,
    "Mul": lambda _, a, b: a * b,
    "Relu": lambda _, a: a.relu(),
    "Relu6": lambda _, a: a.clamp(0, 6),
    "ResizeBilinear": _resized,
    "Sigmoid": lambda _, a: a.sigmoid(),
    "Sub": lambda _, a, b: a - b,
    "_FusedConv2D": _convolution,
}
