"""CompressAI's networks as codecs: with a checkpoint's weights, or with random ones for their time and memory only.

    spec -> network and weights -> update() -> NetworkCoding: pictures to byte strings and back

Both are run as the package's own evaluation does: `update()` first, then `compress` and `decompress` with real strings.
With a checkpoint, a byte string begins with the number of its setting, less 1, in one byte.

| spec                            | settings                                                                       |
|---------------------------------|--------------------------------------------------------------------------------|
| `NAME@CHECKPOINT`               | 1; of a `-vbr` network one for each of its levels                              |
| `NAME@CHECKPOINT1+CHECKPOINT2…` | 1, 2, …: those of the first checkpoint, then those of the second               |
| `NAME@pretrained`               | the qualities of CompressAI's zoo (1 to 8, or 6) trained for MSE; downloads them |

Without a checkpoint there are the two networks of Ballé et al. 2018 (scale hyperprior) and Minnen et al. 2018 (mean and
scale hyperprior, no autoregression), as the zoo builds them at its quality 4 (N = 128, M = 192). The time of the
networks does not depend on their weights. That of the entropy coder depends on the symbols, which random weights make
unlike those of a trained model; how much of the whole it is, is measured (`coding_share`), so that one can see how
little that could change.

CompressAI takes 5 to 9 s to import, and only with numpy below 2: it is imported when a codec is made. Its
autoregressive networks take minutes a picture. It promises nothing where encoder and decoder are two machines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CodecError, InputError
from ..quality._extras import extra
from .compressai_coding import NetworkCoding

if TYPE_CHECKING:
    from .codec import Codec

__all__ = ["CompressaiCodec", "TrainedCodec", "compressai_codec"]

NETWORKS = ("bmshj2018-hyperprior", "mbt2018-mean")
QUALITY = 4
"""Which of the zoo's 1 to 8: its rate on photographs is the one that the other codecs are set to (about 0.5 bpp)."""
PRETRAINED = "pretrained"
_SINGULAR = {"matrices": "matrix", "biases": "bias", "factors": "factor"}
_PLURAL = re.compile(rf"\.({'|'.join(_SINGULAR)})\.(\d)$")


class CompressaiCodec:
    """A `Codec` (see `codecs`) with random weights; `encode` and `decode` raise `CodecError` for what is not theirs."""

    ladder: tuple[float, ...] = (float(QUALITY),)

    def __init__(self, network: str, device: str = "cpu") -> None:
        """network: one of NETWORKS. Raises InputError: unknown, CompressAI is missing, or the device is."""
        if network not in NETWORKS:
            raise InputError(f"unknown network {network!r}; there are {', '.join('compressai:' + n for n in NETWORKS)}")
        zoo = extra("compressai.zoo", "compressai", "compressai")
        import torch

        self.name = f"compressai:{network}"
        about = f"CompressAI {_version()} on {_checked(device)}, zoo quality {QUALITY}"
        self.description = f"{about}, random weights: time and memory only"
        self._device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net: Any = zoo.image_models[network](QUALITY, pretrained=False)
        net.eval().requires_grad_(False)
        net.update()
        self._coding = NetworkCoding(net.to(device), device)
        self._seconds = self._coding_seconds = 0.0
        for part in (net.entropy_bottleneck, net.gaussian_conditional):
            part.compress, part.decompress = self._timed(part.compress), self._timed(part.decompress)

    @property
    def coding_share(self) -> float:
        """The part of all encoding and decoding so far that was entropy coding: 0 to 1."""
        return self._coding_seconds / self._seconds if self._seconds else 0.0

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """Sizes and both strings, for rgb: uint8 [H, W, 3]; the setting is the one of `ladder`."""
        if setting != QUALITY:
            raise CodecError(f"{self.name} has the setting {QUALITY} only, not {setting:g}")
        started = perf_counter()
        data = self._coding.encode(rgb)
        self._seconds += perf_counter() - started
        return data

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        started = perf_counter()
        try:
            samples = self._coding.decode(data)
        except (ValueError, RuntimeError, IndexError) as error:
            raise CodecError(f"{self.name} could not decode {len(data)} bytes: {error}") from error
        self._seconds += perf_counter() - started
        return samples

    def _timed(self, coder: Callable[..., Any]) -> Callable[..., Any]:
        """The coder's function with a clock around it; what a GPU still has to compute before is not counted."""
        import torch

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._device != "cpu":
                torch.cuda.synchronize()
            started = perf_counter()
            result = coder(*args, **kwargs)
            self._coding_seconds += perf_counter() - started
            return result

        return timed


class TrainedCodec:
    """A `Codec` (see `codecs`) with checkpoints' weights; `encode` and `decode` raise `CodecError`.

    files: the checkpoints, in the order of their settings. Made by `compressai_codec`.
    """

    suffix = ".bin"

    def __init__(self, network: str, files: list[Path], device: str = "cpu", label: str | None = None) -> None:
        extra("compressai.zoo", "compressai", "compressai")
        from compressai.registry import MODELS  # pyright: ignore[reportMissingImports]

        from ...codec.compressai_checkpoint import read_checkpoint

        names = _names()
        if network not in names:
            raise InputError(f"unknown network {network!r} of CompressAI; there are {', '.join(names)}")
        self._codings: list[NetworkCoding] = []
        _checked(device)
        read = []
        for path in files:
            checkpoint = read_checkpoint(path)
            read.append(checkpoint)
            self._codings += _codings(network, MODELS[network], checkpoint.state, path, device)
        self.name = f"compressai:{network}@{label or '+'.join(c.name for c in read)}"
        self.ladder: tuple[float, ...] = tuple(map(float, range(1, len(self._codings) + 1)))
        told = ", ".join(f"{c.name} ({c.digest})" for c in read)
        self.description = f"CompressAI {_version()} on {device}, {network}, {told}"

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """The number of the setting, sizes, shapes and strings, for rgb: uint8 [H, W, 3]."""
        if setting not in self.ladder:
            raise CodecError(f"{self.name} has the settings 1 to {len(self.ladder)}, not {setting:g}")
        number = int(setting) - 1
        try:
            return bytes([number]) + self._codings[number].encode(rgb)
        except (ValueError, RuntimeError, IndexError) as error:
            raise CodecError(f"{self.name} could not encode {rgb.shape[1]} x {rgb.shape[0]} pixels: {error}") from error

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]."""
        if not data or data[0] >= len(self._codings):
            raise CodecError(f"{self.name} could not decode {len(data)} bytes: they name no setting")
        try:
            return self._codings[data[0]].decode(data[1:])
        except (ValueError, RuntimeError, IndexError) as error:
            raise CodecError(f"{self.name} could not decode its own file: {error}") from error


def compressai_codec(spec: str, device: str = "cpu") -> Codec:
    """spec: NAME@CHECKPOINT, NAME@CHECKPOINT1+CHECKPOINT2… or NAME@pretrained (see the module's text).

    Raises InputError: CompressAI or the device is missing, the name is unknown, a checkpoint is missing, damaged, not
    of that network or more than tensors, or there is nothing to download it from.
    """
    network, _, source = spec.partition("@")
    if not source:
        raise InputError(
            f"compressai:{spec} names no checkpoint: compressai:NAME@CHECKPOINT or compressai:NAME@pretrained"
        )
    if source == PRETRAINED:
        return TrainedCodec(network, _downloaded(network), device, label=PRETRAINED)
    files = [source] if Path(source).exists() else source.split("+")  # a file's name may have a plus
    if len(files) > 200 or not all(files):
        raise InputError(f"compressai:{spec}: expected 1 to 200 checkpoints joined by +")
    return TrainedCodec(network, [Path(file) for file in files], device)


def _names() -> list[str]:
    """The networks for pictures, in the order of the alphabet."""
    from compressai import zoo  # pyright: ignore[reportMissingImports]
    from compressai.registry import MODELS  # pyright: ignore[reportMissingImports]

    return sorted(n for n in MODELS if n in zoo.image_models or n not in zoo.models)


def _codings(network: str, architecture: Any, state: dict[str, Any], path: Path, device: str) -> list[NetworkCoding]:
    """A network with its weights: one coding, or one for each level of a network with several. Raises InputError."""
    variable = network.endswith("-vbr")
    options = {"vr_entbttlnck": True} if any(name.startswith("gayn2zqstep.") for name in state) else {}
    if options:  # this one bottleneck still has the names of older versions
        state = {_PLURAL.sub(lambda m: f"._{_SINGULAR[m[1]]}{m[2]}", name): tensor for name, tensor in state.items()}
    try:
        net = architecture.from_state_dict(dict(state), **options)
        net.eval().requires_grad_(False)
        net.update(force=True)
        net.to(device)
        if not variable:
            return [NetworkCoding(net, device)]
        codings = []
        for level in range(net.levels):
            prepare = None
            if options:
                prepare = lambda level=level: net.update(force=True, scale=net.Gain[level].abs())  # noqa: E731
            codings.append(NetworkCoding(net, device, {"s": level}, prepare))
        return codings
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, IndexError, AssertionError) as error:
        reason = shorten((str(error).splitlines() or [type(error).__name__])[-1], 120, placeholder=" …")
        raise InputError(f"{path}: does not hold weights of {network}: {reason}") from None


def _downloaded(network: str) -> list[Path]:
    """The zoo's checkpoints of a network, from torch's cache or the zoo's address. Raises InputError.

    Not through the zoo's own functions: those would unpickle whatever they were sent.
    """
    extra("compressai.zoo", "compressai", "compressai")
    import torch
    from compressai.zoo import image, image_vbr  # pyright: ignore[reportMissingImports]

    if network not in _names():
        raise InputError(f"unknown network {network!r} of CompressAI; there are {', '.join(_names())}")
    found = image.model_urls.get(network, image_vbr.model_urls.get(network, {})).get("mse")
    if not found:
        raise InputError(
            f"CompressAI has no pretrained weights of {network}: give it a checkpoint ({network}@CHECKPOINT)"
        )
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = []
    for url in [found] if isinstance(found, str) else [found[quality] for quality in sorted(found)]:
        file = folder / url.rpartition("/")[2]
        if not file.exists():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(file), progress=False)
            except OSError as error:
                raise InputError(f"the pretrained weights {file.name} could not be downloaded: {error}") from None
        files.append(file)
    return files


def _version() -> str:
    from compressai import __version__  # pyright: ignore[reportMissingImports]

    return __version__


def _checked(device: str) -> str:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"device {device!r} is not available here") from None
    return device
