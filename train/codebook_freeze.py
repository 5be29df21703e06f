"""From the checkpoint of codebooks to a model file: the integers that were learned, and the transforms of the base.

    runs/NAME/checkpoint.pt -> CodebookCoding -> parse.* tensors; g_a, g_s of the base; card

Freezing ends with loading the result as files are coded with it: what is written can code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..codec.codebook_model import codebook_model
from ..codec.latent_model import synthesis_digest
from ..codec.model_file import load_tensors, save_model
from ..codec.registry import find_model
from ..entropy.codebook_coding import CodebookCoding
from ..errors import InputError
from .codebook_recipe import CodebookRecipe

__all__ = ["freeze_codebook"]


def freeze_codebook(
    state: dict[str, Any], out: Path, name: str, *, overwrite: bool = False, origin: str = "it", **_: Any
) -> Path:
    """Write the codebooks of a checkpoint as the model file `out`. state: what the checkpoint holds; origin: its name.
    Further options are those of other kinds.

    Raises InputError (not a checkpoint of codebooks, or of a run that has not ended), UnknownModel (the base is not
    found), ModelError, OutputExists.
    """
    try:
        recipe = CodebookRecipe(**state["recipe"])
        found = {key: a.numpy() for key, a in state["found"].items() if key != "left"}
        training = {
            "recipe": recipe.model_dump(mode="json", exclude={"train"}),
            "minutes": round(state["seconds"] / 60, 1),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InputError(f"{origin} is not a checkpoint of codebooks: {e}") from None
    if "y.counts" not in found:
        raise InputError(f"{origin} has not counted its codebooks yet: --resume goes on with the run")
    base = find_model(recipe.base)
    if not isinstance(base.card.get("transform"), dict):
        raise InputError(f"{recipe.base} has no transforms for codebooks")
    entropy = CodebookCoding(found)
    tensors = {f"parse.{key}": a for key, a in entropy.tensors.items()}
    tensors |= {key: a for key, a in load_tensors(base.path).items() if key.startswith(("g_a.", "g_s."))}
    card = {
        "name": name,
        "kind": "codebook",
        "transform": base.card["transform"],
        "receptive_field": base.card.get("receptive_field"),
        "codebooks_on": base.name,
        "training": training,
        "training_data": [path.name for path in recipe.train],
        "parse_digest": entropy.digest().hex(),
        "synthesis_digest": synthesis_digest(tensors, base.card["transform"]).hex(),
    }
    codebook_model(tensors, card)  # raises ModelError rather than let a model out that cannot code
    return save_model(tensors, card, out, overwrite)
