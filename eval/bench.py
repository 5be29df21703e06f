"""What codecs cost: speed, start-up and memory, all measured in one run on the same pictures.

    pictures -> every codec at about the same rate, in turns -> Mpx/s; a fresh process each -> start-up, peak memory

Three sets of pictures: those of the folder, and two single large ones of 2 and 24 megapixels, made by laying the
largest of them side by side, mirrored at each seam: what is around a pixel, on which a coder's time depends, stays as
it is in a photograph (enlarging one would make it smoother).

Conventions, so that figures can be compared:
- Setting: of each codec's ladder, the one that comes nearest to the rate asked for (0.5 bpp) on the first pictures (see
  `timing`); the rate that it then has on each set is in the table. CompressAI has one setting (see `compressai_peer`).
- Time: of encode (samples to bytes) and decode (bytes to samples), without reading or writing any file: the sum over
  the pictures of a set, of which the median of the passes counts. Codecs take turns at every picture. A picture above
  ONE_PASS pixels has one pass: it takes long enough to be steady.
- Ratios: a codec's time over that of REFERENCE on the same pictures (of the first codec, if it does not take part).
- Start-up and memory: from a process of its own for each codec and set (see `probe`), which codes the largest picture
  of the set. Start-up is the median of these; beyond torch is what exceeds a process that only imports torch.
- On a GPU, memory is still that of the host.

CompressAI's networks do not get the largest picture. A codec that fails is named in `skipped` and left out from there
on; the figures of what it did before stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..bitstream import check_writable
from ..errors import InputError, needed
from .figures.speed import Speed, speeds
from .measure import timing
from .measure.runner import Contestant, Progress, first_of
from .measure.tsv import environment, write_tsv
from .tasks.pictures import mirrored, picture_paths, readable

__all__ = ["BenchResult", "run_bench"]

REFERENCE = "compressai:mbt2018-mean"
LARGE = (2_000_000, 24_000_000)
"""Pixels of the large pictures, about."""


@dataclass(frozen=True)
class BenchResult:
    """skipped: (picture or codec, why) of everything that was left out."""

    rows: tuple[Speed, ...]
    skipped: tuple[tuple[str, str], ...]
    comments: tuple[str, ...]

    def table(self) -> list[dict[str, Any]]:
        """The rows for printing: three digits of each figure, no ratios, no memory before the picture."""
        hidden = ("encode_time_ratio", "decode_time_ratio", "loaded_mb")
        shown = [{key: value for key, value in asdict(row).items() if key not in hidden} for row in self.rows]
        return [{k: float(f"{x:.3g}") if isinstance(x, float) else x for k, x in row.items()} for row in shown]


def run_bench(
    folder: Path | None,
    codecs: Sequence[str],
    out: Path,
    *,
    device: str = "cpu",
    repeats: int = 3,
    limit: int | None = None,
    bpp: float = timing.TARGET_BPP,
    progress: Progress | None = None,
) -> BenchResult:
    """Measure codecs on the pictures of a folder and write the table to the file `out`, replacing an older one.

    folder: None for three photographs that scikit-image brings; codecs: specs as in `peers`; device: where learned
    codecs run; repeats: passes; limit: only the first pictures by name; bpp: the rate, bits a pixel; progress(done,
    total) is called after every encode and decode and every process.

    Raises `InputError` when no picture or no codec can be measured and for options that make no sense, `UnknownModel`
    or `ModelError` for a model that cannot be loaded, `OSError` when `out` cannot be written.
    """
    if repeats < 1:
        raise InputError(f"the number of passes must be at least 1, found {repeats}")
    if not 0 < bpp < math.inf:
        raise InputError(f"bits a pixel are a number above 0, found {bpp:g}")
    needed("torch", "eval", "measuring speed")  # which the table is compared with
    skipped: list[tuple[str, str]] = []
    pictures = readable(picture_paths(folder, limit), skipped)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    check_writable(out, overwrite=True)
    made = timing.entrants(codecs, device, skipped)
    sets = [pictures, *([mirrored(pictures, pixels)] for pixels in LARGE)]
    total = sum(timing.passes_of(s, repeats) * len(s) + 1 for s in sets for entrant in made if timing.takes(entrant, s))
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    timed, torch = timing.timed(
        timing.with_settings(made, pictures, skipped, bpp), sets, repeats, device, skipped, step
    )
    if not timed:
        raise InputError(f"no codec could be measured ({first_of(skipped)})")
    if progress:
        progress(total, total)  # what a failed codec left undone will not come
    reference = REFERENCE if any(entrant.name == REFERENCE for entrant in made) else made[0].name
    title = Path(folder).resolve().name if folder else "photographs of scikit-image"
    comments = (
        f"{title}: {len(pictures)} pictures; large pictures: copies of the largest side by side, mirrored",
        *environment(device),
        f"median of {repeats} passes (1 above {timing.ONE_PASS / 1e6:g} megapixels), codecs in turns; "
        f"settings nearest to {bpp:g} bpp; ratios are times over those of {reference}; MB are 10^6 bytes",
        f"import torch alone: {torch.startup_s:.2f} s, {torch.peak_mb:.0f} MB",
        *(f"{entrant.name}: {entrant.codec.description}{_share(entrant)}" for entrant in made),
        *(f"skipped {name}: {reason}" for name, reason in skipped),
    )
    rows = speeds(timed, torch, reference)
    write_tsv(out, comments, [asdict(row) for row in rows], [column.name for column in fields(Speed)])
    return BenchResult(tuple(rows), tuple(skipped), comments)


def _share(entrant: Contestant) -> str:
    """How much of the time depends on the symbols, where random weights change those."""
    share = getattr(entrant.codec, "coding_share", None)
    return "" if share is None else f"; {100 * share:.0f}% of its time was entropy coding"
