"""What codecs cost: speed, start-up and memory, all measured in one run on the same pictures.

    pictures -> every codec at about the same rate, in turns -> Mpx/s; a fresh process each -> start-up, peak memory

Three sets of pictures: those of the folder, and two large ones (2 and 24 megapixels), made by laying the largest of them
side by side, mirrored at each seam: the detail in a pixel's neighbourhood, on which the time of a coder depends, stays
that of a photograph (enlarging it would make it smoother).

Conventions, so that figures can be compared:
- Setting: of each codec's ladder, the one whose files of the first pictures together come nearest to TARGET_BPP; the
  rate that it really has on a set of pictures is in the table. CompressAI has one setting (see `compressai_peer`).
- Time: of encode (samples to bytes) and decode (bytes to samples), picture files not included. In each pass every
  picture goes through every codec before the next picture has its turn, so that what else the machine does meets all
  alike. The time of a pass is the sum over pictures; the figure is the median of the passes. One encode and decode
  of each codec before is not timed.
- Ratios: a codec's time for a pixel over that of REFERENCE on the same pictures (the first codec, if it is not there).
- Start-up and memory: in a process of its own for each codec and set (see `probe`), with the largest picture of the set.
  Start-up is the median over these processes; beyond torch is what lies above a process that imports torch only.

CompressAI's networks do not get the 24-megapixel picture: they are not tiled. A codec that fails is named in `skipped`
and left out from there on; the figures of what it did before stay.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from ..bitstream import check_writable
from ..errors import CodecError, InputError
from . import report
from .peers import Codec, codec_by_name, unique_name
from .pictures import BUNDLED, bundled, picture_paths, read_rgb
from .probe import BARE_TORCH, Probe, probe
from .rd import Progress

__all__ = ["CODECS", "BenchResult", "Row", "run_bench"]

CODECS = ("lecodec", "compressai:bmshj2018-hyperprior", "compressai:mbt2018-mean", "jpeg", "webp", "avif", "jxl")
"""What there is to compare, in the order of the table."""
REFERENCE = "compressai:mbt2018-mean"
TARGET_BPP = 0.5
SEARCHED = 4
"""How many pictures the settings are chosen on."""
LARGE = (2_000_000, 24_000_000)
"""Pixels of the large pictures, about."""
COMPRESSAI_PIXELS = 3_000_000
_FAILURES = (CodecError, MemoryError, RuntimeError)  # RuntimeError: torch's, out of memory or a damaged installation


@dataclass(frozen=True)
class Row:
    """One codec on one set of pictures.

    width, height: of the set's largest picture; bpp: of whole files, over all pixels; encode, decode: 10^6 pixels a
    second; the ratios: time over that of the reference, 1 for itself, `nan` where that was not measured; startup_s,
    loaded_mb, peak_mb as in `Probe`; beyond_torch: startup_s and peak_mb less those of `import torch` (`nan` for codecs
    that need no torch).
    """

    codec: str
    pictures: int
    width: int
    height: int
    setting: float
    bpp: float
    encode_mpx_s: float
    decode_mpx_s: float
    encode_time_ratio: float
    decode_time_ratio: float
    startup_s: float
    beyond_torch_s: float
    loaded_mb: float
    peak_mb: float
    beyond_torch_mb: float


@dataclass(frozen=True)
class BenchResult:
    """skipped: (picture or codec, why) of everything that was left out."""

    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...]
    comments: tuple[str, ...]

    def table(self) -> list[dict[str, Any]]:
        """The rows without the ratios and rounded, for printing."""
        hidden = ("encode_time_ratio", "decode_time_ratio", "loaded_mb")
        digits = {"bpp": 3, "startup_s": 2, "beyond_torch_s": 2, "peak_mb": 0, "beyond_torch_mb": 0}
        return [
            {
                key: round(value, digits.get(key, 2)) if isinstance(value, float) else value
                for key, value in asdict(row).items()
                if key not in hidden
            }
            for row in self.rows
        ]


def run_bench(
    folder: Path | None,
    codecs: Sequence[str],
    out: Path,
    *,
    device: str = "cpu",
    repeats: int = 3,
    limit: int | None = None,
    progress: Progress | None = None,
) -> BenchResult:
    """Measure codecs on the pictures of a folder and write the table to `out`, replacing an older one.

    folder: None for three photographs that scikit-image brings; codecs: specs as in `peers`; device: where learned
    codecs run; repeats: passes; limit: only the first pictures by name; progress(done, total) is called after every
    encode and decode and every process.

    Raises `InputError` when no picture or no codec can be measured and for options that make no sense, `OSError` when
    `out` cannot be written.
    """
    if repeats < 1:
        raise InputError(f"the number of passes must be at least 1, found {repeats}")
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    check_writable(out, overwrite=True)
    skipped: list[tuple[str, str]] = []
    title, pictures = _pictures(folder, limit, skipped)
    entrants = _entrants(codecs, device, skipped)
    bench = _Bench(entrants, device, repeats, skipped, progress)
    sets = [pictures, *([_enlarged(pictures, pixels)] for pixels in LARGE)]
    rows = bench.measure(sets)
    described = (
        f"{entrant.name} (setting {entrant.setting:g}): {entrant.codec.description}{_share(entrant.codec)}"
        for entrant in entrants
    )
    largest = max(pictures, key=_area)
    comments = (
        f"{title}; large pictures: the {largest.shape[1]} x {largest.shape[0]} one laid side by side, mirrored",
        *report.environment(),
        *_device_name(device),
        f"median of {repeats} passes, all codecs in turns; settings nearest to {TARGET_BPP:g} bpp; "
        f"time ratios against {bench.reference}",
        f"import torch alone: {bench.torch.startup_s:.2f} s, {bench.torch.peak_mb:.0f} MB",
        *described,
        *(f"skipped {name}: {reason}" for name, reason in skipped),
    )
    report.write_tsv(out, comments, [asdict(row) for row in rows], [column.name for column in fields(Row)])
    return BenchResult(tuple(rows), tuple(skipped), comments)


@dataclass
class _Entrant:
    """A codec that takes part; `setting` is chosen once the pictures are there."""

    spec: str
    name: str
    codec: Codec
    setting: float = math.nan

    @property
    def learned(self) -> bool:
        return self.spec.startswith(("lecodec", "compressai"))

    def takes(self, pictures: Sequence[np.ndarray]) -> bool:
        return not self.spec.startswith("compressai") or max(map(_area, pictures)) <= COMPRESSAI_PIXELS


@dataclass
class _Times:
    """Of one codec on one set: bytes of all files, and the seconds of each pass."""

    size: int
    encode: list[float]
    decode: list[float]


class _Bench:
    """One run. A codec that fails is taken off `active`."""

    def __init__(
        self,
        entrants: list[_Entrant],
        device: str,
        repeats: int,
        skipped: list[tuple[str, str]],
        progress: Progress | None,
    ) -> None:
        self.active = list(entrants)
        self.device, self.repeats, self.skipped = device, repeats, skipped
        self.progress = progress or (lambda done, total: None)
        self.done = self.total = 0
        names = [entrant.name for entrant in entrants]
        self.reference = REFERENCE if REFERENCE in names else names[0]
        self.torch = Probe(math.nan, math.nan, math.nan)

    def measure(self, sets: list[list[np.ndarray]]) -> list[Row]:
        self.total = sum(
            self.repeats * len(pictures) + 1 for pictures in sets for entrant in self.active if entrant.takes(pictures)
        )
        for entrant in list(self.active):
            try:
                entrant.setting = _setting(entrant.codec, sets[0][:SEARCHED])
            except _FAILURES as error:
                self._failed(entrant, error)
        measured = []
        with tempfile.TemporaryDirectory() as folder:
            for pictures in sets:
                times = self._times(pictures)
                largest = Path(folder) / "largest.npy"
                np.save(largest, max(pictures, key=_area))
                measured += [(pictures, entrant, t, self._probe(entrant, largest)) for entrant, t in times]
            if any(entrant.learned for entrant in self.active):
                bare = [probe(BARE_TORCH) for _ in sets]
                self.torch = Probe(
                    median(p.startup_s for p in bare), bare[0].loaded_mb, median(p.peak_mb for p in bare)
                )
        self.progress(self.total, self.total)
        if not measured:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            raise InputError(f"no codec could be measured ({reasons})")
        return self._rows(measured)

    def _times(self, pictures: list[np.ndarray]) -> list[tuple[_Entrant, _Times]]:
        """The times of every codec that takes these pictures and manages them."""
        times = {e.name: _Times(0, [], []) for e in self.active if e.takes(pictures)}
        for number in range(self.repeats):
            for found in times.values():
                found.encode.append(0.0)
                found.decode.append(0.0)
            for rgb in pictures:
                for entrant in [e for e in self.active if e.name in times]:
                    try:
                        data, encode_s, decode_s = self._code(entrant, rgb)
                    except _FAILURES as error:
                        self._failed(entrant, error)
                        continue
                    found = times[entrant.name]
                    found.size += len(data) if number == 0 else 0
                    found.encode[-1] += encode_s
                    found.decode[-1] += decode_s
                    self._step()
        return [(e, times[e.name]) for e in self.active if e.name in times]

    def _code(self, entrant: _Entrant, rgb: np.ndarray) -> tuple[bytes, float, float]:
        start = self._clock()
        data = entrant.codec.encode(rgb, entrant.setting)
        middle = self._clock()
        decoded = entrant.codec.decode(data)
        end = self._clock()
        if decoded.shape != rgb.shape or decoded.dtype != np.uint8:
            raise CodecError(f"{entrant.name} returned {decoded.dtype} {decoded.shape} for uint8 {rgb.shape}")
        return data, middle - start, end - middle

    def _clock(self) -> float:
        """Seconds, once the GPU has done what it was given."""
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()
        return perf_counter()

    def _probe(self, entrant: _Entrant, picture: Path) -> Probe:
        try:
            found = probe(entrant.spec, entrant.setting, picture, self.device)
        except CodecError as error:
            self.skipped.append((entrant.name, str(error)))
            found = Probe(math.nan, math.nan, math.nan)
        self._step()
        return found

    def _rows(self, measured: list[tuple[list[np.ndarray], _Entrant, _Times, Probe]]) -> list[Row]:
        starts: dict[str, list[float]] = {}
        for _, entrant, _, found in measured:
            starts.setdefault(entrant.name, []).append(found.startup_s)
        rows = []
        for pictures, entrant, times, found in measured:
            reference = next((t for p, e, t, _ in measured if p is pictures and e.name == self.reference), None)
            pixels = sum(map(_area, pictures))
            largest = max(pictures, key=_area)
            encode, decode = median(times.encode), median(times.decode)
            startup = median([s for s in starts[entrant.name] if not math.isnan(s)] or [math.nan])
            torch = self.torch if entrant.learned else Probe(math.nan, math.nan, math.nan)
            rows.append(
                Row(
                    codec=entrant.name,
                    pictures=len(pictures),
                    width=largest.shape[1],
                    height=largest.shape[0],
                    setting=float(entrant.setting),
                    bpp=8 * times.size / pixels,
                    encode_mpx_s=pixels / 1e6 / encode,
                    decode_mpx_s=pixels / 1e6 / decode,
                    encode_time_ratio=encode / median(reference.encode) if reference else math.nan,
                    decode_time_ratio=decode / median(reference.decode) if reference else math.nan,
                    startup_s=startup,
                    beyond_torch_s=startup - torch.startup_s,
                    loaded_mb=found.loaded_mb,
                    peak_mb=found.peak_mb,
                    beyond_torch_mb=found.peak_mb - torch.peak_mb,
                )
            )
        return rows

    def _failed(self, entrant: _Entrant, error: BaseException) -> None:
        self.active.remove(entrant)
        self.skipped.append((entrant.name, " ".join(str(error).split()) or type(error).__name__))

    def _step(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _pictures(folder: Path | None, limit: int | None, skipped: list[tuple[str, str]]) -> tuple[str, list[np.ndarray]]:
    """What they are, in words, and the pictures, each uint8 [H, W, 3]."""
    if folder is None:
        paths, title = [bundled(name) for name in BUNDLED][:limit], "photographs of scikit-image"
    else:
        paths, title = picture_paths(Path(folder), limit), Path(folder).resolve().name
    pictures = []
    for path in paths:
        try:
            pictures.append(read_rgb(path))
        except CodecError as error:
            skipped.append((path.name, str(error)))
    if not pictures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise InputError(f"{title}: no picture could be read ({reasons})")
    return f"{title}: {len(pictures)} pictures", pictures


def _entrants(codecs: Sequence[str], device: str, skipped: list[tuple[str, str]]) -> list[_Entrant]:
    entrants: list[_Entrant] = []
    for spec in dict.fromkeys(codecs):
        try:
            codec = codec_by_name(spec, device, for_time=True)
        except _FAILURES as error:
            skipped.append((spec, " ".join(str(error).split())))
        else:
            entrants.append(_Entrant(spec, unique_name(codec.name, [e.name for e in entrants]), codec))
    if not entrants:
        reasons = "; ".join(reason for _, reason in skipped[-3:]) or "none was named"
        raise InputError(f"no codec to measure ({reasons})")
    return entrants


def _setting(codec: Codec, pictures: Sequence[np.ndarray]) -> float:
    """The setting whose files of these pictures come nearest to TARGET_BPP. Codes at least one picture both ways."""
    codec.decode(codec.encode(pictures[0], codec.ladder[0]))
    if len(codec.ladder) == 1:
        return codec.ladder[0]
    pixels = sum(map(_area, pictures))
    bpp = {s: 8 * sum(len(codec.encode(rgb, s)) for rgb in pictures) / pixels for s in codec.ladder}
    return min(bpp, key=lambda setting: abs(math.log(bpp[setting] / TARGET_BPP)))


def _enlarged(pictures: Sequence[np.ndarray], pixels: int) -> np.ndarray:
    """About so many pixels of the largest picture's proportions, from its mirrored copies side by side."""
    source = max(pictures, key=_area)
    scale = math.sqrt(pixels / _area(source))
    height, width = (max(1, round(scale * side)) for side in source.shape[:2])
    extra = max(0, height - source.shape[0]), max(0, width - source.shape[1])
    return np.pad(source, ((0, extra[0]), (0, extra[1]), (0, 0)), mode="symmetric")[:height, :width].copy()


def _area(rgb: np.ndarray) -> int:
    return rgb.shape[0] * rgb.shape[1]


def _share(codec: Codec) -> str:
    """How much of the time depends on the symbols, which random weights change."""
    share = getattr(codec, "coding_share", None)
    return "" if share is None else f"; {100 * share:.0f}% of its time was entropy coding"


def _device_name(device: str) -> list[str]:
    if device == "cpu":
        return []
    import torch

    return [f"learned codecs on {device}: {torch.cuda.get_device_name(torch.device(device))}"]
