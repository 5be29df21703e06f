"""Lossless coding side by side: bytes on disk, speed, and the model's own size.

    pictures, or a set of samples -> every codec, in the form that suits it best -> decoded and compared -> a TSV table

A set of small items can be given to a picture codec in several forms: all items side by side in one picture (`mosaic`),
one below the other (`column`), each item a row of one picture (`rows`), each item a file (`each`). The smallest counts,
and its times are reported. Every file is decoded and compared: a codec that does not give back every sample is left out
and named. Sizes are those of whole files, seconds are wall-clock for all files together, without reading or writing
them; `model_bytes` is what a decoder needs besides the program, once for all files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..bitstream import check_writable
from ..codec.media.medium import PICTURE, SET, medium_of
from ..codec.media.picture import read_picture
from ..codec.media.signal import Signal, picture_signal
from ..errors import CodecError, InputError
from .codecs.lossless import LosslessPeer, lossless_codec_by_name
from .measure.coding import coded
from .measure.tsv import environment, write_tsv
from .tasks.pictures import picture_paths

__all__ = ["COLUMNS", "LosslessResult", "LosslessRow", "run_lossless"]

COLUMNS = (
    "data",
    "codec",
    "form",
    "samples",
    "bytes",
    "bits_per_sample",
    "encode_s",
    "decode_s",
    "encode_mpx_s",
    "decode_mpx_s",
    "model_bytes",
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Subject:
    """What is coded. form: what it is called as it is, "files" of a folder of pictures, otherwise its medium's name."""

    name: str
    form: str
    signals: tuple[Signal, ...]

    @property
    def samples(self) -> int:
        return sum(signal.samples.size for signal in self.signals)

    @property
    def pixels(self) -> int:
        return sum(signal.layout.pixels for signal in self.signals)


@dataclass(frozen=True)
class LosslessRow:
    """One codec on one subject, all of its files together."""

    subject: Subject
    codec: str
    form: str
    bytes: int
    encode_s: float
    decode_s: float
    model_bytes: int

    def cells(self) -> dict[str, Any]:
        """By `COLUMNS`, as text."""
        subject, megapixels = self.subject, self.subject.pixels / 1e6
        return {
            "data": subject.name,
            "codec": self.codec,
            "form": self.form,
            "samples": subject.samples,
            "bytes": self.bytes,
            "bits_per_sample": f"{8 * self.bytes / subject.samples:.4f}",
            "encode_s": f"{self.encode_s:.2f}",
            "decode_s": f"{self.decode_s:.2f}",
            "encode_mpx_s": f"{megapixels / self.encode_s:.3g}",
            "decode_mpx_s": f"{megapixels / self.decode_s:.3g}",
            "model_bytes": self.model_bytes,
        }


@dataclass
class LosslessResult:
    """rows: what was measured; skipped: (codec on data, why)."""

    rows: list[LosslessRow] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def table(self) -> list[dict[str, str]]:
        return [{name: str(cell) for name, cell in row.cells().items()} for row in self.rows]


def run_lossless(
    sources: Sequence[str],
    codecs: Sequence[str],
    output: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LosslessResult:
    """Measure codecs on sources and write the table.

    sources: PATH, or NAME=PATH to call it something else in the table: a set (.npy, .npz, idx) or a folder of pictures,
    whose alpha is left out. codecs: see `lossless_peers`. output: the TSV file, replaced as a whole at the end. Raises
    InputError for a source or codec that is not there and when nothing could be measured; a codec that fails on a
    subject is named in `skipped` and at the head of the table.
    """
    check_writable(output, True)
    made = {spec: lossless_codec_by_name(spec, device) for spec in dict.fromkeys(codecs)}
    subjects = [_subject(source) for source in sources]
    result = LosslessResult()
    runs = [(subject, spec) for subject in subjects for spec in made]
    for n, (subject, spec) in enumerate(runs):
        try:
            result.rows.append(_measured(subject, _label(spec), made[spec]))
        except (OSError, MemoryError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            result.skipped.append((f"{_label(spec)} on {subject.name}", reason))
        if progress:
            progress(n + 1, len(runs))
    if not result.rows:
        raise InputError(f"nothing could be measured ({result.skipped[0][1] if result.skipped else 'no codec'})")
    comments = environment() + [f"{_label(spec)}: {codec.description}" for spec, codec in made.items()]
    comments += [f"left out: {what}: {why}" for what, why in result.skipped]
    write_tsv(output, comments, [row.cells() for row in result.rows], COLUMNS)
    return result


def _label(spec: str) -> str:
    """A codec's name in the table: of a model file, without its folder."""
    name, found, path = spec.partition("@")
    return f"{name}@{Path(path).name}" if found else spec


def _subject(source: str) -> Subject:
    name, found, path = source.partition("=")
    if not found:
        name, path = Path(source).name, source
    if not Path(path).is_dir():
        medium = medium_of(path)
        if medium is PICTURE:  # what no other medium claims: a picture alone is given as a folder of one
            medium = SET
        signal = medium.read(path)
        return Subject(name, signal.layout.name, (signal,))
    pictures = []
    for file in picture_paths(Path(path)):
        samples = read_picture(file)
        if samples.ndim == 3 and samples.shape[2] in (2, 4):
            samples = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
        pictures.append(picture_signal(np.ascontiguousarray(samples)))
    return Subject(name, "files", tuple(pictures))


def _measured(subject: Subject, spec: str, codec: LosslessPeer) -> LosslessRow:
    """The best form. Raises CodecError if none goes."""
    forms: dict[str, list[tuple[np.ndarray, Signal | None]]]
    if codec.any_medium or all(signal.layout.name == PICTURE.name for signal in subject.signals):
        forms = {subject.form: [(signal.samples, signal) for signal in subject.signals]}
    else:
        (signal,) = subject.signals
        forms = {form: [(array, None) for array in arrays] for form, arrays in _forms(signal.samples).items()}
    best: LosslessRow | None = None
    problems = []
    for form, contents in forms.items():
        try:
            row = _timed(subject, spec, form, contents, codec)
        except CodecError as error:
            problems.append(f"{form}: {error}")
            continue
        if best is None or row.bytes < best.bytes:
            best = row
    if best is None:
        raise CodecError("; ".join(problems))
    return best


def _timed(
    subject: Subject,
    spec: str,
    form: str,
    contents: Sequence[tuple[np.ndarray, Signal | None]],
    codec: LosslessPeer,
) -> LosslessRow:
    size, seconds, model_bytes = 0, (0.0, 0.0), 0
    for array, signal in contents:
        found = coded(spec, array, partial(codec.encode, array, signal), partial(_back, codec, array))
        if not np.array_equal(found.decoded, array):
            raise CodecError(f"does not give back {array.dtype} {list(array.shape)} as it was")
        seconds = seconds[0] + found.encode_s, seconds[1] + found.decode_s
        size += len(found.data)
        model_bytes = max(model_bytes, codec.model_bytes(found.data))
    return LosslessRow(subject, spec, form, size, seconds[0], seconds[1], model_bytes)


def _back(codec: LosslessPeer, array: np.ndarray, data: bytes) -> np.ndarray:
    return codec.decode(data, array.shape, array.dtype)


def _forms(items: np.ndarray) -> dict[str, list[np.ndarray]]:
    """A set as pictures, in all the ways that make sense of its items' shape."""
    count = len(items)
    forms = {"rows": [items.reshape(count, -1)]}
    if items.ndim != 3 and not (items.ndim == 4 and items.shape[3] == 3):
        return forms
    height, width = items.shape[1:3]
    columns = math.ceil(math.sqrt(count))
    padded = np.zeros((-(-count // columns) * columns, *items.shape[1:]), items.dtype)
    padded[:count] = items
    side_by_side = padded.reshape(-1, columns, *items.shape[1:]).swapaxes(1, 2)
    forms["mosaic"] = [np.ascontiguousarray(side_by_side.reshape(-1, columns * width, *items.shape[3:]))]
    forms["column"] = [items.reshape(count * height, width, *items.shape[3:])]
    forms["each"] = list(items)
    return forms
