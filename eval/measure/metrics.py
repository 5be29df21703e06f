"""Metrics by medium and name: how far what was decoded is from the original.

    "image", names -> Metric of each: Coding -> value

| medium  | measured by default             | where they are asked for, or installed                                   |
|---------|---------------------------------|--------------------------------------------------------------------------|
| `image` | psnr, psnr_y, ms_ssim           | ssimulacra2, d_mobilenetv2, d_efficientnet_lite0 where installed; lpips, |
|         |                                 | lpips-vgg, dists, butteraugli (a program), cvvdp (see these modules)     |
| `audio` | snr, si_sdr                     | log_stft, log_mel, pesq, stoi, dnsmos, dnsmos_sig, dnsmos_bak            |
| `video` | psnr_y, worst_psnr_y, psnr_rgb  |                                                                          |

PESQ (wide band at 16 kHz, narrow band at 8 kHz) and STOI are those of the packages pesq and pystoi. DNSMOS, overall, of
the signal and of the background, looks at what was decoded alone (see `quality.hearing`). Of two channels, SNR
and distances of spectra are means of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...codec.ssimulacra2 import installed_version
from ...errors import InputError
from ..quality import butteraugli, clips, cvvdp, metrics
from ..quality._extras import extra
from ..quality.hearing import RATE, Quality, mos_of
from ..quality.networks import CROP, ImageNetwork, distance
from ..quality.perceptual import PERCEPTUAL, perceptual_metrics
from ..quality.spectra import log_spectral
from .coding import Coding, Metric

__all__ = ["DISTANCES", "metrics_by_name", "slow_metrics"]

DISTANCES = {"d_mobilenetv2": "mobilenetv2", "d_efficientnet_lite0": "efficientnet-lite0"}
"""Metrics that are distances in the features of a network (see `networks.distance`)."""
_PLAIN = {"image": metrics.METRICS, "audio": metrics.SOUND_METRICS, "video": clips.CLIP_METRICS}
_SOUND = ("log_stft", "log_mel", "pesq", "stoi", "dnsmos", "dnsmos_sig", "dnsmos_bak")


def metrics_by_name(
    media: str, names: Sequence[str] | None = None, *, rate: int = 0, weights: Path | None = None
) -> dict[str, Metric]:
    """The metrics of these names; None: those that need nothing more. rate: of sounds, in Hz; weights: the folder of
    backbones that the user supplies. Raises InputError for an unknown name and for what is not installed.
    """
    plain = _PLAIN[media]
    if names is None:
        names = (*plain, *(slow_metrics() if media == "image" else ()))
        names += tuple(name for name in DISTANCES if media == "image" and _installed(name))
    made: dict[str, Metric] = {}
    for name in dict.fromkeys(names):
        if name in plain:
            made[name] = _of_arrays(name, _by_channel(plain[name]) if media == "audio" else plain[name])
        elif media == "audio" and name in _SOUND:
            made[name] = _sound_metric(name, rate)
        elif media == "image" and name in metrics.SLOW_METRICS:
            extra(name)
            identity = f"{name} of the package {name} {installed_version()}"
            made[name] = _of_arrays(identity, metrics.SLOW_METRICS[name])
        elif media == "image" and name == "butteraugli":
            made[name] = _of_arrays(butteraugli.describe(), butteraugli.butteraugli)
        elif media == "image" and name == "cvvdp":
            made[name] = _of_arrays(cvvdp.describe(), cvvdp.cvvdp)
        elif media == "image" and name in DISTANCES:
            made[name] = _distance(name)
        elif media == "image" and name in PERCEPTUAL:
            metric = perceptual_metrics([name], weights)[name]
            made[name] = _of_arrays(metric.description, metric)
        else:
            more = {
                "image": (*metrics.SLOW_METRICS, "butteraugli", "cvvdp", *DISTANCES, *PERCEPTUAL),
                "audio": _SOUND,
            }.get(media, ())
            raise InputError(f"unknown metric {name!r}; there are {', '.join([*plain, *more])}")
    return made


def slow_metrics() -> tuple[str, ...]:
    """Those of `metrics.SLOW_METRICS` whose package is there."""
    return tuple(name for name in metrics.SLOW_METRICS if find_spec(name) is not None)


def _of_arrays(identity: str, metric: Callable[[np.ndarray, np.ndarray], float]) -> Metric:
    return Metric(identity, lambda coding: metric(coding.original.array, coding.decoded))


def _installed(name: str) -> bool:
    try:
        ImageNetwork(DISTANCES[name])
    except InputError:
        return False
    return True


def _distance(name: str) -> Metric:
    network = ImageNetwork(DISTANCES[name])  # raises InputError if its weights are not installed

    def measured(coding: Coding) -> float:
        return distance(coding.original.of(name, network.features), network.features(coding.decoded))

    return Metric(f"{name}: {network.description}, centre crop {CROP}", measured)


def _by_channel(metric: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """A measure of float [T] as one of [T] and of [T, C]: the mean over channels."""

    def measured(a: np.ndarray, b: np.ndarray) -> float:
        return metric(a, b) if a.ndim == 1 else float(np.mean([metric(*pair) for pair in zip(a.T, b.T, strict=True)]))

    return measured


def _sound_metric(name: str, rate: int) -> Metric:
    """A measure of two sounds, float [T]. Raises InputError when its package is missing, or for a rate in Hz that it
    does not know.
    """
    if name.startswith("log_"):
        distance = _by_channel(lambda a, b: log_spectral(a, b, rate)[name == "log_mel"])
        return _of_arrays(f"{name} at {rate} Hz", distance)
    if name.startswith("dnsmos"):
        if rate != RATE:
            raise InputError(f"dnsmos knows {RATE} Hz, not {rate}")
        score = name.partition("_")[2] or "ovrl"
        return Metric(f"{name}: {Quality().description}", lambda coding: mos_of(coding.decoded)[score])
    if name == "stoi":
        stoi = extra("pystoi", group="speech").stoi
        return _of_arrays(f"stoi at {rate} Hz, pystoi {version('pystoi')}", lambda a, b: float(stoi(a, b, rate)))
    module = extra("pesq", group="speech")
    if rate not in (8000, 16000):
        raise InputError(f"pesq knows 8000 and 16000 Hz, not {rate}")

    def pesq(a: np.ndarray, b: np.ndarray) -> float:
        try:
            return float(module.pesq(rate, a, b, "wb" if rate == 16000 else "nb"))
        except module.PesqError:  # no speech is found in it
            return math.nan

    return _of_arrays(f"pesq at {rate} Hz, pesq {version('pesq')}", pesq)
