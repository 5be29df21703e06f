"""Lossless coding side by side: bytes on disk, speed, and the model's own size.

    pictures, or a set of samples -> every codec, in the form that suits it best -> decoded and compared -> a TSV table

A set can be given to a picture codec in several forms (see `tasks.subjects`). The smallest counts, and its times are
reported. Every file is decoded and compared: a codec that does not give back every sample is left out
and named. Sizes are those of whole files, seconds are wall-clock for all files together, without reading or writing
them; `model_bytes` is what a decoder needs besides the program, once for all files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..bitstream import check_writable
from ..errors import CodecError, InputError
from .codecs.lossless import lossless_codec_by_name, model_bytes_of
from .measure.coding import Coding, Metric
from .measure.runner import Contestant, Progress, contestants, measured, provenance
from .measure.tsv import write_tsv
from .tasks.subjects import Subject, read_subject

__all__ = ["COLUMNS", "LosslessResult", "run_lossless"]

COLUMNS = ("data", "codec", "form", "samples", "bytes", "bits_per_sample", "encode_s", "decode_s", "encode_mpx_s")
COLUMNS += ("decode_mpx_s", "model_bytes")


@dataclass
class LosslessResult:
    """rows: of the table, by COLUMNS; skipped: (codec on data, why)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def table(self) -> list[dict[str, str]]:
        """For printing."""
        return [{name: str(cell) for name, cell in row.items()} for row in self.rows]


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
    whose alpha is left out. codecs: see `codecs.lossless`. output: the TSV file, replaced as a whole at the end. Raises
    InputError for a source or codec that is not there and when nothing could be measured; a codec that fails on a
    subject is named in `skipped` and at the head of the table.
    """
    check_writable(output, True)
    named = contestants(codecs, lambda spec: lossless_codec_by_name(spec, device))
    subjects = [read_subject(source) for source in sources]
    result = LosslessResult()
    for n, (subject, contestant) in enumerate((s, c) for s in subjects for c in named.values()):
        try:
            result.rows.append(_smallest(subject, contestant))
        except CodecError as error:
            result.skipped.append((f"{contestant.name} on {subject.name}", str(error)))
        if progress:
            progress(n + 1, len(subjects) * len(named))
    if not result.rows:
        raise InputError(f"nothing could be measured ({result.skipped[0][1]})")
    write_tsv(output, provenance(named, result.skipped), result.rows, COLUMNS)
    return result


def _smallest(subject: Subject, contestant: Contestant) -> dict[str, Any]:
    """The row of the form that takes the fewest bytes. Raises CodecError if none goes."""
    rows, problems = [], []
    for form, contents in subject.forms(getattr(contestant.codec, "takes", "pictures")).items():
        run = measured({str(n): lambda x=x: x for n, x in enumerate(contents)}, [contestant], _METRICS)
        if run.failures:
            problems.append(f"{form}: {run.failures[0].reason}")
            continue
        size, samples = sum(row.bytes for row in run.rows), sum(signal.samples.size for signal in subject.signals)
        megapixels = sum(signal.layout.pixels for signal in subject.signals) / 1e6
        encode_s, decode_s = (sum(getattr(row, way) for row in run.rows) for way in ("encode_s", "decode_s"))
        facts = (subject.name, contestant.name, form, samples, size, f"{8 * size / samples:.4f}")
        speed = (f"{encode_s:.2f}", f"{decode_s:.2f}", f"{megapixels / encode_s:.3g}", f"{megapixels / decode_s:.3g}")
        model = max(int(row.metrics["model_bytes"]) for row in run.rows)
        rows.append(dict(zip(COLUMNS, (*facts, *speed, model), strict=True)))
    if not rows:
        raise CodecError("; ".join(problems))
    return min(rows, key=lambda row: row["bytes"])


def _difference(coding: Coding) -> float:
    wanted = coding.original.array
    if not np.array_equal(coding.decoded, wanted):
        raise CodecError(f"does not give back {wanted.dtype} {list(wanted.shape)} as it was")
    return 0.0


_METRICS: Mapping[str, Metric] = {
    "difference": Metric("difference", _difference),
    "model_bytes": Metric("model_bytes", lambda coding: model_bytes_of(coding.codec, coding.data)),
}
