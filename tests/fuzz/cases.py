"""One case of each kind: something damaged, and what is asked of it. Any bytes at all give a result or a CodecError.

    seed, kind, number -> Random -> damaged bytes -> decoded, described, in part | encoded | loaded, encoded, decoded

A case follows from its seed, kind and number, so a finding can be had again. What is no CodecError, what contradicts
itself, takes more than a minute or more than 1 GB of memory is a `Finding`.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

import lecodec
from lecodec.bitstream import LOSSLESS, NO_DIGEST, Header, Layout, LecFile, SetLayout, SoundLayout, VideoLayout
from lecodec.codec.codec import Codec, Target
from lecodec.codec.kinds import kind_of
from lecodec.codec.media.medium import medium_of, medium_of_file
from lecodec.codec.media.named import named
from lecodec.codec.media.part import Frames
from lecodec.codec.media.tar import members_of
from lecodec.codec.media.video_signal import VideoSignal
from lecodec.codec.media.video_write import write_video_signal
from lecodec.codec.registry import load, load_for
from lecodec.entropy.place import RUNTIMES
from lecodec.errors import CodecError, InputError, ModelError

from ..block_coders import DeltaCoder
from ..container_examples import box_of
from ..contract.subjects import SUBJECTS, samples_of
from . import seeds
from .mutations import candidate, damaged_input, damaged_model

__all__ = ["KINDS", "LIMITS", "MEGABYTES", "SECONDS", "Cases", "Finding"]

KINDS = ("file", "input", "model")
LIMITS = {"LECODEC_MAX_PIXELS": str(1 << 16)}
"""Set for the run, so that what is let through is quick: what a file may claim by default is in README's table."""
SECONDS, MEGABYTES = 60, 1000


class Finding(Exception):
    """What was found; data: that did it."""

    def __init__(self, text: str, data: bytes) -> None:
        super().__init__(text)
        self.data = data


class Pipe(io.RawIOBase):
    """Bytes that come once, a few at a time."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        piece = self.data[self.at : self.at + min(count, 50)]
        self.at += len(piece)
        return piece


class NotSeeking(io.BytesIO):
    """Where a video is written to as through a pipe."""

    def seekable(self) -> bool:
        return False


class Cases:
    """All cases of a seed. folder: for the files that a case needs."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.codecs: list[dict[bytes, Any]] = []
        for runtime in reversed(RUNTIMES):
            codecs = seeds.codecs(runtime)
            self.codecs.append({codec.parse_digest: codec for codec in reversed(codecs)})  # pyright: ignore
            self.codecs[-1][DeltaCoder.parse_digest] = lecodec.LosslessCodec(DeltaCoder())
        self.image = codecs[0]
        self.files, self.inputs, self.models = seeds.lec_files(seed), seeds.inputs(folder), seeds.models()
        self.slowest = 0.0
        self._smalls = {s.model.rpartition("/")[2]: (s.small(), s.target) for s in SUBJECTS if s.model}
        self._tried = {}
        for (name, _, _), codec in zip(self.models, codecs, strict=True):
            signal, target = self._smalls[name]
            self._tried[name] = codec.encode_signals([signal], target)[0]

    def run(self, kind: str, number: int) -> str:
        """Try a case -> its outcome in a word. Raises Finding."""
        rng = random.Random(f"{self.seed} {kind} {number}")
        before, started = _megabytes(), time.process_time()
        data, attempt = getattr(self, f"_{kind}")(rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = attempt()
        except CodecError as error:
            text = str(error)
            if not text or len(text) > 1000:
                raise Finding(f"{type(error).__name__} of {len(text)} letters", data) from error
            outcome = type(error).__name__
        except Exception as error:
            raise Finding(f"{type(error).__name__}: {error}", data) from error
        took, after = time.process_time() - started, _megabytes()
        self.slowest = max(self.slowest, took)
        if took > SECONDS:
            raise Finding(f"took {took:.0f} s", data)
        if after > max(MEGABYTES, before):
            raise Finding(f"took {after:.0f} MB of memory, before it was {before:.0f}", data)
        return outcome

    # -- .lec files

    def _file(self, rng: random.Random) -> tuple[bytes, Callable[[], str]]:
        data = candidate(rng, self.files)
        return data, lambda: self._read(rng, data)

    def _codec_for(self, header: Header, number: int) -> Codec:
        if header.parse_digest == NO_DIGEST and header.codec == LOSSLESS:
            return load_for(header)
        return self.codecs[number].get(header.parse_digest) or self.image

    def _read(self, rng: random.Random, data: bytes) -> str:
        """Decode a file whole, in part, and describe it; the three have to agree."""
        try:
            opened = LecFile.open(data)
        except CodecError:
            with suppress(CodecError):
                lecodec.info(data)
                raise AssertionError("info takes what cannot be opened") from None
            raise
        whole, error, codec = None, None, self._codec_for(opened.header, rng.randrange(len(RUNTIMES)))
        try:
            whole = codec.decode(data)
            shape = _shape(opened.layout)
            assert whole.shape[: min(2, len(shape))] == shape[:2], "another shape than announced"
        except CodecError as problem:
            error = problem
        try:
            facts = lecodec.info(data)
            assert facts["bytes"] == len(data), "info counts other bytes"
        except CodecError:
            assert whole is None, "info refuses what decode takes"
        try:
            part, wanted = self._part(rng, data, codec, opened, whole)
        except CodecError as problem:  # a part may be whole where the file is not, but not the other way round
            assert whole is None or isinstance(problem, InputError), f"a part fails where the whole does not: {problem}"
        else:
            if wanted is not None:
                scale = 2**-12 if part.dtype.kind == "f" else np.iinfo(part.dtype).max // 255
                scale = 0 if opened.header.lossless else scale
                assert part.shape == wanted.shape, "a part of another shape"
                assert np.abs(wanted.astype(float) - part).max(initial=0) <= scale, "a part unlike the whole"
        if error is not None:
            raise error
        return "decoded"

    def _part(
        self, rng: random.Random, data: bytes, codec: Any, opened: LecFile, whole: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A part of a file, and what it ought to be if the whole is known. Read from where it may seek, or may not."""
        source: Any = io.BytesIO(data) if rng.random() < 0.5 else Pipe(data)
        layout = opened.layout
        if isinstance(layout, SetLayout):
            numbers = [rng.randrange(layout.count) for _ in range(rng.randrange(3))]
            return codec.decode_items(source, numbers), None if whole is None else whole[numbers]
        if isinstance(layout, SoundLayout | VideoLayout):
            count = layout.samples if isinstance(layout, SoundLayout) else max(1, layout.frames)
            first = rng.randrange(count)
            last = min(count, first + rng.randrange(1, 40))
            signal = codec.decode_files([LecFile.open(source)], Frames(first, last))[0]
            if isinstance(layout, SoundLayout) and rng.random() < 0.3:  # with tags and cue points
                with suppress(InputError):  # more channels or another rate than WAV has
                    medium_of("x.wav").write(signal, io.BytesIO(), form="wav")
                signal = codec.decode_files([LecFile.open(data)], Frames(first, last))[0]
            if isinstance(signal, VideoSignal) and rng.random() < 0.3:  # with the sound that is beside it
                write_video_signal(signal, NotSeeking(), form="mkv")
                signal = codec.decode_files([LecFile.open(data)], Frames(first, last))[0]
            return samples_of(signal), None if whole is None else whole[first:last]
        x, y, w, h = box_of(opened.header, rng.randrange(layout.units))
        return codec.decode_region(source, (x, y, w, h)), None if whole is None else whole[y : y + h, x : x + w]

    # -- what is encoded

    def _input(self, rng: random.Random) -> tuple[bytes, Callable[[], str]]:
        suffix, data = rng.choice(self.inputs)
        data = damaged_input(rng, suffix, data)
        path = self.folder / f"input{suffix}"
        path.write_bytes(data)

        def attempt() -> str:
            if ".tar" in suffix:
                return f"{sum(1 for _ in members_of(io.BytesIO(data)))} members"
            signal = medium_of_file(str(path)).read(str(path))
            if isinstance(signal, VideoSignal):
                for _, frame in zip(range(20), signal.frames(), strict=False):
                    assert frame.samples.dtype == np.uint8
            elif signal.layout.name == "sound":
                for _, block in zip(range(20), signal.blocks(), strict=False):  # pyright: ignore
                    assert np.isfinite(block).all(), "samples that are not finite"
            else:
                file = lecodec.LosslessCodec().encode_signals([signal], Target("lossless"))[0]
                assert np.array_equal(lecodec.decode(file), signal.samples), "not what was read"
            return "read"

        return data, attempt

    # -- models

    def _model(self, rng: random.Random) -> tuple[bytes, Callable[[], str]]:
        name, tensors, card = rng.choice(self.models)
        if rng.random() < 0.1:
            from .mutations import mutate

            data = mutate(rng, save(tensors, {"card": json.dumps(card)}))
        else:
            tensors, card = damaged_model(rng, tensors, card)
            if rng.random() < 0.9:
                card = stamped(tensors, card)
            data = save({n: np.ascontiguousarray(a) for n, a in tensors.items()}, {"card": json.dumps(card)})
        return data, lambda: self._use(name, data)

    def _use(self, name: str, data: bytes) -> str:
        """Load a model, encode with it, decode that, and decode a file of the model as it was."""
        path = self.folder / "model.safetensors"
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(0, time.monotonic_ns()))  # what is remembered goes by the time
        codec = load(model=path)
        signal, target = self._smalls[name]
        outcome = "loaded"
        try:
            file = codec.encode_signals([signal], target)[0]
        except CodecError as error:
            outcome = f"loaded, {type(error).__name__}"
        else:
            try:
                decoded = codec.decode(file)
            except CodecError as error:  # such as synthesis that is not finite
                assert "digest" not in str(error), f"a file of its own is refused: {error}"
                outcome = f"loaded, encoded, {type(error).__name__}"
            else:
                assert not target.lossless or np.array_equal(decoded, signal.samples), "not what was encoded"
                outcome = "loaded, encoded, decoded"
        try:
            codec.decode(self._tried[name])
        except CodecError:
            pass
        return outcome


def stamped(tensors: dict[str, np.ndarray], card: dict[str, Any]) -> dict[str, Any]:
    """The card with digests that are right again, if the model is one at all."""
    kind = kind_of(card)
    if kind is None:
        return card
    if kind.domain:  # what codes without loss takes cards without a digest, and tells its own
        try:
            made = named(kind.load)(tensors, {k: v for k, v in card.items() if k != "parse_digest"}, "cpu")
            return {**card, "parse_digest": made.parse_digest.hex()}
        except Exception:  # said again by the case itself
            return card
    from lecodec.codec.registry import _codec_of

    for _ in range(2):  # one digest after the other
        try:
            _codec_of(tensors, card, "cpu", seeds.GOLDEN)
        except ModelError as error:
            words = str(error).split()
            if "but its card says" in str(error):
                card = {**card, f"{words[2]}_digest": words[5].rstrip(",")}
        except Exception:
            break
    return card


def _shape(layout: Layout) -> tuple[int, ...]:
    """Of what a file with this layout decodes to, or how that begins."""
    if isinstance(layout, VideoLayout):
        return layout.frames, layout.height
    return (layout.samples,) if isinstance(layout, SoundLayout) else layout.sample_shape


def _megabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
