"""A source, tasks and codecs that are small enough to be known by heart, as users would write them.

The task asks which quarter of a picture is bright; its network is right on most of the originals, not on all.
"""

from __future__ import annotations

import io
import os
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from lecodec.errors import InputError
from lecodec.eval.quality.networks import ImageNetwork, distance
from lecodec.eval.tasks.catalogue import tasks_by_name
from lecodec.eval.tasks.task import Answer, Item, Task

COUNT, SIDE = 24, 32
MISTAKEN = (5, 11, 17)
"""Items whose label is not what the network sees."""


class Quarters:
    """Items 00 to 23. One more, `broken`, cannot be read if BROKEN is set."""

    name, media, sample_rate = "quarters", "image", 0
    description = "made-up pictures with one bright quarter"
    shuffled = False

    def names(self) -> list[str]:
        extra = ["broken"] if os.environ.get("BROKEN") else []
        return [f"{n:02d}" for n in range(COUNT)] + extra

    def item(self, name: str) -> Item:
        if name == "broken":
            raise InputError("is not a picture")
        n = int(name)
        picture = np.random.default_rng(n).integers(60, 100, (SIDE, SIDE, 3), np.uint8)
        row, column = divmod(n % 4, 2)
        half = SIDE // 2
        picture[row * half : (row + 1) * half, column * half : (column + 1) * half] += 80
        truth = (n + 1) % 4 if n in MISTAKEN else n % 4
        if self.shuffled:
            truth = int(np.random.default_rng(99).permutation(COUNT)[n]) % 4
        return Item(name, picture, truth)


class BrightQuarter:
    """The task."""

    name, measure, classes = "bright-quarter", "top-1", 4
    description = "means of the quarters"
    source = Quarters()

    def predict(self, samples: np.ndarray) -> np.ndarray:
        half = SIDE // 2
        return samples.reshape(2, half, 2, half, 3).mean((1, 3, 4)).reshape(4)

    def answer(self, prediction, original, truth) -> Answer:
        best = int(np.argmax(prediction))
        same = float(best == int(np.argmax(original)))
        return Answer(float(best == truth), same, f"quarter {best}", f"quarter {best}", f"quarter {truth}")


class Misfit(BrightQuarter):
    """A network that returns the wrong shape."""

    name, description = "misfit", "a network with two classes"

    def predict(self, samples: np.ndarray) -> np.ndarray:
        raise InputError("the network returned [2], expected [4] scores of classes")


class Shuffled(BrightQuarter):
    """The same network with labels of other pictures."""

    name, description = "shuffled", "means of the quarters, labels shuffled"
    source = Quarters()
    source.name, source.shuffled = "shuffled-quarters", True


class Steps:
    """A codec with three settings: samples in steps of 1, 16 and 64, deflated."""

    name, description, suffix = "steps", "quantised and deflated", ".z"
    ladder = (64.0, 16.0, 1.0)

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        head = np.array([*rgb.shape[:2], int(setting)], "<u4").tobytes()
        return head + zlib.compress((rgb // int(setting)).tobytes())

    def decode(self, data: bytes) -> np.ndarray:
        height, width, step = np.frombuffer(data[:12], "<u4")
        samples = np.frombuffer(zlib.decompress(data[12:]), np.uint8).reshape(height, width, 3)
        return np.clip(samples * int(step) + int(step) // 2, 0, 255).astype(np.uint8)


class Slow(Steps):
    """The same, taking its time, and counting its calls in the file COUNTER."""

    name, description = "slow", "quantised, deflated, slow"

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        if "COUNTER" in os.environ:
            with Path(os.environ["COUNTER"]).open("a") as file:
                file.write("x")
        time.sleep(0.05)
        return super().encode(rgb, setting)


class Destroyer:
    """A codec that keeps nothing: every picture comes back as the same noise."""

    name, description, ladder = "destroyer", "keeps nothing", (0.0,)

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        return np.array(rgb.shape[:2], "<u4").tobytes()

    def decode(self, data: bytes) -> np.ndarray:
        height, width = np.frombuffer(data, "<u4")
        return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class Picky(Steps):
    """Fails on one item (on all, if the class says so)."""

    name, description, everything = "picky", "fails on some pictures", False

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        if self.everything or rgb[0, 0, 0] == Quarters().item("07").samples[0, 0, 0]:
            raise RuntimeError("this picture is not to my taste")
        return super().encode(rgb, setting)


class Hopeless(Picky):
    name, everything = "hopeless", True


def png_bytes(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def task_by_name(spec: str, data: Path | None = None) -> Task:
    """One task; see `tasks_by_name`."""
    return tasks_by_name([spec], data)[0]


def feature_distance(network: ImageNetwork, a: np.ndarray, b: np.ndarray) -> float:
    """`distance` of the features of two pictures, uint8 [H, W, 3]; `a` is the original."""
    return distance(network.features(a), network.features(b))
