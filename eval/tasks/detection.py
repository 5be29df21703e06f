"""Detection: are the same things found in the same places of the decoded picture?

    samples -> 512 x 512 -> network -> [128, 128, 80] centres, [128, 128, 4] reaches -> peaks -> boxes
            -> those above `SCORE`, without overlaps of one class -> matched with the original's -> F1

The network is CenterNet ("Objects as Points", Zhou et al. 2019) on MobileNetV3 for the 80 classes of COCO, 4 MB in the
npm package @vladmandic/human, run by torch (see `quality.graph_model`). At 300,000 multiplications a pixel of its input
it is a small detector: what it finds in the original is what counts, so there is no truth here. Agreement is the F1
score of the decoded picture's boxes, those of the original being the right ones: 2 M / (found + right), M being the
pairs of one class that overlap by at least half (intersection over union), the most certain first. The score is `nan`.
Pictures in whose original nothing is found do not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...errors import InputError
from ..quality.graph_model import GraphModel
from ..quality.packaged import NodeFile, check_picture, require
from .task import Answer, Source

__all__ = ["CLASSES", "Box", "Detection", "boxes_of", "detection_answer", "overlap"]

SCORE = 0.3
"""From which something counts as found."""
OVERLAP = 0.5
"""Intersection over union from which two boxes are the same."""
_GRAPH = NodeFile("@vladmandic/human", "3.3.6", "models/centernet.json")
_WEIGHTS = NodeFile("@vladmandic/human", "3.3.6", "models/centernet.bin")
_INPUT, _CENTRES, _REACHES = "tower_0/images", "tower_0/keypoints", "tower_0/wh"
_SIDE, _STEP, _MOST = 512, 4, 100

CLASSES = tuple(
    (
        "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
        "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
        "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
        "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
        "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
        "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,"
        "toothbrush"
    ).split(",")
)
"""COCO's, in its order."""


class Box(NamedTuple):
    """Something found. name: of its class; score: 0 to 1; the edges: parts of the picture's width and height."""

    name: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Detection:
    """A `Task`. Raises InputError when something is not installed."""

    source: Source
    name: str = field(default="detection", init=False)
    description: str = field(init=False, compare=False)
    measure: str = field(default="F1 of boxes", init=False)

    def __post_init__(self) -> None:
        require("torch")
        _GRAPH.find()
        text = (
            f"boxes of 80 classes at {_SIDE} x {_SIDE}, CenterNet of {_WEIGHTS.describe()}; F1 against the original's, "
            f"scores from {SCORE:g}, overlaps from {OVERLAP:g}"
        )
        object.__setattr__(self, "description", text)

    def predict(self, samples: np.ndarray) -> tuple[Box, ...]:
        """What is found, the most certain first. Raises InputError unless samples are uint8 [H, W, 3]."""
        check_picture(samples)
        small = Image.fromarray(samples).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        centres, reaches = _network()(np.asarray(small, np.float32)[None])
        return boxes_of(centres[0], reaches[0])

    def answer(self, prediction: Sequence[Box], original: Sequence[Box], truth: Any) -> Answer:
        """`nan` twice where nothing was found in the original."""
        return detection_answer(prediction, original)


def boxes_of(centres: np.ndarray, reaches: np.ndarray) -> tuple[Box, ...]:
    """centres: float [h, w, 80], how likely a thing of each class has its middle there; reaches: [h, w, 4], pixels of
    the network's input from there to the left, top, right and bottom edge. Returns at most 100, the most certain first.
    """
    height, width, _ = centres.shape
    padded = np.pad(centres, ((1, 1), (1, 1), (0, 0)), constant_values=-1)
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    peaks = (centres >= np.maximum.reduce(around)) & (centres >= SCORE)
    rows, columns, classes = np.nonzero(peaks)
    scores = centres[rows, columns, classes]
    found: list[Box] = []
    for n in np.argsort(-scores, kind="stable")[:_MOST].tolist():
        y, x = rows[n], columns[n]
        left, top, right, bottom = reaches[y, x].tolist()
        across, down = _STEP * width, _STEP * height
        box = Box(
            CLASSES[classes[n]],
            float(scores[n]),
            min(max((_STEP * x - left) / across, 0), 1),
            min(max((_STEP * y - top) / down, 0), 1),
            min(max((_STEP * x + right) / across, 0), 1),
            min(max((_STEP * y + bottom) / down, 0), 1),
        )
        if all(other.name != box.name or overlap(other, box) < OVERLAP for other in found):
            found.append(box)
    return tuple(found)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = max(0.0, min(a.right, b.right) - max(a.left, b.left))
    height = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    areas = [(box.right - box.left) * (box.bottom - box.top) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


def detection_answer(prediction: Sequence[Box], original: Sequence[Box]) -> Answer:
    """Compare what was found in a decoded picture with what was found in the original."""
    if not original:
        return Answer(math.nan, math.nan, "nothing found in the original")
    left, pairs = list(original), 0
    for box in prediction:
        same = [other for other in left if other.name == box.name and overlap(other, box) >= OVERLAP]
        if same:
            left.remove(max(same, key=lambda other: overlap(other, box)))
            pairs += 1
    text = ", ".join(f"{box.name} {box.score:.2f}" for box in prediction[:5]) or "nothing found"
    return Answer(math.nan, 2 * pairs / (len(prediction) + len(original)), text)


@lru_cache(maxsize=1)
def _network() -> Any:
    """uint8 values as float32 [1, 512, 512, 3] -> centres and reaches."""
    model = GraphModel(_GRAPH.find(), (_CENTRES, _REACHES))
    if model.inputs != (_INPUT,):
        raise InputError(f"{_GRAPH.find()}: the network's input should be {_INPUT}")
    return model
