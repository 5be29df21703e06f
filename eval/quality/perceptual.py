"""LPIPS and DISTS: distances in the features of classifiers, for pictures. Lower is better, 0 is identical.

    uint8 original, decoded -> [0, 1] -> torchmetrics' network on the user's backbone weights -> distance

| name        | what it is                                                   | backbone, by torchvision's name         |
|-------------|--------------------------------------------------------------|-----------------------------------------|
| `lpips`     | Zhang et al. (CVPR 2018), version 0.1, AlexNet               | `alexnet-owt-7be5be79.pth`              |
| `lpips-vgg` | the same on VGG-16                                           | `vgg16-397923af.pth`                    |
| `dists`     | Ding et al. (TPAMI 2020), whole picture, without downscaling | `vgg16-397923af.pth`                    |

The small learned weights on top of the backbones are inside torchmetrics. The backbones are not inside any package and
nothing here downloads them: the user gives a folder that holds the files under the names that torchvision publishes
them by. Only the convolutions are used; a file without the classifier's layers serves as well.

torchmetrics has no way to be given a backbone: it asks torchvision, which asks torch.hub's folder first. So a folder of
that shape is made for the moment, with the user's convolutions, read as bare tensors (never as pickled code) and
checked name by name.

Guarantees: the networks see values in [0, 1] as they specify (LPIPS then scales to [-1, 1]); only uint8 is taken, so
0..255 cannot reach them by mistake. Float32 on the CPU. What was used, and whether its SHA-256 is the published one, is
in `PerceptualMetric.description`.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ._extras import extra
from .metrics import batch_of, check_pictures

__all__ = ["MIN_SIDE", "PERCEPTUAL", "PerceptualMetric", "perceptual_metrics"]

MIN_SIDE = 32
"""Pixels: on smaller pictures AlexNet's last convolutions have nothing left to see."""


@dataclass(frozen=True)
class _Backbone:
    """A network of torchvision. builder, weights: names in torchvision.models."""

    title: str
    builder: str
    weights: str

    @property
    def file(self) -> str:
        """The name that torchvision publishes its weights by, and looks for."""
        return getattr(extra("torchvision.models", "torchvision"), self.weights).DEFAULT.url.rpartition("/")[2]


_ALEXNET = _Backbone("torchvision's AlexNet weights", "alexnet", "AlexNet_Weights")
_VGG16 = _Backbone("torchvision's VGG-16 weights", "vgg16", "VGG16_Weights")


@dataclass(frozen=True, eq=False)
class PerceptualMetric:
    """A distance of two pictures. description: library, version, backbone file and its digest: one line, no paths."""

    name: str
    description: str
    _distance: Callable[[Any, Any], Any] = field(repr=False)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """The distance of two uint8 pictures [H, W, 3]; `nan` when a side is shorter than 32 pixels.

        Raises `InputError` when the shapes differ or either is not uint8 [H, W, 3].
        """
        check_pictures(a, b)
        if min(a.shape[:2]) < MIN_SIDE:
            return math.nan
        import torch

        with torch.inference_mode():
            return max(float(self._distance(batch_of(a), batch_of(b))), 0.0)  # DISTS rounds to an ulp below 0


def perceptual_metrics(names: Sequence[str], weights: Path | None) -> dict[str, PerceptualMetric]:
    """The metrics of these names (see the table above). weights: the folder with the backbones' files.

    Raises InputError for unknown names, a missing package, and for a file that is missing or is not what it should be.
    """
    made = {}
    for name in dict.fromkeys(names):
        if name not in _KINDS:
            raise InputError(f"unknown perceptual metric {name!r}; there are {', '.join(_KINDS)}")
        backbone, build = _KINDS[name]
        library = extra("torchmetrics")
        state, told = _backbone_state(name, backbone, weights)
        with _hub_with(backbone.file, state):
            distance = build()
        made[name] = PerceptualMetric(name, f"{name} of torchmetrics {library.__version__} on {told}", distance)
    return made


def _lpips(network: str) -> Callable[[], Callable[[Any, Any], Any]]:
    def build() -> Callable[[Any, Any], Any]:
        module = extra("torchmetrics.image.lpip", "torchmetrics")
        metric = module.LearnedPerceptualImagePatchSimilarity(network, normalize=True)  # takes [0, 1], scales itself

        def distance(a: Any, b: Any) -> Any:
            value = metric(a, b)
            metric.reset()  # it would keep every value for a mean
            return value

        return distance

    return build


def _dists() -> Callable[[Any, Any], Any]:
    # The class of a metric would read VGG-16 anew for every pair, its network does not.
    return extra("torchmetrics.functional.image.dists", "torchmetrics").DISTSNetwork().eval()


_KINDS: dict[str, tuple[_Backbone, Callable[[], Callable[[Any, Any], Any]]]] = {
    "lpips": (_ALEXNET, _lpips("alex")),
    "lpips-vgg": (_VGG16, _lpips("vgg")),
    "dists": (_VGG16, _dists),
}
PERCEPTUAL = tuple(_KINDS)
"""The names."""


def _backbone_state(name: str, backbone: _Backbone, weights: Path | None) -> tuple[dict[str, Any], str]:
    """All tensors that torchvision expects, of which those of the user's file are the convolutions; what to say of it.

    The classifier's are zeros that take no space. Raises InputError.
    """
    import torch

    file = backbone.file
    if weights is None:
        raise InputError(f"{name} needs a folder with {file} ({backbone.title}): give it with --weights DIR")
    path = Path(weights) / file
    if not path.is_file():
        raise InputError(f"{weights}: there is no {file}, which {name} needs: it is {backbone.title}, by that name")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: cannot be read as weights ({str(error).strip().partition(chr(10))[0]})") from error
    with torch.device("meta"):
        wanted = getattr(extra("torchvision.models", "torchvision"), backbone.builder)(weights=None).state_dict()
    state = {}
    for key, like in wanted.items():
        if not key.startswith("features."):
            state[key] = torch.zeros(1).expand(like.shape)
            continue
        tensor = found.get(key) if isinstance(found, dict) else None
        if not isinstance(tensor, torch.Tensor) or tensor.shape != like.shape or not tensor.is_floating_point():
            there = list(tensor.shape) if isinstance(tensor, torch.Tensor) else "nothing"
            raise InputError(f"{path}: expected {key} of shape {list(like.shape)}, found {there}: not {backbone.title}")
        state[key] = tensor.float().contiguous()
    digest = _sha256(path)
    published = file.removesuffix(".pth").rpartition("-")[2]  # by torch.hub's custom, the digest's first digits
    note = "" if digest.startswith(published) else ", which is NOT the published file"
    return state, f"{file} (SHA-256 {digest[:16]}{note})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _hub_with(file: str, state: dict[str, Any]) -> Iterator[None]:
    """torch.hub with a folder that holds just this file; nobody else's random numbers are used up meanwhile."""
    import torch

    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        (Path(folder) / "checkpoints").mkdir()
        torch.save(state, Path(folder) / "checkpoints" / file)
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)
