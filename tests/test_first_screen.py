"""What README shows first: five numbers that are in eval/results, and a picture that the demo made."""

from __future__ import annotations

import csv
from pathlib import Path

import demo
import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.errors import CodecError
from lecodec.eval.codecs.peers import LecodecCodec, codec_by_name
from lecodec.eval.tasks.pictures import bundled, read_rgb

ROOT = Path(lecodec.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREEN = README[: README.index("## Two commands")]


WAYS = ("encode", "decode")


def rows(table: str, **wanted: str) -> list[dict[str, str]]:
    lines = (ROOT / "eval/results" / table).read_text(encoding="utf-8").splitlines()
    found = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def figure(table: str, column: str, **wanted: str) -> float:
    return float(rows(table, **wanted)[0][column])


def test_the_numbers_are_in_the_tables() -> None:
    line = {text.partition(" (")[0].removeprefix("| "): text for text in SCREEN.splitlines() if text.startswith("| ")}
    saved = {
        codec: f"{-figure('kodak-psnr/bd.tsv', 'bd_rate', codec=codec, anchor='jpeg', metric='psnr'):.0f}%"
        for codec in ("lecodec:psnr", "avif", "webp")
    }
    words = f"{saved['lecodec:psnr']} fewer than JPEG", f"AVIF {saved['avif']} fewer, WebP {saved['webp']}"
    assert all(text in line["bytes at equal PSNR, Kodak"] for text in words), words
    saved = {
        anchor: f"{-figure('kodak-eye/bd.tsv', 'bd_rate', anchor=anchor, metric='ssimulacra2'):.0f}%"
        for anchor in ("avif", "jpeg", "webp")
    }
    words = f"{saved['avif']} fewer than AVIF", f"{saved['jpeg']} fewer than JPEG, {saved['webp']} than WebP"
    assert all(text in line["bytes at equal SSIMULACRA2, Kodak"] for text in words), words
    bits = {}
    for codec in ("lecodec", "jxl"):
        for data in ("mnist-test", "val-half"):
            table = "lossless-mnist.tsv" if data == "mnist-test" else "lossless-half.tsv"
            size, samples = (figure(table, name, codec=codec, data=data) for name in ("bytes", "samples"))
            bits[codec, data] = f"{8 * size / samples:.3f}"
    words = (
        f"digits {bits['lecodec', 'mnist-test']}, photos {bits['lecodec', 'val-half']}",
        f"JPEG XL {bits['jxl', 'mnist-test']} and {bits['jxl', 'val-half']}",
    )
    assert all(text in line["without loss, bits a sample"] for text in words), words
    right = {
        codec: f"{100 * figure('machine/at-rate.tsv', 'accuracy', codec=codec, rate='0.35'):.1f}%"
        for codec in ("lecodec:machine-2", "avif", "jpeg")
    }
    words = f"{right['lecodec:machine-2']} right", f"AVIF {right['avif']}, JPEG {right['jpeg']}"
    assert all(text in line["MobileNetV2, 0.35 bpp"] for text in words), words
    speed = {
        (codec, way): figure("bench.tsv", f"{way}_mpx_s", codec=codec) for codec in ("lecodec", "avif") for way in WAYS
    }
    words = (
        f"{speed['lecodec', 'encode']:.1f} and {speed['lecodec', 'decode']:.1f}",
        f"AVIF {speed['avif', 'encode']:.1f} and {speed['avif', 'decode']:.0f}",
    )
    assert all(text in line["Mpx/s in and out, two cores"] for text in words), words


def test_the_picture_is_the_demos() -> None:
    assert "](docs/demo.jpg)" in SCREEN and (ROOT / "docs/demo.jpg").stat().st_size < 400_000
    with Image.open(ROOT / "docs/demo.jpg") as sheet:
        columns = 1 + len(demo.OURS) + len(demo.PEERS)
        assert sheet.width == columns * (demo.CROP_WIDTH * demo.ENLARGE + 6) - 6
        assert sheet.height == 28 + len(demo.PICTURES) * (demo.CROP_HEIGHT * demo.ENLARGE + demo.LABEL_HEIGHT + 6)


def test_files_are_of_one_size_and_ours_is_not_the_larger() -> None:
    samples = np.ascontiguousarray(read_rgb(bundled("chelsea.png"))[60:228, 100:292])
    others = [peer for peer in demo.peers() if peer.name in ("avif", "jpeg")]
    ours, *theirs = demo.at_equal_bytes("chelsea", samples, 0.5, [LecodecCodec()], others)
    assert [result.codec for result in theirs] == ["avif", "jpeg"]
    for result in theirs:
        assert len(ours.data) <= len(result.data) <= demo.SPREAD * len(ours.data)
    assert ours.psnr > theirs[1].psnr + 1  # half the bytes of JPEG, on this picture too
    assert abs(ours.bpp - 0.5) < 0.1


def test_sizes_that_no_other_codec_has_are_refused() -> None:
    flat = np.full((168, 168, 3), 90, np.uint8)
    with pytest.raises(CodecError, match="are not of one size"):
        demo.at_equal_bytes("flat", flat, 0.5, [LecodecCodec()], [codec_by_name("avif"), codec_by_name("jpeg")])


def test_fractions_of_jpegs_quality_lie_between_whole_ones() -> None:
    samples, jpeg = read_rgb(bundled("chelsea.png"))[:64, :64], demo.peers()[-1]
    plain = codec_by_name("jpeg")
    for quality in (5, 20, 50, 80):
        assert jpeg.encode(samples, quality) == plain.encode(samples, quality)
    assert len(jpeg.encode(samples, 20)) <= len(jpeg.encode(samples, 20.5)) <= len(jpeg.encode(samples, 21))
