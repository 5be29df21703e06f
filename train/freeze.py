"""From a checkpoint to a model file: integers for what is coded with, float16 for the transforms, and a card.

    runs/NAME/checkpoint.pt -> averaged weights -> tensors of the entropy model + g_a, h_a, g_s
                            -> tables calibrated on training crops -> NAME.safetensors

Freezing ends with loading the result, which recomputes every bound and digest: a file that is written can code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bitstream import check_writable
from ..codec.image import ImageCodec
from ..codec.image_transform import entropy_model_of, image_model, receptive_field
from ..codec.kinds import kind_of
from ..codec.latent_model import synthesis_digest
from ..codec.media.named import named
from ..codec.model_file import load_tensors, parse_tensors, read_card, save_model
from ..codec.transforms.network import ImageNetwork
from ..entropy.hyperprior_coding import HyperpriorCoding, table_tensors
from ..errors import InputError
from .calibrate import calibrated_tables
from .checkpoint import load_checkpoint
from .data import CropStream, load_pictures
from .recipe import Recipe

__all__ = ["amend_card", "calibrated", "freeze", "freeze_image", "freeze_network", "with_digests"]

_PLACES: dict[str, Any] = {
    **dict.fromkeys(
        ("train", "validation", "references", "cache", "start_from", "grow_from", "workers", "devices", "compile"), True
    ),
    "features": {"weights"},
}
"""What a recipe says of the machine that it ran on: no part of a card."""


def freeze(
    run: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    overwrite: bool = False,
    calibrate: int = 400,
    say: Callable[[str], None] | None = None,
) -> Path:
    """run: a run's folder or a checkpoint; out: the model file to write; name: of the model (default: the file's stem);
    calibrate: crops of the recipe's training pictures to count symbols on (0: keep the fitted tables); say: progress.

    Returns `out`. Raises InputError (no checkpoint, no training pictures), ModelError (weights that cannot be exact),
    OutputExists.
    """
    check_writable(Path(out), overwrite)
    run = Path(run)
    path = run / "checkpoint.pt" if run.is_dir() else run
    state = load_checkpoint(path)
    recipe = state.get("recipe")
    kind = kind_of(recipe) if isinstance(recipe, dict) else None
    freeze_kind = named(kind.freeze) if kind is not None and kind.freeze else freeze_image
    how = {"overwrite": overwrite, "origin": str(path), "calibrate": calibrate, "say": say}
    return freeze_kind(state, Path(out), name or Path(out).stem, **how)


def freeze_image(
    state: dict[str, Any],
    out: Path,
    name: str,
    *,
    overwrite: bool = False,
    origin: str = "it",
    calibrate: int = 400,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write the network of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name;
    the others, results and errors are those of `freeze`.
    """
    try:
        recipe = Recipe(**state["recipe"])
        network = ImageNetwork(recipe.network())
        network.load_state_dict(state["ema"])
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise InputError(f"{origin} is not a checkpoint of an image model: {e}") from None
    training = {
        "recipe": recipe.model_dump(mode="json", exclude=_PLACES),
        "steps": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "calibration_crops": calibrate,
    }
    crops = None
    if calibrate:
        crops = CropStream(load_pictures(recipe.train, say=say), recipe.downscale, seed=recipe.seed - 1)
    card = {"training": training}
    return freeze_network(network, out, name, card, crops and crops.take(calibrate, 256), overwrite, say)


def freeze_network(
    network: ImageNetwork,
    out: Path,
    name: str,
    card: dict[str, Any] | None = None,
    crops: Iterable[np.ndarray] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write a network as the model file `out`. card: further entries of its card; crops: pictures to calibrate on."""
    network, config = network.cpu().eval(), network.config
    context = {} if config.context is None else {"context": asdict(config.context)}
    if config.conditional is not None:
        context["conditional"] = asdict(config.conditional)
    tensors = {f"parse.{n}": a for n, a in network.hyperprior.frozen().items()}
    for prefix, part in (("g_a", network.g_a), ("h_a", network.hyperprior.h_a), ("g_s", network.g_s)):
        for key, value in part.state_dict().items():
            tensors[f"{prefix}.{key}"] = value.detach().to(torch.float16).numpy()
    card = {
        "name": name,
        "kind": "image",
        "transform": config.transform.entries(),
        "hyper": config.hyper.entries(),
        **context,
        "receptive_field": receptive_field(config.transform),
        **(card or {}),
    }
    if crops is not None:
        tensors |= calibrated(tensors, card, crops, say)
    _write(tensors, card, out, overwrite)
    return out


def calibrated(
    tensors: dict[str, np.ndarray],
    card: dict[str, Any],
    crops: Iterable[np.ndarray],
    say: Callable[[str], None] | None = None,
) -> dict[str, np.ndarray]:
    """The tables of an image model counted anew on crops, uint8 [H, W, 3]: the tensors that hold them."""
    codec = ImageCodec(image_model(tensors, with_digests(tensors, card)))
    entropy = codec.entropy
    assert isinstance(entropy, HyperpriorCoding)
    z, y = calibrated_tables(codec.record_latents, (entropy.z_tables, entropy.y_tables), crops, say=say)
    tables = table_tensors(z, y)
    if card["hyper"].get("levels", 1) > 1:  # z has the tables of a level below another
        tables = {name if name.startswith("y.") else f"above.y{name[1:]}": a for name, a in tables.items()}
    return {f"parse.{name}": a for name, a in tables.items()}


def amend_card(path: Path, entries: dict[str, Any]) -> None:
    """Add entries (training data, licence, measured rates) to the card of a model file, in place."""
    save_model(load_tensors(path), {**read_card(path).card, **entries}, path, overwrite=True)


def _write(tensors: dict[str, np.ndarray], card: dict[str, Any], out: Path, overwrite: bool) -> None:
    card = with_digests(tensors, card)
    image_model(tensors, card)  # raises ModelError rather than let a model out that cannot code
    save_model(tensors, card, out, overwrite)


def with_digests(tensors: dict[str, np.ndarray], card: dict[str, Any]) -> dict[str, Any]:
    """The card of an image model with the digests of its tensors."""
    parse = entropy_model_of(card)(parse_tensors(tensors))
    synthesis = synthesis_digest(tensors, card["transform"])
    return {**card, "parse_digest": parse.digest().hex(), "synthesis_digest": synthesis.hex()}
