"""Networks of a user's own: from torchvision, torchaudio, an ONNX file or a Python function, with the user's weights.

    samples -> preprocessing -> network -> array, or text

Pictures become float32 [1, 3, H, W] (or [1, H, W, 3]): resized, cropped in the middle, divided by `scale`, normalised.
Sounds become float32 [1, T] (or [1, 1, T]) as they are. A function gets the samples themselves if nothing is asked for,
and the same tensors, as numpy arrays, if a preprocessing is. Of several outputs the first counts, of a dictionary the
one called `out` (torchvision's segmentation networks) or `logits`.

Nothing is downloaded: builders are called with weights=None, and weights are a state dict in a file (no pickle).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import CodecError, InputError
from ..codecs.plugins import guarded, plugin_object
from ..quality.packaged import file_digest, load_state, machine_extra, onnx_session

__all__ = ["CustomNetwork", "NetworkSpec", "Preprocess", "Strict"]

_KINDS = ("torchvision", "torchaudio", "onnx", "callable")


class Strict(BaseModel):
    """Immutable, without fields that are not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSpec(Strict):
    """Exactly one of the first four. Paths are relative to the YAML file."""

    torchvision: str | None = None
    """A builder of torchvision.models, e.g. resnet50."""
    torchaudio: str | None = None
    """A builder of torchaudio.models, e.g. wav2vec2_base."""
    onnx: Path | None = None
    callable: str | None = None
    """MODULE:NAME or FILE.py:NAME: takes samples, returns an array or a text."""
    weights: Path | None = None
    """The state dict of a builder's network."""
    arguments: dict[str, Any] = {}
    """Arguments of the builder, or of the function besides the samples."""

    @model_validator(mode="after")
    def _consistent(self) -> NetworkSpec:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_KINDS)}, found {', '.join(given) or 'none'}")
        if (self.weights is not None) != (given[0] in ("torchvision", "torchaudio")):
            raise ValueError(f"weights belong to torchvision and torchaudio networks, always; this one is {given[0]}")
        if self.arguments and self.onnx is not None:
            raise ValueError("an ONNX file takes no arguments")
        if {"weights", "weights_backbone", "pretrained"} & set(self.arguments):
            raise ValueError("weights come from a file, not from the builder's arguments: nothing is downloaded")
        return self

    @property
    def kind(self) -> str:
        """Which one."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)


class Preprocess(Strict):
    """In this order. Nothing here: samples / scale."""

    resize: int | None = Field(default=None, ge=1)
    """The short side, pixels, bicubic."""
    size: tuple[int, int] | None = None
    """Height and width instead, bicubic, whatever the proportions."""
    crop: int | None = Field(default=None, ge=1)
    """Side of the square in the middle."""
    grey: bool = False
    """One channel, luma of ITU-R BT.601."""
    scale: float = Field(default=255.0, gt=0)
    mean: list[float] = []
    std: list[float] = []
    """The mean of the channels, after `scale`."""
    layout: Literal["NCHW", "NHWC", "NT", "NCT"] | None = None
    """NCHW or NHWC of pictures, NT or NCT of sounds; the first ones by default."""

    @model_validator(mode="after")
    def _consistent(self) -> Preprocess:
        if self.resize is not None and self.size is not None:
            raise ValueError("give resize or size, not both")
        if self.size is not None and min(self.size) < 1:
            raise ValueError("a size is at least 1 x 1")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in ((0, 1) if self.grey else (0, 1, 3)):
                raise ValueError(f"{name} has one number a channel, or one for all")
        if any(value <= 0 for value in self.std):
            raise ValueError("std is above 0")
        return self

    def picture(self, samples: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> float32 [1, C, H, W] or [1, H, W, C]. Raises InputError when it is smaller than `crop`."""
        height, width = samples.shape[:2]
        size = self.size
        if self.resize is not None:
            factor = self.resize / min(height, width)
            size = (round(height * factor), round(width * factor))
        image = Image.fromarray(samples)
        if size is not None and size != (height, width):
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        x = np.asarray(image.convert("L"))[:, :, None] if self.grey else np.asarray(image)
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in x.shape[:2])
            if min(top, left) < 0:
                raise InputError(f"the network looks at {self.crop} x {self.crop} pixels, found {list(x.shape[:2])}")
            x = x[top : top + self.crop, left : left + self.crop]
        x = x.astype(np.float32) / np.float32(self.scale)
        x = (x - np.array(self.mean or [0], np.float32)) / np.array(self.std or [1], np.float32)
        return np.ascontiguousarray(x[None] if self.layout == "NHWC" else x.transpose(2, 0, 1)[None])

    def sound(self, samples: np.ndarray) -> np.ndarray:
        """float32 [T] -> [1, T] or [1, 1, T]."""
        return samples[None, None] if self.layout == "NCT" else samples[None]


class CustomNetwork:
    """What a `NetworkSpec` names. Its weights are loaded when it is first called, once in a process.

    description: what it is, with digests of weights or source, without paths.
    """

    def __init__(self, spec: NetworkSpec, preprocess: Preprocess | None, folder: Path, media: str):
        """folder: what paths are relative to. Raises InputError: not installed, no such builder, file or function."""
        self._spec, self._folder, self._media = spec, folder, media
        self._preprocess = preprocess
        self._run: Callable[[np.ndarray], Any] | None = None
        arguments = f" {json.dumps(spec.arguments, sort_keys=True)}" if spec.arguments else ""
        if spec.onnx is not None:
            machine_extra("onnxruntime")
            what = f"ONNX {spec.onnx.name} {file_digest(folder / spec.onnx)}"
        elif spec.callable is not None:
            _, shown, digest = plugin_object(self._callable())
            what = f"{shown}, source digest {digest}{arguments}"
        else:
            _builder(spec)
            assert spec.weights is not None  # NetworkSpec says so
            weights = f"weights {file_digest(folder / spec.weights)}"
            what = f"{spec.kind} {getattr(spec, spec.kind)}{arguments}, {weights}"
        changed = {} if preprocess is None else preprocess.model_dump(exclude_defaults=True)
        self.description = what + (f", {json.dumps(changed, sort_keys=True)}" if changed else "")

    def __call__(self, samples: np.ndarray) -> np.ndarray | str:
        """Its output for samples like an item's. Raises CodecError when it fails, InputError when it cannot be made."""
        if self._run is None:
            self._run = self._load()
        if self._spec.callable is not None and self._preprocess is None:
            x = samples.copy()
        else:
            how = self._preprocess or Preprocess()
            x = how.picture(samples) if self._media == "image" else how.sound(samples)
        output = _first(guarded(CodecError, f"the network failed on {x.dtype} {list(x.shape)}", self._run, x))
        if isinstance(output, str):
            return output
        try:
            array = np.asarray(output.detach().cpu() if hasattr(output, "detach") else output)
        except (TypeError, ValueError):
            array = np.empty(0, object)
        if array.dtype.kind not in "fiub":
            raise InputError(f"the network should return numbers or a text, found {type(output).__name__}")
        if not np.isfinite(array).all():
            raise InputError("the network returned numbers that are not finite")
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None}  # another process loads its own

    def _callable(self) -> str:
        where, _, name = str(self._spec.callable).rpartition(":")
        if not where:
            raise InputError(f"a callable is MODULE:NAME or FILE.py:NAME, found {self._spec.callable!r}")
        return f"{self._folder / where if where.endswith('.py') else where}:{name}"

    def _load(self) -> Callable[[np.ndarray], Any]:
        spec = self._spec
        if spec.callable is not None:
            found = plugin_object(self._callable())[0]
            return lambda x: found(x, **spec.arguments)
        if spec.onnx is not None:
            session = onnx_session(self._folder / spec.onnx)
            inputs = [one.name for one in session.get_inputs()]
            if len(inputs) != 1:
                raise InputError(f"{spec.onnx.name}: the network takes {len(inputs)} inputs, expected one")
            return lambda x: session.run(None, {inputs[0]: x})
        import torch

        builder = _builder(spec)
        # Some builders of torchvision download a backbone's weights unless told not to.
        known = inspect.signature(builder).parameters
        none = {name: None for name in ("weights", "weights_backbone") if name in known}
        name = f"the {spec.kind} network {getattr(spec, spec.kind)}"
        module = guarded(InputError, f"{name} cannot be made", builder, **{**none, **spec.arguments})
        if not isinstance(module, torch.nn.Module):
            raise InputError(f"{name} is a {type(module).__name__}, not a torch.nn.Module")
        assert spec.weights is not None
        load_state(self._folder / spec.weights, module)

        def run(x: np.ndarray) -> Any:
            with torch.inference_mode():
                return module(torch.from_numpy(x))

        return run


def _builder(spec: NetworkSpec) -> Callable[..., Any]:
    """The function that makes the network. Raises InputError."""
    name = str(getattr(spec, spec.kind))
    if spec.kind == "torchvision":
        models = machine_extra("torchvision.models", "torchvision")
        if name not in models.list_models():
            raise InputError(f"torchvision.models has no builder {name!r}, expected e.g. mobilenet_v2 or resnet50")
        return models.get_model_builder(name)
    try:
        import torchaudio.models as models  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(f"this needs the package torchaudio: pip install torchaudio ({error})") from None
    if name.startswith("_") or not callable(getattr(models, name, None)):
        raise InputError(f"torchaudio.models has no builder {name!r}, expected e.g. wav2vec2_base or conformer")
    return getattr(models, name)


def _first(output: Any) -> Any:
    """`out` or `logits` of a dictionary, the first of a sequence."""
    if isinstance(output, dict) and output:
        output = output.get("out", output.get("logits", next(iter(output.values()))))
    while isinstance(output, tuple | list) and output and (hasattr(output[0], "shape") or isinstance(output[0], str)):
        output = output[0]
    return output
