"""From the checkpoint of an adaptation to a file of changes, and what it gains on pictures that were held out.

averaged changes -> low.*, add.* -> whole model -> tables counted on training crops: set.* -> NAME.safetensors
held-out pictures -> files of both models at a few qualities -> bytes at equal PSNR
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bitstream import check_writable
from ..codec.adapted import changed
from ..codec.image import ImageCodec
from ..codec.image_transform import image_model
from ..codec.latent_model import LatentModel
from ..codec.model_file import save_model
from ..codec.objective import Objective, objective_of
from ..codec.registry import load
from ..codec.transforms.network import ImageNetwork
from ..entropy.hyperprior import IndexTable, gain_table, offset_table
from ..entropy.layers import GAIN_MAX
from ..errors import InputError
from .adapt import Changes, base_of, split_pictures
from .adapt_recipe import AdaptRecipe
from .checkpoint import load_checkpoint
from .data import CropStream
from .freeze import calibrated, with_digests
from .run import print_line, train
from .thaw import origins, thawed

__all__ = ["LEAST_GAIN", "adapt", "freeze_adapted", "gain_of"]

LEAST_GAIN = 0.01
"""Share of the bytes that a model has to save on held-out pictures."""
QUALITIES = (15, 40, 65, 90)
MEASURED = 12
"""Held-out pictures that are measured, at most, and pixels a side of what is taken of them."""
SIDE = 1024


def adapt(
    folder: Path | str,
    out: Path | str,
    *,
    base: str = "image",
    minutes: float = 10.0,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    runs: Path | str = "runs",
    settings: dict[str, object] | None = None,
    calibrate: int = 400,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Adapt a model to a folder of pictures and write the file of changes `out`, if it gains.

    base: the model to change, by name or path; minutes: of training; name: of the model and of the run's folder in
    `runs` (default: the stem of `out`); resume: go on with that run; settings: further fields of the recipe; calibrate:
    as of `freeze_adapted`; say: progress. Returns what the card says of the held-out pictures: `pictures` and `gain`,
    the share of bytes saved at equal distortion (`gain_of`).

    Raises InputError: too few pictures, a base that cannot be adapted, a gain below LEAST_GAIN (nothing is written
    then, the run stays); OutputExists, UnknownModel, ModelError.
    """
    out, say = Path(out), say or print_line
    check_writable(out, overwrite)
    name = name or out.stem
    wanted = {"name": name, "pictures": [str(folder)], "base": base, "minutes": minutes, **(settings or {})}
    run = train("adapt", resume, wanted, runs=runs, progress=say)
    state = load_checkpoint(run / "checkpoint.pt")
    recipe = AdaptRecipe(**state["recipe"])
    kept, held_out = split_pictures(recipe)
    made = _made(state, name, str(run), kept, calibrate, say)
    held_out = held_out[:MEASURED]
    say(f"measuring on {len(held_out)} held-out pictures")
    gain = gain_of(ImageCodec(made.model), load(model=recipe.base, of=ImageCodec), held_out)
    if gain < LEAST_GAIN:
        raise InputError(
            f"{folder}: held-out pictures take {1 - gain:.1%} of the bytes that {recipe.base} takes: too little is "
            f"gained, so no model is written ({run} is kept)"
        )
    found = {"pictures": len(held_out), "gain": round(gain, 4)}
    card = {**made.card, "adaptation": {**made.card["adaptation"], "held_out": found}}
    save_model(made.tensors, card, out, overwrite)
    return found


def freeze_adapted(
    state: dict[str, Any],
    out: Path,
    name: str,
    *,
    overwrite: bool = False,
    origin: str = "it",
    calibrate: int = 400,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write the changes of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name;
    calibrate: crops to count symbols on (0: keep the base's tables).

    Raises InputError (not the checkpoint of an adaptation, another base, no pictures), ModelError, OutputExists.
    """
    made = _made(state, name, origin, None, calibrate, say)
    return save_model(made.tensors, made.card, out, overwrite)


@dataclass(frozen=True)
class _Made:
    """tensors, card: of the file of changes; model: the whole one."""

    tensors: dict[str, np.ndarray]
    card: dict[str, Any]
    model: LatentModel


def _made(
    state: dict[str, Any],
    name: str,
    origin: str,
    pictures: list | None,
    calibrate: int,
    say: Callable[[str], None] | None,
) -> _Made:
    """What `freeze_adapted` writes, with its errors. pictures: to count symbols on; None: those of the recipe."""
    try:
        recipe = AdaptRecipe(**state["recipe"])
        base, base_card, _ = base_of(recipe)
        network = thawed(base, base_card)
        changes = Changes(network, origins(network), recipe.rank)
        changes.load_state_dict({n: p.float() for n, p in state["ema"].items()})
        if any(state["base"][key] != base_card[key] for key in ("parse_digest", "synthesis_digest")):
            raise InputError(f"{origin} changes another model than {recipe.base} is now")
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as e:
        raise InputError(f"{origin} is not a checkpoint of an adapted model: {e}") from None
    tensors = _tensors(network, changes, base)
    adaptation = {
        "recipe": recipe.model_dump(mode="json", exclude={"pictures", "base"}),
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "calibration_crops": calibrate,
    }
    card = {
        "name": name,
        "kind": "adapted",
        "base": {"name": base_card["name"], **state["base"]},
        "adaptation": adaptation,
        "training_data": [path.name for path in recipe.pictures],
    }
    whole, whole_card = changed(tensors, card, base, base_card)
    if calibrate:
        pictures = split_pictures(recipe)[0] if pictures is None else pictures
        crops = CropStream(pictures, (1.0, 1.0), recipe.seed - 1).take(calibrate, 256)
        tables = calibrated(whole, whole_card, crops, say)
        tensors |= {f"set.{key}": table for key, table in tables.items()}
        whole, whole_card = changed(tensors, card, base, base_card)
    whole_card = with_digests(whole, whole_card)
    model = image_model(whole, whole_card)  # raises ModelError rather than let a model out that cannot code
    return _Made(tensors, card | {key: whole_card[key] for key in ("parse_digest", "synthesis_digest")}, model)


@torch.no_grad()
def _tensors(network: ImageNetwork, changes: Changes, base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of a file of changes to a base, tables of symbols aside."""
    out: dict[str, np.ndarray] = {}
    for name, origin in origins(network).items():
        key = name.replace(".", "/")
        if key in changes.u:
            u, v = changes.u[key].double() * origin.unit, changes.v[key].double()
            even = (u.abs().amax(1, keepdim=True) / v.abs().amax(1, keepdim=True).clamp_min(1e-9)).sqrt()
            even = torch.where(even > 0, even, 1.0)
            out[f"low.{origin.name}.u"] = (u / even).half().numpy()
            out[f"low.{origin.name}.v"] = (v * even).half().numpy()
        elif origin.table:
            table = network.get_submodule(name.rpartition(".")[0])
            assert isinstance(table, IndexTable)
            rows = gain_table if "gain" in origin.name else offset_table
            before = rows(table).astype(np.int32)
            table.value += changes.add[key]
            old = base[origin.name].astype(np.int32)
            new = old + rows(table) - before
            if rows is gain_table:  # the base's own may be the largest there is
                new = new.clip(0, GAIN_MAX)
            out[f"add.{origin.name}"] = (new - old).clip(-(2**15), 2**15 - 1).astype(np.int16)
        elif origin.name.startswith("parse."):
            out[f"add.{origin.name}"] = (changes.add[key].double() * origin.unit).round().numpy().astype(np.int32)
        else:
            out[f"add.{origin.name}"] = changes.add[key].half().numpy()
    return out


def gain_of(codec: ImageCodec, base: ImageCodec, pictures: Sequence[np.ndarray]) -> float:
    """The share of bytes that `codec` saves against `base` at equal distortion, that which they were trained for: mean
    of pictures uint8 [H, W, 3], of which the middle is taken where they are larger than SIDE. Whole files, logarithms
    of bytes on lines between QUALITIES.
    """
    objective = objective_of(base.card)
    logs = []
    for picture in pictures:
        top, left = (max(0, (n - SIDE) // 2) for n in picture.shape[:2])
        part = picture[top : top + SIDE, left : left + SIDE]
        ours, theirs = _curve(codec, part, objective), _curve(base, part, objective)
        low, high = max(ours[0, 0], theirs[0, 0]), min(ours[0, -1], theirs[0, -1])
        at = np.linspace(low, high, 32) if high > low else np.array([(low + high) / 2])
        logs.append(np.mean(np.interp(at, *ours) - np.interp(at, *theirs)))
    return 1 - math.exp(np.mean(logs))


@torch.no_grad()
def _curve(codec: ImageCodec, picture: np.ndarray, objective: Objective) -> np.ndarray:
    """[2, n]: minus the logarithm of the distortion, rising, and that of the bytes at each of QUALITIES."""

    def planes(samples: np.ndarray) -> torch.Tensor:
        return torch.tensor(samples).permute(2, 0, 1)[None].float() / 255

    points = []
    for quality in QUALITIES:
        data = codec.encode(picture, quality)
        distortion = float(objective.error(planes(picture), planes(codec.decode(data)))[0])
        points.append((-math.log(max(distortion, 1e-9)), math.log(len(data))))
    return np.array(sorted(points)).T
