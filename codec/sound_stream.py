"""Sounds that are coded and decoded as they come: with the delay of a segment, and no more memory than that.

    samples -> SoundEncoder.write ... finish -> bytes of a `.lec` file -> SoundDecoder.write ... finish -> samples

The file is a streamed one (see `bitstream.streamed`): its length stands at its end. Of `seconds` of sound the first
`seconds - segment - 0.02` are out of the encoder, and as many of what it gave out are out of the decoder.

>>> import numpy as np, lecodec
>>> encoder = lecodec.SoundEncoder(16000, quality=50)
>>> tone = np.sin(np.arange(40000) / 9).astype(np.float32)
>>> data = b"".join([encoder.write(tone[:30000]), encoder.write(tone[30000:]), encoder.finish()])
>>> decoder = lecodec.SoundDecoder()
>>> samples = np.concatenate([decoder.write(data), decoder.finish()])
>>> samples.shape, decoder.sample_rate
((40000, 1), 16000)
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..bitstream import LOSSLESS, NO_DIGEST, Header, LecFile, Metadata, SoundLayout
from ..bitstream.container import pack_front
from ..bitstream.layout import UNSPECIFIED
from ..bitstream.streamed import pack_last, pack_segment
from ..entropy.coder import Writer
from ..entropy.guard import guarded
from ..errors import CodecError, InputError
from .codec import QUALITY, Codec, Target
from .image import fixed_quality
from .media.sound_signal import STEREO, SoundSignal, array_signal, real, sound_layout
from .registry import load, load_for
from .sound import SoundCodec
from .sound_lossless import coded
from .sound_segments import Cutter

__all__ = ["LIVE", "EncodedSound", "SoundDecoder", "SoundEncoder", "encoded_pieces"]

LIVE = 1.0
"""Seconds of a segment if nothing is said."""


class SoundEncoder:
    """sample_rate: in Hz; channels: 1 or 2, without loss up to 255; quality: 1 to 100; segment: seconds of each
    segment, 0.02 to 60: the delay, and for short ones more bytes; lossless: keep every sample; model: name or path.

    Raises InputError, LimitExceeded, UnknownModel, ModelError. Not for several threads at once.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int = 1,
        quality: float = 60,
        *,
        segment: float = LIVE,
        lossless: bool = False,
        bit_depth: int = 16,
        floating: bool = False,
        metadata: Metadata | None = None,
        model: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        codec: SoundCodec | None = None,
    ) -> None:
        if not lossless and not 1 <= channels <= STEREO:
            raise InputError(f"{channels} channels, expected 1 or {STEREO} with loss")
        rest: dict[str, Any] = {"bit_depth": bit_depth, "floating": int(floating), "streamed": True}
        layout = sound_layout(sample_rate, channels, 0, frames=round(50 * segment), **rest)
        self.codec = None if lossless else codec or load("sound", device, model=model, of=SoundCodec)
        self._header = Header(
            version=2,
            layout=layout,
            codec=LOSSLESS if lossless else 0,
            parse_digest=NO_DIGEST if self.codec is None else self.codec.parse_digest,
            synthesis_digest=NO_DIGEST if self.codec is None else self.codec.synthesis_digest,
            quality=0 if lossless else fixed_quality(quality),
        )
        self._cutter = Cutter(layout)
        self._exact: list[np.ndarray] = []
        self._metadata = metadata or Metadata(primaries=UNSPECIFIED, transfer=UNSPECIFIED)
        self._begun = self._done = False
        self.samples = 0
        """Of each channel, that have come in."""

    @property
    def header(self) -> Header:
        """With the samples that there are so far."""
        layout = self._header.layout
        assert isinstance(layout, SoundLayout)
        return replace(self._header, layout=replace(layout, samples=self.samples))

    def write(self, samples: np.ndarray) -> bytes:
        """Samples [n] or [n, channels], floats or integers, n 0 or more -> the bytes that are ready.

        Raises InputError.
        """
        if self._done:
            raise InputError("the sound is at its end")
        if not np.size(samples):
            return b""
        signal = array_signal(np.asarray(samples), self._layout.sample_rate)
        if signal.samples.shape[1] != self._layout.channels:
            raise InputError(f"{signal.samples.shape[1]} channels, expected {self._layout.channels}")
        self.samples += len(signal.samples)
        if self.samples >= 2**32:
            raise InputError("the sound is longer than a file can say")
        return b"".join([self._front(), *(self._whole(segment) for segment in self._cut(signal.samples))])

    def finish(self) -> bytes:
        """The rest of the file. Raises InputError for a sound without samples."""
        if not self.samples:
            raise InputError("the sound has no samples")
        if self._done:
            return b""
        self._done = True
        left = [np.concatenate(self._exact)] if self.codec is None else list(self._cutter.finish())
        *whole, last = left
        parts = [self._front(), *map(self._whole, whole), pack_last(self._header, self.samples, *self._coded(last))]
        return b"".join(parts)

    @property
    def _layout(self) -> SoundLayout:
        assert isinstance(self._header.layout, SoundLayout)
        return self._header.layout

    def _front(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return pack_front(self._header, self._metadata)

    def _whole(self, segment: np.ndarray) -> bytes:
        return pack_segment(self._header, *self._coded(segment))

    def _cut(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        if self.codec is not None:
            yield from self._cutter.push(real(samples))
            return
        self._exact.append(samples)
        step = self._layout.step
        while sum(map(len, self._exact)) > step:  # the last segment is known when there is no more
            whole = np.concatenate(self._exact)
            yield whole[:step]
            self._exact = [whole[step:]]

    @guarded
    def _coded(self, segment: np.ndarray) -> tuple[bytes, bytes]:
        """Digest and payload of a segment."""
        if self.codec is None:
            return coded(segment, self._layout)
        writer = Writer()
        (found,) = self.codec.write_segments([writer], [segment], self._layout, self._header.quality)
        return found.digest(), writer.finish()


class EncodedSound:
    """A file in pieces, given out once, each as soon as it is there. blocks: stretches of samples."""

    def __init__(self, encoder: SoundEncoder, blocks: Iterable[np.ndarray]) -> None:
        self._encoder, self._blocks = encoder, blocks

    @property
    def header(self) -> Header:
        return self._encoder.header

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if piece := self._encoder.write(block):
                yield piece
        yield self._encoder.finish()


def encoded_pieces(signal: SoundSignal, target: Target, codec: Codec) -> EncodedSound:
    """A sound that comes as it is made, coded as it comes. codec: of sounds, with loss or without as the target is."""
    layout = signal.sound_layout
    encoder = SoundEncoder(
        layout.sample_rate,
        layout.channels if target.lossless else min(STEREO, layout.channels),
        QUALITY if target.lossless else target.value,
        segment=layout.segment / 50,
        lossless=target.lossless,
        bit_depth=layout.bit_depth,
        floating=bool(layout.floating),
        metadata=signal.metadata,
        codec=codec if isinstance(codec, SoundCodec) else None,
    )
    blocks = signal.blocks if not target.lossless or signal.exact is None else signal.exact
    return EncodedSound(encoder, blocks())


class SoundDecoder:
    """Decodes a `.lec` file of a sound from pieces of its bytes, streamed or not. model: name or path; by default the
    one that the file names is looked for. A thread reads while others write, so `close` what is not finished.

    Raises a CodecError for bytes that are no such file, as soon as they are there. Nothing is given out unchecked.
    """

    def __init__(self, *, model: str | os.PathLike[str] | None = None, device: str = "cpu") -> None:
        self._model, self._device = model, device
        self._in: queue.Queue[bytes | None] = queue.Queue()
        self._out: queue.Queue[np.ndarray | BaseException | None] = queue.Queue()
        self._ahead, self._ended = b"", False
        self._file: LecFile | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def sample_rate(self) -> int | None:
        """In Hz, as soon as it is known."""
        layout = None if self._file is None else self._file.layout
        return layout.sample_rate if isinstance(layout, SoundLayout) else None

    def write(self, data: bytes) -> np.ndarray:
        """Bytes of the file -> the samples that they complete, [n, channels], n 0 or more: float32, or without loss
        what the source had.
        """
        if self._ended:
            raise InputError("the sound is at its end")
        if len(data):  # none are the end
            self._in.put(bytes(data))
        self._in.put(None)  # asks for what is ready
        return self._taken(end=False)

    def finish(self) -> np.ndarray:
        """The rest of the samples. Raises TruncatedFile if the file is not at its end."""
        if self._ended:
            return self._nothing()
        self._ended = True
        self._in.put(b"")
        found = self._taken(end=True)
        self._thread.join()
        return found

    def close(self) -> None:
        """Give up what was begun."""
        if not self._ended:
            self._ended = True
            self._in.put(b"")
            self._thread.join()

    def _taken(self, end: bool) -> np.ndarray:
        parts = [self._nothing()]
        while True:
            found = self._out.get()
            if isinstance(found, BaseException):
                self._ended = True
                raise found
            if found is None:
                return parts[0] if len(parts) == 1 else np.concatenate(parts[1:])
            parts.append(found)

    def _nothing(self) -> np.ndarray:
        layout = None if self._file is None else self._file.layout
        return np.zeros((0, layout.channels if isinstance(layout, SoundLayout) else 1), np.float32)

    # -- what the thread does; to LecFile this object is a pipe

    def _run(self) -> None:
        try:
            self._file = LecFile.open(self)  # pyright: ignore[reportArgumentType]
            codec: Any = load_for(self._file.header, self._device, model=self._model)
            for samples in codec.samples(self._file):
                self._out.put(samples)
            while self._next() != b"":
                pass
            self._out.put(None)
        except (CodecError, OSError, MemoryError) as error:
            self._out.put(error)
        except BaseException as error:  # a fault of this program is not to be waited for
            self._out.put(error)

    def _next(self) -> bytes:
        """The next bytes; none at the end. Whoever asked what was ready is told that this is all."""
        while (data := self._in.get()) is None:
            self._out.put(None)
        return data

    def read(self, count: int) -> bytes:
        while not self._ahead:
            data = self._next()
            if not data:
                self._in.put(b"")  # the end stays the end
                return b""
            self._ahead = data
        found, self._ahead = self._ahead[:count], self._ahead[count:]
        return found

    def seekable(self) -> bool:
        return False
