"""Items through codecs at settings, one row for each file: what all measurements with a clock are run by.

    items x contestants x settings -> coded -> metrics -> ItemRow of each file, Failure of what did not go

Codecs take turns at every item, so that whatever else the machine does meets all of them alike. A codec that fails on
an item does not get it again. What a failure means for the other codecs is said by `left_out`: of curves and means, an
item counts for all codecs or for none.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

from ...errors import CodecError, InputError
from ..codecs.codec import IDENTITY, Codec, unique_name
from ..tasks.pictures import pixels_of
from ..tasks.task import ItemRow, Source
from .coding import Metric, Original, array_of, coded
from .tsv import environment

__all__ = [
    "FAILURES",
    "Contestant",
    "Failure",
    "Progress",
    "Run",
    "contestants",
    "first_of",
    "items_of",
    "left_out",
    "measured",
    "provenance",
    "reason_of",
    "references",
]

Progress = Callable[[int, int], None]
FAILURES = (OSError, MemoryError, RuntimeError)
"""What counts as a codec's failure. CodecError is an OSError; RuntimeError is torch's, out of memory for example."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, eq=False)
class Contestant:
    """A codec in a run. name: unique there; ladder: its settings there; spec: what it was asked for by, None for an
    object.
    """

    name: str
    codec: Codec
    ladder: tuple[float, ...]
    spec: str | None = None


class Failure(NamedTuple):
    """codec: "" for an item that cannot be read."""

    item: str
    codec: str
    reason: str


@dataclass
class Run:
    """rows: of every file, an item's codecs one after the other; failures: as they came; items: that could be read."""

    rows: list[ItemRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    items: int = 0

    def agreed(self) -> tuple[list[ItemRow], list[tuple[str, str]]]:
        """The rows of items that every codec managed; (name, why) of what is left out, see `left_out`."""
        codecs, items, skipped = left_out(self.failures, self.items)
        return [row for row in self.rows if row.codec not in codecs and row.item not in items], skipped


def contestants(
    codecs: Iterable[str | Codec],
    make: Callable[[str], Codec],
    settings: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Contestant]:
    """The codecs by name, in order: two model files of the same name become `lecodec@x` and `lecodec@x#2`.

    make: the codec of a spec; settings: by spec, instead of a codec's own ladder. Raises InputError without codecs and
    for settings of a codec that is not among them, and as `make`.
    """
    asked = list(dict.fromkeys(codecs))
    if not asked:
        raise InputError("no codec to measure")
    settings = settings or {}
    if unknown := [name for name in settings if name not in asked]:
        raise InputError(f"settings are given for {unknown[0]!r}, which is not among the codecs")
    named: dict[str, Contestant] = {}
    for spec in asked:
        codec = make(spec) if isinstance(spec, str) else spec
        name = unique_name(codec.name, named)
        ladder = settings.get(spec, codec.ladder) if isinstance(spec, str) else codec.ladder
        named[name] = Contestant(name, codec, tuple(map(float, ladder)), spec if isinstance(spec, str) else None)
    return named


def items_of(source: Source, limit: int | None = None) -> dict[str, Callable[[], Any]]:
    """The items of a source for `measured`. limit: only the first. Raises InputError."""
    if limit is not None and limit < 1:
        raise InputError(f"the limit must be at least 1, found {limit}")

    def read(name: str) -> Any:
        try:
            return source.item(name).samples
        except CodecError as error:
            raise CodecError(str(error).removeprefix(f"{name}: ")) from error

    return {name: lambda name=name: read(name) for name in list(source.names())[:limit]}


def measured(
    items: Mapping[str, Callable[[], Any]],
    codecs: Iterable[Contestant],
    metrics: Mapping[str, Metric],
    *,
    source: str = "",
    units: Callable[[Any], float] = lambda samples: pixels_of(array_of(samples)),
    passes: int = 1,
    warm_up: Callable[[Any], Any] | None = None,
    clock: Callable[[], float] = perf_counter,
    progress: Progress | None = None,
) -> Run:
    """Measure every item with every codec at every setting of its ladder.

    items: what reads each, by name, giving what the codecs take; it may raise CodecError. units: of what
    they give; warm_up: a piece of an item that each codec codes before its first, untimed; clock: in seconds;
    progress(done, total): counts files. Raises OSError when the disk is full.
    """
    codecs, run, done = list(codecs), Run(), 0
    total = passes * len(items) * sum(len(contestant.ladder) for contestant in codecs)
    warm: set[str] = set()
    failed: set[tuple[str, str]] = set()

    def tick(files: int) -> None:
        nonlocal done
        done += files
        if progress:
            progress(done, total)

    for _ in range(passes):
        for name, read in items.items():
            try:
                original = Original(read())
            except CodecError as error:
                run.failures.append(Failure(name, "", reason_of(error)))
                tick(total // passes // len(items))
                continue
            run.items += 1
            for contestant in codecs:
                left = list(contestant.ladder)
                try:
                    while left and (name, contestant.name) not in failed:
                        if warm_up and contestant.name not in warm:  # lazy imports, self-checks belong to no item
                            codec = contestant.codec
                            codec.decode(codec.encode(warm_up(original.samples), left[0]))
                            warm.add(contestant.name)
                        run.rows.append(_row(source, name, contestant, left[0], original, metrics, units, clock))
                        tick(1)
                        del left[0]
                except FAILURES as error:
                    run.failures.append(Failure(name, contestant.name, reason_of(error)))
                    failed.add((name, contestant.name))
                if left:
                    tick(len(left))
    return run


def _row(
    source: str,
    item: str,
    contestant: Contestant,
    setting: float,
    original: Original,
    metrics: Mapping[str, Metric],
    units: Callable[[Any], float],
    clock: Callable[[], float],
) -> ItemRow:
    found = coded(contestant.codec, original, setting, name=contestant.name, clock=clock)
    return ItemRow(
        source,
        item,
        contestant.name,
        setting,
        len(found.data),
        units(original.samples),
        {name: float(metric.measure(found)) for name, metric in metrics.items()},
        shape=original.array.shape,
        encode_s=found.encode_s,
        decode_s=found.decode_s,
    )


def left_out(failures: Sequence[Failure], count: int) -> tuple[set[str], set[str], list[tuple[str, str]]]:
    """What does not count where items count for all codecs or for none: codecs that failed on all of `count` items that
    could be read, items that another codec failed on or that cannot be read, and (name, why) of both.
    """
    unread = {failure.item: failure.reason for failure in failures if not failure.codec}
    hopeless: dict[str, str] = {}
    for codec in dict.fromkeys(failure.codec for failure in failures if failure.codec):
        reasons = {failure.item: failure.reason for failure in failures if failure.codec == codec}
        if codec != IDENTITY and len(reasons) == count:
            hopeless[codec] = f"failed on every item ({next(iter(reasons.values()))})"
    bad: dict[str, str] = {}
    for failure in failures:
        if failure.codec and failure.codec not in hopeless:
            bad.setdefault(failure.item, f"{failure.codec}: {failure.reason}")
    return {*hopeless}, {*unread, *bad}, [*unread.items(), *hopeless.items(), *bad.items()]


def references(named: Mapping[str, Contestant], published: Sequence[str], anchors: Sequence[str]) -> list[str]:
    """The names of the codecs and published curves that BD-rates refer to. anchors: specs or names; none: jpeg if it
    takes part, else the first codec, and everything published. Raises InputError.
    """
    if not anchors:
        return ["jpeg" if "jpeg" in named else next(iter(named)), *published]
    by_spec = {contestant.spec: name for name, contestant in named.items()}
    names = [by_spec.get(anchor, anchor) for anchor in dict.fromkeys(anchors)]
    for name in names:
        if name not in named and name not in published:
            raise InputError(f"the anchor {name!r} is not among the codecs: {', '.join([*named, *published])}")
    return names


def provenance(named: Mapping[str, Contestant], skipped: Sequence[tuple[str, str]]) -> list[str]:
    """What the head of a table says of how its figures came to be: versions, codecs, what was left out."""
    codecs = (f"{name}: {contestant.codec.description}" for name, contestant in named.items())
    return [*environment(), *codecs, *(f"skipped {name}: {why}" for name, why in skipped)]


def first_of(skipped: Sequence[tuple[str, str]]) -> str:
    """The first few of what was left out, as part of a sentence."""
    return "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])


def reason_of(error: BaseException) -> str:
    """Why something failed, in one line. Raises the error again where no item is to blame, as all would fail."""
    if isinstance(error, OSError) and error.errno in _DISK:
        raise error
    return " ".join(str(error).split()) or type(error).__name__
