"""What entropy models on the same transforms take: the table eval/results/conditional.tsv.

    pictures -> each model at a few qualities -> whole files -> decoded -> bpp, PSNR -> BD-rate against an anchor

    python scripts/conditional.py --models nothing=passes.safetensors control=control.safetensors … \\
        --anchors levels=image-3 --zeroed dictionary … --plain image-3 --pictures DIR … [--limit N]

BD-rates are of mean curves over the PSNR that both have. Seconds are of this process's own time (user and system), for
decoding alone, the least of a few turns over the same files, so that other work on the machine counts little. Model
bytes are those of the integers, `parse.*`. Side information is what names a tile's references. `--zeroed` measures
memories once more with every fourth and with every eighth of their entries, or of their crops, set to 0, on both sides:
other models, whose files name them. `--prune` writes weights of a run without every fourth entry of their dictionary,
for `start_from` of a run that trains the rest again. `--plain` measures what is left of a model without its passes: the
hyperprior.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lecodec
from lecodec.bitstream import parse
from lecodec.codec.image import ImageCodec
from lecodec.codec.image_transform import image_model
from lecodec.codec.media.picture import read_picture
from lecodec.codec.media.picture_files import PICTURES, walk
from lecodec.codec.media.samples import psnr_of
from lecodec.codec.model_file import load_tensors, read_card
from lecodec.entropy.hyperprior_coding import HyperpriorCoding
from lecodec.entropy.retrieved_coding import CHOSEN, RetrievedCoding
from lecodec.eval.figures.bd import Curve, bd_rate
from lecodec.eval.measure.tsv import environment, write_tsv
from lecodec.train.checkpoint import load_checkpoint, save_checkpoint
from lecodec.train.freeze import with_digests

QUALITIES = (20.0, 40.0, 60.0, 80.0)
LOW, HIGH = 20.0, 45.0
"""dB, wider than the curves are."""
TURNS, TIMED = 3, 4
"""How often, and on how many files, decoding is timed."""
ZEROED = {4: "a quarter", 8: "an eighth"}
"""Every so many entries, and what share that is."""
PRUNED = 4
COMMENTS = [
    "whole files, decoded; bd_rate_percent: of mean curves in PSNR against the anchor on the same pictures",
    f"decode_s: least own time of {TURNS} turns over {TIMED} files of quality {QUALITIES[2]:g}; decoding: against the "
    "anchor; model_bytes: the integers; side_bits: what names references, a file",
]


def zeroed(path: Path, every: int) -> ImageCodec:
    """The model of a memory, every so many of its entries and of its crops 0."""
    tensors, card = load_tensors(path), read_card(path).card
    for name, array in tensors.items():
        if name.endswith((".keys", ".values")):
            tensors[name] = array.copy()
            tensors[name][:, ::every] = 0
        elif name == "parse.references":
            tensors[name] = array.copy()
            tensors[name][::every] = 0
    return ImageCodec(image_model(tensors, with_digests(tensors, card)))


def prune(weights: Path, out: Path) -> None:
    """weights: of a run with a dictionary -> the same without every fourth of its entries."""
    state = load_checkpoint(weights)
    for name, p in state["ema"].items():
        if name.endswith((".keys", ".values")):
            state["ema"][name] = p[:, torch.arange(p.shape[1]) % PRUNED > 0].clone()
    save_checkpoint(state, out)


def plain(path: Path) -> ImageCodec:
    """The hyperprior of a model with context."""
    tensors, card = load_tensors(path), read_card(path).card
    tensors = {name: a for name, a in tensors.items() if not name.startswith("parse.context.")}
    card = {key: value for key, value in card.items() if key not in ("context", "conditional")}
    return ImageCodec(image_model(tensors, with_digests(tensors, card)))


def seconds_of(codec: ImageCodec, files: list[bytes]) -> float:
    """The least that decoding all of the files takes."""
    found = []
    for _ in range(TURNS):
        begun = time.process_time()
        for data in files:
            codec.decode(data)
        found.append(time.process_time() - begun)
    return min(found)


def side_bits(codec: ImageCodec, data: bytes) -> float:
    """What names references in a file."""
    if not isinstance(codec.entropy, RetrievedCoding):
        return 0.0
    return parse(data).header.layout.units * CHOSEN * math.log2(len(codec.entropy.tensors["references"]))


def measured(codec: ImageCodec, pictures: list[np.ndarray]) -> tuple[Curve, dict[str, Any]]:
    """The mean curve, and what else the table says."""
    points, files, side = [], [], 0.0
    for quality in QUALITIES:
        rates, psnrs = [], []
        for picture in pictures:
            data = codec.encode(picture, quality)
            rates.append(8 * len(data) / (picture.shape[0] * picture.shape[1]))
            psnrs.append(psnr_of(picture, codec.decode(data)))
            side += side_bits(codec, data) / (len(pictures) * len(QUALITIES))
            if quality == QUALITIES[2] and len(files) < TIMED:
                files.append(data)
        points.append((float(np.mean(rates)), float(np.mean(psnrs))))
    row = {"decode_s": round(seconds_of(codec, files), 3), "side_bits": round(side, 1)}
    for quality, (rate, psnr) in zip(QUALITIES, points, strict=True):
        row |= {f"bpp@{quality:g}": round(rate, 5), f"dB@{quality:g}": round(psnr, 3)}
    return Curve.of(points), row


def integer_bytes(entropy: Any) -> int:
    """Of an entropy model, and of the hyperpriors above it."""
    own = sum(a.nbytes for a in entropy.tensors.values())
    above = getattr(entropy, "above", None)
    return own + (integer_bytes(above) if isinstance(above, HyperpriorCoding) else 0)


def known(codec: ImageCodec, pictures: list[np.ndarray], row: Mapping[str, Any]) -> tuple[Curve, float]:
    """The curve of a row of the table, and what decoding takes now."""
    files = [codec.encode(picture, QUALITIES[2]) for picture in pictures[:TIMED]]
    points = [(float(row[f"bpp@{quality:g}"]), float(row[f"dB@{quality:g}"])) for quality in QUALITIES]
    return Curve.of(points), seconds_of(codec, files)


def rows_of(
    codecs: Mapping[str, ImageCodec],
    anchors: Mapping[str, str],
    pictures: list[np.ndarray],
    name: str,
    kept: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """codecs: by name; anchors: of some of them, of the others it is the first; kept: rows of the table that stay."""
    seen: dict[str, tuple[Curve, float]] = {}
    for variant, codec in codecs.items():
        if variant in kept:
            seen[variant] = known(codec, pictures, kept[variant])
            continue
        curve, row = measured(codec, pictures)
        seen[variant] = curve, row["decode_s"]
        anchor = anchors.get(variant, next(iter(codecs)))
        facts = {
            "pictures": name,
            "variant": variant,
            "anchor": anchor,
            "bd_rate_percent": round(bd_rate(seen[anchor][0], curve, LOW, HIGH).percent, 2),
            "decoding": round(row["decode_s"] / seen[anchor][1], 2),
            "model_bytes": integer_bytes(codec.entropy),
        }
        print(name, variant, facts["bd_rate_percent"], row, flush=True)
        yield facts | row


def main() -> None:
    parser = argparse.ArgumentParser(description="What entropy models on the same transforms take.")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--pictures", nargs="+", type=Path, default=[], metavar="DIR")
    parser.add_argument("--limit", type=int, help="Take every so many pictures that no more than this are left.")
    parser.add_argument("--append", action="store_true", help="Keep the table's other rows.")
    parser.add_argument("--keep", nargs="*", default=[], metavar="NAME", help="Measure again no more than their time.")
    parser.add_argument("--anchors", nargs="*", default=[], metavar="NAME=ANCHOR", help="Instead of the first model.")
    parser.add_argument("--plain", metavar="NAME", help="Measure this model without its passes too.")
    parser.add_argument("--zeroed", nargs="*", default=[], metavar="NAME", help="Measure these with parts of them 0.")
    parser.add_argument("--prune", nargs=2, type=Path, metavar=("WEIGHTS", "OUT"), help="Write OUT and do no more.")
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results/conditional.tsv"))
    options = parser.parse_args()
    if options.prune:
        return prune(*options.prune)
    paths = {name: Path(path) for name, _, path in (text.partition("=") for text in options.models)}
    anchors = dict(text.split("=") for text in options.anchors)
    codecs = {name: lecodec.load(model=path, of=ImageCodec) for name, path in paths.items()}
    for name in options.zeroed:
        for every, share in ZEROED.items():
            codecs[f"{name}, {share} zeroed"] = zeroed(paths[name], every)
            anchors[f"{name}, {share} zeroed"] = name
    if options.plain:
        codecs[f"{options.plain} without passes"] = plain(paths[options.plain])
    rows: list[dict[str, Any]] = []
    if options.append and options.output.exists():
        with options.output.open() as file:
            rows = list(csv.DictReader((line for line in file if line[0] != "#"), delimiter="\t"))
    for folder in options.pictures:
        found = sorted(str(path) for path in walk(folder, PICTURES) if isinstance(path, str))
        found = found[:: max(1, -(-len(found) // options.limit))] if options.limit else found
        pictures = [read_picture(path) for path in found]
        name = f"{folder.name} ({len(found)})"
        kept = {row["variant"]: row for row in rows if row["pictures"] == name and row["variant"] in options.keep}
        for row in rows_of(codecs, anchors, pictures, name, kept):
            place = row["pictures"], row["variant"]
            rows = [other for other in rows if (other["pictures"], other["variant"]) != place] + [row]
            write_tsv(options.output, [*COMMENTS, *environment()], rows)  # what was measured stays, come what may


if __name__ == "__main__":
    main()
