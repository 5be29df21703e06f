"""From a photo model's checkpoint to a model file: the averaged weights as integers, and a card.

    runs/NAME/checkpoint.pt -> InterpolationCoding.freeze -> parse.* tensors, card

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bitstream import NO_DIGEST
from ..codec.model_file import save_model
from ..codec.photo import PhotoCoder
from ..entropy.interpolation_coding import InterpolationCoding
from ..entropy.interpolation_network import InterpolationNetwork
from ..errors import InputError
from .recipe import PhotoRecipe

__all__ = ["freeze_photo"]


def freeze_photo(
    state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it", **_: Any
) -> Path:
    """Write the network of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.
    Further options are those of other kinds.

    Raises InputError (not a photo model's checkpoint), ModelError (weights that cannot be exact), OutputExists.
    """
    try:
        recipe = PhotoRecipe(**state["recipe"])
        network = InterpolationNetwork(recipe.config())
        network.load_state_dict(state["ema"])
        training = {
            "recipe": recipe.model_dump(mode="json", exclude={"sources", "start_from", "workers"}),
            "steps": state["step"],
            "minutes": round(state["seconds"] / 60, 1),
        }
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise InputError(f"{origin} is not a checkpoint of a photo model: {e}") from None
    tensors = {f"parse.{name}": array for name, array in InterpolationCoding.freeze(network).items()}
    card = {
        "name": name,
        "kind": "photo",
        "training": training,
        "training_data": [source.folder.name for source in recipe.sources],
        "synthesis_digest": NO_DIGEST.hex(),
    }
    card["parse_digest"] = PhotoCoder(tensors, card).parse_digest.hex()
    return save_model(tensors, card, out, overwrite)
