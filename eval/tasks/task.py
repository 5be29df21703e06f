"""What machines see: the interface between data, tasks and the runs that measure them.

    Source -> Item -> codec (a real file, and back) -> Task.answer -> Answer (score against truth, agreement)

A *source* gives items: pictures or sounds, with what is true of them where somebody knows. A *task* is a network with a
question about an item; several tasks may ask about the items of one source, so that each file is coded once. The answer
to the decoded item is compared with the truth (`score`) and with the answer to the item itself (`agreement`).

Everything here is one file of `items.tsv`, row for row; all figures downstream are computed from these rows again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

__all__ = ["Answer", "ItemRow", "Item", "Source", "Task"]


@dataclass(frozen=True, eq=False)
class Item:
    """What is coded. name: unique in its source; samples: uint8 [H, W, 3], or a sound, float32 [T] in [-1, 1]; truth:
    whatever the source's tasks compare with (a class number, a text), None where that is unknown.
    """

    name: str
    samples: np.ndarray
    truth: Any = None

    def digest(self) -> str:
        """16 hexadecimal digits over samples and truth: what a cached result depends on."""
        h = hashlib.blake2b(f"{self.samples.dtype} {self.samples.shape} {self.truth!r}\n".encode(), digest_size=8)
        h.update(np.ascontiguousarray(self.samples).data)
        return h.hexdigest()


class Source(Protocol):
    """Where items come from.

    name: short, unique in a run; media: "image" or "audio"; sample_rate: of sounds in Hz, 0 for pictures; description:
    one line for the tables, without paths.
    """

    @property
    def name(self) -> str: ...

    @property
    def media(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def description(self) -> str: ...

    def names(self) -> Sequence[str]:
        """The items' names, in order; cheap. Raises InputError."""
        ...

    def item(self, name: str) -> Item:
        """One item. Raises a CodecError of one sentence: the item is then skipped and reported."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a task made of one decoded item.

    score: 0 to 1 against the truth, `nan` where there is none; agreement: 0 to 1 with the answer to the original;
    text: the answer for people ("goldfish", "Hallo Welt", "23% foreground"). Of classes also: found, the name of the
    class answered; truth, that of the right one, "" where nobody knows; top5: 1 if the right one is among the five most
    likely, else 0, None where it is unknown and for five classes or fewer.
    """

    score: float
    agreement: float
    text: str
    found: str = ""
    truth: str = ""
    top5: float | None = None


class Task(Protocol):
    """A question that a network answers.

    name: short, unique in a run, letters, digits, - and _; source: whose items it asks about; description: network,
    package and version, digest of the weights, preprocessing: one line, without paths; what a cached answer depends
    on, so two different networks must never share a description. measure: what a mean score is called, e.g. "top-1". A
    further `classes`, their number, is optional: with it, scores that chance alone would give are noticed.
    """

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> Source: ...

    @property
    def description(self) -> str: ...

    @property
    def measure(self) -> str: ...

    def predict(self, samples: np.ndarray) -> Any:
        """The network's raw answer to samples like an item's. Raises InputError when it has the wrong shape or type."""
        ...

    def answer(self, prediction: Any, original: Any, truth: Any) -> Answer:
        """Compare the answer to the decoded item with the one to the original (`predict` of the item) and the truth."""
        ...


@dataclass(frozen=True)
class ItemRow:
    """One item as one file: what every measurement gives, and a row of items.tsv.

    setting: of the codec's ladder; bytes: of the file; units: pixels, or seconds of sound; metrics: by name, e.g. psnr,
    psnr_y (dB), ms_ssim (0..1), distances of features; answers: by task. shape: of the samples; encode_s, decode_s:
    seconds of wall time, `nan` where nobody held a clock.
    """

    source: str
    item: str
    codec: str
    setting: float
    bytes: int
    units: float
    metrics: dict[str, float] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    encode_s: float = math.nan
    decode_s: float = math.nan

    @property
    def rate(self) -> float:
        """Bits a pixel, or bits a second."""
        return 8 * self.bytes / self.units if self.units else math.nan
