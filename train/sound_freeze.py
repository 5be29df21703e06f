"""From a sound model's checkpoint to a model file: integers for what is coded with, float16 for the transform, a card.

    runs/NAME/checkpoint.pt -> averaged weights -> parse.* tensors, h_a.*, g_s.*, card

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..codec.latent_model import synthesis_digest
from ..codec.model_file import save_model
from ..codec.sound import SoundCodec
from ..codec.transforms.sound import SoundNetwork
from ..entropy.envelope_coding import EnvelopeCoding
from ..errors import InputError
from .recipe import SoundRecipe

__all__ = ["freeze_network", "freeze_sound"]


def freeze_sound(
    state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it", **_: Any
) -> Path:
    """Write the networks of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.
    Further options are those of other kinds.

    Raises InputError (not a sound model's checkpoint), ModelError (weights that cannot be exact), OutputExists.
    """
    try:
        recipe = SoundRecipe(**state["recipe"])
        network = SoundNetwork(*recipe.networks())
        network.load_state_dict({n: p.float() for n, p in state["ema"].items()})
        network.g_s.scale_noise(recipe.noise)
        training = {
            "recipe": recipe.model_dump(
                mode="json", exclude={"sources": True, "start_from": True, "features": {"weights"}}
            ),
            "steps": state["step"],
            "minutes": round(state["seconds"] / 60, 1),
        }
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as e:
        raise InputError(f"{origin} is not a checkpoint of a sound model: {e}") from None
    data = [source.folder.name for source in recipe.sources]
    return freeze_network(network, out, name, {"training": training, "training_data": data}, overwrite)


def freeze_network(
    network: SoundNetwork, out: Path, name: str, card: dict[str, Any] | None = None, overwrite: bool = False
) -> Path:
    """Write networks as the model file `out`. card: further entries of its card."""
    network = network.cpu().eval()
    tensors: dict[str, np.ndarray] = {f"parse.{n}": array for n, array in network.envelope.frozen().items()}
    digest = EnvelopeCoding(network.envelope.frozen()).digest()
    for prefix, part in (("h_a", network.h_a), ("g_s", network.g_s)):
        for key, value in part.state_dict().items():
            tensors[f"{prefix}.{key}"] = value.detach().half().numpy()
    transform = asdict(network.g_s.config)
    card = {
        "name": name,
        "kind": "sound",
        "transform": transform,
        **(card or {}),
        "parse_digest": digest.hex(),
        "synthesis_digest": synthesis_digest(tensors, transform).hex(),
    }
    SoundCodec(tensors, card)  # raises ModelError rather than let a model out that cannot code
    return save_model(tensors, card, out, overwrite)
