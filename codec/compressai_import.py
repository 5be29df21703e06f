"""From a checkpoint of CompressAI to a model file of this package: integers for what is coded with, floats as they are.

    checkpoint -> state dict -> h_s as integers, tables, thresholds -> parse.*
                             -> g_a, h_a, g_s as float32, gamma and beta of GDN worked out -> NAME.safetensors

Post-training quantisation without data: h_s keeps 15 bits of each weight and 12 fractional bits of each activation (see
`entropy.imported_layers`), medians and means 12 and 6. The Gaussian and bottleneck tables are those that CompressAI
would make itself, at 24 bits instead of 16. CompressAI is not needed, not even for importing.

What can be imported codes y in one step, given z: the networks of Ballé et al. 2018 and the mean and scale hyperprior
of Minnen et al. 2018. Networks whose entropy parameters look at y already decoded would have to be integers there too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..bitstream import check_writable
from ..entropy.hyperprior_coding import table_tensors
from ..entropy.imported_coding import imported_model, thresholds
from ..entropy.imported_layers import ACTIVATION_BITS, LIMIT, SLOPE_BITS, integers_of, phases
from ..entropy.imported_tables import bottleneck_tables, gaussian_tables, medians
from ..entropy.latents import MEAN_BITS
from ..errors import InputError, ModelError
from .compressai_checkpoint import Checkpoint, read_checkpoint
from .compressai_transform import compressai_model
from .latent_model import synthesis_digest
from .model_file import parse_tensors, save_model
from .transforms import DOWN
from .transforms.compressai import REACH, TransformSizes

__all__ = ["NETWORKS", "import_compressai"]

NETWORKS = ("bmshj2018-factorized", "bmshj2018-factorized-relu", "bmshj2018-hyperprior", "mbt2018-mean")
"""What can be imported."""
_SERIAL = "its entropy parameters depend on latents already decoded"
_VARIABLE = "it divides latents by a step size, so that one network has several rates"
_REFUSED = {
    **dict.fromkeys(("mbt2018", "mbt2018-vbr", "cheng2020-anchor", "cheng2020-attn"), _SERIAL),
    **dict.fromkeys(("cheng2020-anchor-checkerboard", "elic2022-official", "elic2022-chandelier"), _SERIAL),
    **dict.fromkeys(("bmshj2018-hyperprior-vbr", "mbt2018-mean-vbr"), _VARIABLE),
}
_LAYERS = frozenset(f"g_{way}.{at}" for way in "as" for at in (0, 2, 4, 6))
_HYPER_LAYERS = frozenset(f"h_{way}.{at}" for way in "as" for at in (0, 2, 4))
_GDN = re.compile(r"g_[as]\.[135]\.(gamma|beta|(gamma|beta)_reparam\.(pedestal|lower_bound\.bound))")
_ENTROPY = re.compile(
    r"entropy_bottleneck\.((matrices|biases|factors)\.\d|quantiles|target)"
    r"|(entropy_bottleneck|gaussian_conditional)\.(_offset|_quantized_cdf|_cdf_length|likelihood_lower_bound\.bound)"
    r"|gaussian_conditional\.(scale_table|scale_bound|lower_bound_scale\.bound)"
)
"""What else CompressAI keeps in a state dict: constants of GDN, and the entropy models with the tables made of them."""
LEAKY_SLOPE = 0.01
_PEDESTAL = 2.0**-36
"""CompressAI trains the square roots of gamma and beta plus this, and keeps beta at or above BETA_MIN."""
_BETA_MIN = 1e-6


def import_compressai(
    spec: str, checkpoint: Path | str, out: Path | str, *, name: str | None = None, overwrite: bool = False
) -> Path:
    """spec: compressai:NAME with a NAME of NETWORKS; checkpoint: a file (see `read_checkpoint`); out: the model file to
    write; name: of the model, the file's stem by default. Returns `out`.

    Raises InputError (a network that cannot be imported, a checkpoint that is not one of it), ModelError (weights that
    cannot be exact), OutputExists.
    """
    network = spec.removeprefix("compressai:")
    if not spec.startswith("compressai:") or network not in NETWORKS:
        can = ", ".join(f"compressai:{n}" for n in NETWORKS)
        if network in _REFUSED:
            raise InputError(f"{network} cannot be imported: {_REFUSED[network]}; what can be is {can}")
        raise InputError(f"{spec!r} is not a network that can be imported: those are {can}")
    out = Path(out)
    check_writable(out, overwrite)
    read = read_checkpoint(checkpoint)
    try:
        _check_names(network, read.state, checkpoint)
        sizes = _sizes(network, read.state)
        tensors = {**_floats(network, sizes, read.state), **_integers(network, read.state)}
        card = _card(name or out.stem, network, sizes, tensors, read)
        compressai_model(tensors, card)  # raises ModelError rather than let a model out that cannot code
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        reason = f"it lacks {error.args[0]}" if isinstance(error, KeyError) else "sizes do not fit"
        raise InputError(f"{checkpoint}: not a checkpoint of {network}: {reason}") from None
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from None
    return save_model(tensors, card, out, overwrite)


def _check_names(network: str, state: Mapping[str, Tensor], checkpoint: Path | str) -> None:
    """Raises InputError for a weight that the network does not have: without it the model would be another one."""
    factorised = network.startswith("bmshj2018-factorized")
    known = _LAYERS if factorised else _LAYERS | _HYPER_LAYERS
    gdn = network != "bmshj2018-factorized-relu"
    for name in state:
        layer, _, part = name.rpartition(".")
        plain = layer in known and part in ("weight", "bias")
        if not plain and not (gdn and _GDN.fullmatch(name)) and not _ENTROPY.fullmatch(name):
            raise InputError(f"{checkpoint}: not a checkpoint of {network}, which has no weight {name}")


def _sizes(network: str, state: Mapping[str, Tensor]) -> TransformSizes:
    """N and M, after a look at what tells the networks apart. Raises KeyError, ValueError."""
    has_gdn, has_hyper = "g_a.1.gamma" in state, "h_s.0.weight" in state
    if has_gdn != (network != "bmshj2018-factorized-relu") or has_hyper == network.startswith("bmshj2018-factorized"):
        raise ValueError
    features, latent = state["g_a.0.weight"].shape[0], state["g_a.6.weight"].shape[0]
    if has_hyper and len(state["h_s.4.weight"]) != (2 if network == "mbt2018-mean" else 1) * latent:
        raise ValueError
    if "context_prediction.weight" in state:
        raise ValueError
    return TransformSizes(features, latent, "gdn" if has_gdn else "relu")


def _floats(network: str, sizes: TransformSizes, state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """g_a, g_s and, of a hyperprior, h_a: float32."""
    out = {}
    for part in ("g_a", "g_s") if network.startswith("bmshj2018-factorized") else ("g_a", "g_s", "h_a"):
        for key, tensor in state.items():
            if key.startswith(part + ".") and key.endswith((".weight", ".bias", ".gamma", ".beta")):
                out[key] = _plain(key, tensor).numpy()
    return out


def _plain(key: str, tensor: Tensor) -> Tensor:
    """The values of gamma and beta that the formula of GDN has; other weights as they are."""
    least = {"gamma": 0.0, "beta": _BETA_MIN}.get(key.rpartition(".")[2])
    if least is None:
        return tensor.float()
    return (tensor.double().clamp_min((least + _PEDESTAL) ** 0.5).square() - _PEDESTAL).float()


def _integers(network: str, state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The integers that latents are coded with."""
    prefix = "entropy_bottleneck."
    bottleneck = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    tables, median = bottleneck_tables(bottleneck), medians(bottleneck)
    if network.startswith("bmshj2018-factorized"):
        out = {n: a for n, a in table_tensors(tables, tables).items() if n.startswith("y.")}
        out["y.median"] = _fixed(median, MEAN_BITS)
    else:
        out = table_tensors(tables, gaussian_tables())
        out["z.median"], out["y.threshold"] = _fixed(median, ACTIVATION_BITS), thresholds()
        for n, key in enumerate(("h_s.0", "h_s.2", "h_s.4")):
            weight, bias = state[f"{key}.weight"].numpy(), state[f"{key}.bias"].numpy()
            if weight.shape[2:] != ((5, 5) if n < 2 else (3, 3)):
                raise ValueError
            if n < 2:
                weight, bias = phases(weight), bias.repeat(4)
            integers = integers_of(weight, bias)
            out |= {f"h_s.{n}.{part}": a for part, a in zip(("weight", "bias", "shift"), integers, strict=True)}
        leaky = network == "mbt2018-mean"
        out["slope"] = np.array([round(LEAKY_SLOPE * 2**SLOPE_BITS) if leaky else 0], np.int32)
        out["means"] = np.array([int(leaky)], np.int32)
    return {f"parse.{n}": a for n, a in out.items()}


def _fixed(values: np.ndarray, bits: int) -> np.ndarray:
    """Rounded to so many fractional bits, int32."""
    scaled = np.rint(values * 2.0**bits)
    if np.abs(scaled).max() > LIMIT:
        raise ModelError(f"a median of {np.abs(values).max():.4g} is out of range")
    return scaled.astype(np.int32)


def _card(
    name: str, network: str, sizes: TransformSizes, tensors: dict[str, np.ndarray], read: Checkpoint
) -> dict[str, Any]:
    card = {
        "name": name,
        "kind": "compressai",
        "network": network,
        "transform": sizes.as_dict(),
        "receptive_field": REACH * DOWN,
        "training": {"imported_from": {"checkpoint": read.name, "digest": read.digest}},
    }
    parse = imported_model(parse_tensors(tensors))
    digests = {"parse_digest": parse.digest(), "synthesis_digest": synthesis_digest(tensors, card["transform"])}
    return {**card, **{kind: digest.hex() for kind, digest in digests.items()}}
