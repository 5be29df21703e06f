"""The kinds of models: one row each, which says where the code is that loads, trains and freezes them.

    card, recipe or checkpoint -> its "kind" -> Kind -> named(...) -> what does it

Rows are texts, "module:name" in this package, and imported when they are used: to know the kinds costs no torch. A new
kind is a new row, and nothing else asks which kind a model is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DEFAULT", "KINDS", "TRAINED", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """Each "module:name", or "" for what a kind does not have: imported models are not trained here."""

    load: str = ""
    """(tensors, card, device) -> the `codec.latent_model.LatentModel` of a model file, or of a kind with a domain its
    block coder. Of a kind that is `based`: (tensors, card, device, codec of its base) -> the codec.
    """
    change: str = ""
    """(tensors, card, tensors of the base, card of that) -> those of a whole model, of a kind that changes another."""
    domain: str = ""
    """card -> `codec.domain.Domain`, what is coded without loss; "": a kind that codes pictures with loss."""
    recipe: str = ""
    """The schema that a recipe is checked against."""
    train: str = ""
    """The `train.run.Experiment` that such a recipe runs."""
    whole: bool = False
    """Whether `load` gives the codec itself."""
    needs_torch: bool = False
    """Whether its networks run in torch alone."""
    based: bool = False
    """Whether its models are built on another one, the `base` of their card."""
    freeze: str = ""
    """(state, out, name, *, overwrite, origin, calibrate, say) -> the model file."""


DEFAULT = "image"
"""The kind of a card, recipe or checkpoint that does not say one."""
KINDS: dict[str, Kind] = {
    "image": Kind(
        load="codec.image_transform:image_model",
        recipe="train.recipe:Recipe",
        train="train.image:ImageExperiment",
        freeze="train.freeze:freeze_image",
    ),
    "circuit": Kind(
        load="codec.circuit:CircuitCoder",
        domain="codec.domain:circuit_domain",
        recipe="train.recipe:CircuitRecipe",
        train="train.circuit:CircuitExperiment",
        freeze="train.circuit_freeze:freeze_circuit",
    ),
    "photo": Kind(
        load="codec.photo:PhotoCoder",
        domain="codec.domain:photo_domain",
        recipe="train.recipe:PhotoRecipe",
        train="train.photo:PhotoExperiment",
        freeze="train.photo_freeze:freeze_photo",
    ),
    "video": Kind(
        load="codec.video:VideoCodec",
        based=True,
        recipe="train.recipe:VideoRecipe",
        train="train.video:VideoExperiment",
        freeze="train.video_freeze:freeze_video",
    ),
    "sound": Kind(
        load="codec.sound:SoundCodec",
        whole=True,
        recipe="train.recipe:SoundRecipe",
        train="train.sound:SoundExperiment",
        freeze="train.sound_freeze:freeze_sound",
    ),
    "adapted": Kind(
        change="codec.adapted:changed",
        recipe="train.adapt_recipe:AdaptRecipe",
        train="train.adapt:AdaptExperiment",
        freeze="train.adapt_freeze:freeze_adapted",
    ),
    "codebook": Kind(
        load="codec.codebook_model:codebook_model",
        recipe="train.codebook_recipe:CodebookRecipe",
        train="train.codebook:CodebookExperiment",
        freeze="train.codebook_freeze:freeze_codebook",
    ),
    "compressai": Kind(load="codec.compressai_transform:compressai_model", needs_torch=True),
}
TRAINED = {name: kind for name, kind in KINDS.items() if kind.train}
"""The kinds that are trained here."""


def kind_of(says: Mapping[str, Any]) -> Kind | None:
    """The kind that a card or a recipe says; None for one that there is not."""
    kind = says.get("kind", DEFAULT)
    return KINDS.get(kind) if isinstance(kind, str) else None
