"""From a video model's checkpoint to a model file: the averaged weights as integers, and a card.

    runs/NAME/checkpoint.pt -> Spatiotemporal.frozen -> parse.* tensors, card with the image model's digests

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..codec.model_file import save_model
from ..codec.video import VideoCodec
from ..entropy.spatiotemporal import Spatiotemporal
from ..entropy.spatiotemporal_coding import SpatiotemporalCoding
from ..errors import InputError
from .recipe import VideoRecipe
from .video import image_codec

__all__ = ["freeze_video"]


def freeze_video(
    state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it", **_: Any
) -> Path:
    """Write the network of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.
    Further options are those of other kinds.

    Raises InputError (not a video model's checkpoint), ModelError (weights that cannot be exact), UnknownModel (the
    image model is not found), OutputExists.
    """
    try:
        recipe = VideoRecipe(**state["recipe"])
        base = image_codec(recipe.base)
        tensors = base.entropy.tensors  # pyright: ignore[reportAttributeAccessIssue]
        network = Spatiotemporal(recipe.network(), tensors, {n: t.numpy() for n, t in state["tables"].items()})
        network.load_state_dict({n: p.float() for n, p in state["ema"].items()})
        training = {
            "recipe": recipe.model_dump(mode="json", exclude={"clips", "pictures", "start_from", "base", "cache"}),
            "steps": state["step"],
            "minutes": round(state["seconds"] / 60, 1),
        }
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as e:
        raise InputError(f"{origin} is not a checkpoint of a video model: {e}") from None
    frozen: dict[str, np.ndarray] = network.frozen()
    card = {
        "name": name,
        "kind": "video",
        "base": {
            "name": base.card["name"],
            "parse_digest": base.parse_digest.hex(),
            "synthesis_digest": base.synthesis_digest.hex(),
        },
        "training": training,
        "training_data": [path.name for path in (*recipe.clips, *recipe.pictures)],
        "parse_digest": SpatiotemporalCoding({**tensors, **frozen}).digest().hex(),
        "synthesis_digest": base.synthesis_digest.hex(),
    }
    found = {f"parse.{n}": array for n, array in frozen.items()}
    VideoCodec(found, card, base=base)  # raises ModelError rather than let a model out that cannot code
    return save_model(found, card, out, overwrite)
