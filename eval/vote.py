"""Pictures to judge by eye: crops at equal bytes, one codec against others, in one page to vote in without names.

    pictures -> rival at a rate, codec in at most the rival's bytes -> crops -> vote.html

Every picture has one rate (they take turns) and one crop: where it is busy and where it is calm, in turn, so that
textures and skies both come up, or where a table says. Whole pictures are coded, at whatever setting comes closest from
below; what is voted on is the crop. The codec under test never has more bytes than the rival beside it. Crops are shown
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bitstream import check_writable
from ..errors import CodecError, InputError
from .codecs.codec import Codec
from .codecs.peers import codec_by_name
from .figures.equal_bytes import Fitted
from .report.gallery import webp_uri
from .report.votes import Side, Trial, write_votes
from .tasks.pictures import picture_paths, read_rgb

__all__ = ["VotePage", "crop_at", "run_vote"]

_BUSY, _CALM = 0.9, 0.3
"""Which crop of all, from the calmest to the busiest."""


@dataclass(frozen=True)
class VotePage:
    """path: of the page; trials: how many there are to vote on; skipped: (file or trial, why it is not among them)."""

    path: Path
    trials: int
    skipped: tuple[tuple[str, str], ...]


def run_vote(
    directory: Path,
    codecs: Sequence[str | Codec],
    out: Path,
    *,
    rates: Sequence[float] = (0.25, 0.5),
    side: int = 288,
    places: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> VotePage:
    """Write the page `out`.

    directory: of pictures; codecs: specs as in `peers`, or objects, the first one against each of the others; rates:
    bits a pixel that the rivals have at most; side: of the crops, pixels; places: a table picture, x, y with a heading,
    in which tabs or commas stand between: the pictures that are shown, and the left and top edge of each crop; limit:
    only the first files; progress(done, total) counts trials. Raises InputError when nothing can be shown and for
    options that make no sense, OutputExists.
    """
    out = Path(out)
    check_writable(out, overwrite)
    made = [codec_by_name(codec) if isinstance(codec, str) else codec for codec in codecs]
    if len({codec.name for codec in made}) < max(len(made), 2):
        raise InputError("to vote takes two codecs or more, all different")
    if side < 64:
        raise InputError(f"crops have sides of at least 64 pixels, not {side}")
    if not rates or min(rates) <= 0:
        raise InputError("rates are bits a pixel above 0")
    chosen = {} if places is None else _read_places(places)
    paths = picture_paths(directory, None if chosen else limit)
    if chosen:
        by_name = {path.name: path for path in paths}
        if missing := [name for name in chosen if name not in by_name]:
            raise InputError(f"{places}: {missing[0]} is not in {directory}")
        paths = [by_name[name] for name in chosen][:limit]
    trials: list[Trial] = []
    skipped: list[tuple[str, str]] = []
    for number, path in enumerate(paths):
        rate = rates[number % len(rates)]
        try:
            rank = _BUSY if number // len(rates) % 2 == 0 else _CALM
            found = _trials(path, made, rate, side, chosen.get(path.name, rank), skipped)
            trials.extend(found)
        except CodecError as error:
            skipped.append((path.name, str(error)))
        if progress is not None:
            progress((number + 1) * (len(made) - 1), len(paths) * (len(made) - 1))
    if not trials:
        raise InputError(f"{directory}: nothing to vote on: {skipped[0][0]}: {skipped[0][1]}")
    write_votes(out, trials, [(codec.name, codec.description) for codec in made], overwrite=overwrite)
    return VotePage(out, len(trials), tuple(skipped))


def _trials(
    path: Path,
    codecs: Sequence[Codec],
    rate: float,
    side: int,
    place: tuple[int, int] | float,
    skipped: list[tuple[str, str]],
) -> list[Trial]:
    """place: the crop's left and top edge, or its rank as in `crop_at`."""
    rgb = read_rgb(path)
    if isinstance(place, tuple):
        left, top = (max(min(n, whole - side), 0) for n, whole in zip(place, rgb.shape[1::-1], strict=True))
        rows, columns = slice(top, min(top + side, len(rgb))), slice(left, min(left + side, rgb.shape[1]))
    else:
        rows, columns = crop_at(rgb, side, place)
    most = int(rate * rgb.shape[0] * rgb.shape[1] / 8)
    ours, *rivals = codecs
    fitted, found = Fitted(ours, rgb), []
    for rival in rivals:
        theirs = Fitted(rival, rgb).within(most)
        own = None if theirs is None else fitted.within(len(theirs))
        if theirs is None or own is None:
            who = rival.name if theirs is None else ours.name
            skipped.append((f"{path.name} with {rival.name}", f"{who} has no file of {rate:g} bits a pixel"))
            continue
        sides = []
        for codec, data in ((ours, own), (rival, theirs)):
            shown = codec.decode(data)
            sides.append(Side(codec.name, len(data), webp_uri(np.ascontiguousarray(shown[rows, columns]), True)))
        found.append(Trial(path.name, rate, (columns.start, rows.start), sides[0], sides[1]))
    if found:
        original = webp_uri(np.ascontiguousarray(rgb[rows, columns]), True)
        height, width = (s.stop - s.start for s in (rows, columns))
        return [trial.of(original, width, height) for trial in found]
    return []


def _read_places(path: Path) -> dict[str, tuple[int, int]]:
    """The table of `run_vote`: x and y by picture, in order. Raises InputError."""
    found: dict[str, tuple[int, int]] = {}
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table of places: {error}") from None
    for number, line in enumerate(lines[1:], 2):
        parts = [part.strip() for part in line.split("\t" if "\t" in line else ",")]
        if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
            raise InputError(f"{path}, line {number}: expected picture, x, y")
        found[parts[0]] = int(parts[1]), int(parts[2])
    if not found:
        raise InputError(f"{path}: expected a heading and a line picture, x, y for each crop")
    return found


def crop_at(rgb: np.ndarray, side: int, rank: float) -> tuple[slice, slice]:
    """Rows and columns of a crop of at most side x side pixels; rank: in 0..1, from the calmest to the busiest one."""
    height, width = rgb.shape[:2]
    luma = rgb.astype(np.float32).mean(2)
    detail = np.zeros(luma.shape, np.float32)
    detail[:, 1:] += np.abs(np.diff(luma, axis=1))
    detail[1:] += np.abs(np.diff(luma, axis=0))
    step = max(side // 4, 1)
    places = [
        (top, left)
        for top in range(0, max(height - side, 0) + 1, step)
        for left in range(0, max(width - side, 0) + 1, step)
    ]
    # The square root: one sharp edge in an empty place is no texture.
    places.sort(key=lambda place: float(np.sqrt(detail[place[0] : place[0] + side, place[1] : place[1] + side]).mean()))
    top, left = places[round(rank * (len(places) - 1))]
    return slice(top, min(top + side, height)), slice(left, min(left + side, width))
