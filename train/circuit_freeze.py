"""From a circuit's checkpoint to a model file: probabilities become integer codes, and a card says what they are.

    runs/NAME/checkpoint.pt -> trimmed, coarser probabilities -> CircuitCoding.from_parameters -> parse.* tensors, card

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bitstream import NO_DIGEST
from ..codec.circuit import CircuitCoder
from ..codec.model_file import save_model
from ..entropy.circuit_coding import CircuitCoding
from ..errors import InputError
from .recipe import CircuitRecipe

__all__ = ["coarse", "freeze_circuit", "trimmed"]

FLOOR = 2.0**-19
"""The probability of emissions that are left out. Rounding in 20 bits keeps it above zero."""
GRID = 8 * 20 / 254
"""Octaves between what rarely used parameters are rounded to: eight steps of the codes in a model file."""


def freeze_circuit(
    state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it", **_: Any
) -> Path:
    """Write the circuit of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.
    Further options are those of other kinds.

    Raises InputError (not a circuit's checkpoint), ModelError (parameters that cannot be frozen), OutputExists.
    """
    try:
        recipe = CircuitRecipe(**state["recipe"])
        parent, group = state["parent"].numpy(), state["group"].numpy()
        flow, seen = state["counts"]["transition"], state["counts"]["emission"]
        usage = seen.sum(1)[:, :, None]
        emission = trimmed(state["emission"], state["emission"] * usage, recipe.trim)
        emission = coarse(emission, emission * usage, recipe.coarse_below)
        transition = coarse(state["transition"], flow, recipe.coarse_below)
        card = {
            "name": name,
            "kind": "circuit",
            "item_shape": [int(n) for n in state["item_shape"]],
            "levels": int(state["levels"]),
            "states": int(transition.shape[1]),
            "edges": int(torch.count_nonzero(transition)),
            "held_out_bpd": state["held_out_bpd"] and round(state["held_out_bpd"], 4),
            "licence": recipe.licence,
            "training_data": recipe.data.name,
            "training": {
                "recipe": recipe.model_dump(mode="json", exclude={"data", "licence", "start_from"}),
                "steps": state["step"],
                "epochs": round(state["epochs"], 2),
                "minutes": round(state["seconds"] / 60, 1),
            },
            "synthesis_digest": NO_DIGEST.hex(),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InputError(f"{origin} is not a checkpoint of a circuit: {e}") from None
    coding = CircuitCoding.from_parameters(parent, group, transition.numpy(), emission.numpy())
    tensors = {f"parse.{n}": np.ascontiguousarray(a) for n, a in coding.tensors().items()}
    card["parse_digest"] = CircuitCoder(tensors, card).parse_digest.hex()
    return save_model(tensors, card, out, overwrite)


def trimmed(emission: Tensor, expected: Tensor, least: float) -> Tensor:
    """Emissions [G, K, L] in which entries expected fewer than `least` times in the training data have the smallest
    probability that freezing does not take away: those cost next to nothing in a model file.
    """
    if not least:
        return emission
    out = torch.where(expected < least, FLOOR, emission)
    return out / out.sum(2, keepdim=True)


def coarse(table: Tensor, expected: Tensor, least: float) -> Tensor:
    """Probabilities [..., n] in which entries expected fewer than `least` times, which are known to a third or so, are
    rounded to powers of 2^GRID; a row's other entries make up for it. Rows without enough of these stay as they are.
    """
    if not least:
        return table
    rare = (expected < least) & (table > 1.05 * FLOOR)
    rounded = torch.exp2(GRID * torch.round(torch.log2(table.double().clamp_min(1e-30)) / GRID))
    fixed = torch.where(rare, rounded, 0.0)
    rest = torch.where(rare, 0.0, table.double())
    wanted, found = 1 - fixed.sum(-1, keepdim=True), rest.sum(-1, keepdim=True)
    enough = (wanted > 0.05) & (found > 0.05)
    return torch.where(enough, fixed + rest * (wanted / found.clamp_min(1e-9)), table.double())
