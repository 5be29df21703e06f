"""From a circuit's checkpoint to a model file: probabilities become integer codes, and a card says what they are.

    runs/NAME/checkpoint.pt -> trimmed probabilities -> CircuitCoding.from_parameters -> parse.* tensors, card

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bitstream import NO_DIGEST, atomic_write
from ..codec.circuit import CircuitCoder
from ..entropy.circuit_coding import CircuitCoding
from ..errors import InputError
from .circuit_data import YCOCG_LEVELS
from .recipe import CircuitRecipe

__all__ = ["freeze_circuit", "trimmed"]


def freeze_circuit(state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it") -> Path:
    """Write the circuit of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.

    Raises InputError (not a circuit's checkpoint), ModelError (parameters that cannot be frozen), OutputExists.
    """
    try:
        recipe = CircuitRecipe(**state["recipe"])
        parent, group = state["parent"].numpy(), state["group"].numpy()
        counts = state["counts"]["emission"]
        transition, emission = state["transition"].numpy(), trimmed(state["emission"], counts, recipe.trim)
        card = {
            "name": name,
            "kind": "circuit",
            "item_shape": [int(n) for n in state["item_shape"]],
            "levels": int(state["levels"]),
            "states": int(transition.shape[1]),
            "edges": int(np.count_nonzero(transition)),
            "held_out_bpd": state["held_out_bpd"] and round(state["held_out_bpd"], 4),
            "licence": recipe.licence,
            "training_data": recipe.data.name if recipe.data else [p.name for p in recipe.pictures + recipe.halved],
            "training": {
                "recipe": recipe.model_dump(mode="json", exclude={"data", "pictures", "halved", "licence"}),
                "steps": state["step"],
                "epochs": round(state["epochs"], 2),
                "minutes": round(state["seconds"] / 60, 1),
            },
            "synthesis_digest": NO_DIGEST.hex(),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InputError(f"{origin} is not a checkpoint of a circuit: {e}") from None
    if card["levels"] == YCOCG_LEVELS:
        card["patch"], card["levels"] = card["item_shape"], 256
    coding = CircuitCoding.from_parameters(parent, group, transition, emission.numpy())
    tensors = {f"parse.{n}": np.ascontiguousarray(a) for n, a in coding.tensors().items()}
    card["parse_digest"] = CircuitCoder(tensors, card).parse_digest.hex()

    from safetensors.numpy import save

    data = save(tensors, {"card": json.dumps(card, sort_keys=True)})
    with atomic_write(out, overwrite=overwrite) as file:
        file.write(data)
    return out


def trimmed(emission: Tensor, counts: Tensor, least: float) -> Tensor:
    """Emissions [G, K, L] without the entries that were expected fewer than `least` times in the training data: these
    become zero, which coding makes the smallest probability there is. counts: [G, L, K].
    """
    usage = counts.sum(1)[:, :, None]  # [G, K, 1]
    return torch.where(emission * usage < least, 0.0, emission)
