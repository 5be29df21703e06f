"""eval/bench.py and what it stands on: the table's shape and consistency. Times are never compared with anything."""

from __future__ import annotations

import csv
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lecodec.errors import CodecError, InputError, UnknownModel
from lecodec.eval import bench
from lecodec.eval.codecs import peers
from lecodec.eval.codecs.peers import codec_by_name
from lecodec.eval.measure import timing
from lecodec.eval.measure.probe import BARE_TORCH, UNKNOWN, probe
from lecodec.eval.measure.runner import Contestant, measured
from lecodec.eval.measure.timing import Timed, entrants, with_settings
from lecodec.eval.tasks.pictures import BUNDLED, mirrored, picture_paths, read_rgb
from lecodec.eval.tasks.task import ItemRow

needs_compressai = pytest.mark.skipif(find_spec("compressai") is None, reason="CompressAI is not installed")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 16.0
    waves = [np.sin(columns * a + rows * b + c) for a, b, c in random.uniform(0.5, 3, (3, 3))]
    noise = random.normal(0, 4, (height, width, 3))
    return np.clip(128 + 80 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    Image.fromarray(photo(64, 96, 1)).save(directory / "a.png")
    Image.fromarray(photo(80, 48, 2)).save(directory / "b.png")
    Image.fromarray(photo(64, 96, 3)).convert("RGBA").resize((8, 8)).save(directory / "c.png")
    Image.fromarray(photo(48, 48, 4)).save(directory / "d.png")
    return directory


class Fragile:
    """JPEG that cannot code pictures above a size."""

    name, ladder, description = "fragile", (20, 50), "JPEG of small pictures"
    most = 96 * 64

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        if rgb.shape[0] * rgb.shape[1] > self.most:
            raise CodecError("too large for it")
        return codec_by_name("jpeg").encode(rgb, setting)

    def decode(self, data: bytes) -> np.ndarray:
        return codec_by_name("jpeg").decode(data)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    return comments, list(csv.DictReader(lines[len(comments) :], delimiter="\t"))


# --- a whole run


@pytest.fixture(scope="module")
def run(folder, tiny_model, tmp_path_factory):
    """Two passes over three small pictures and two 'large' ones; one codec fails on those, one cannot be made."""
    out, calls = tmp_path_factory.mktemp("results") / "new" / "bench.tsv", []
    specs = [f"lecodec@{tiny_model}", "jpeg", "fragile", "gif"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "LARGE", (10_000, 40_000))
        patch.setattr(timing, "ONE_PASS", 20_000)
        patch.setitem(peers._PEERS, "fragile", Fragile)
        result = bench.run_bench(folder, specs, out, repeats=2, progress=lambda *call: calls.append(call))
    return result, out, calls


def test_every_codec_is_measured_on_the_same_pictures(run):
    result, _, calls = run
    sets = [(row.codec, row.pictures, row.width, row.height) for row in result.rows]
    ours = "lecodec@tiny.safetensors"
    assert sets == [
        (ours, 3, 96, 64),
        ("jpeg", 3, 96, 64),
        ("fragile", 3, 96, 64),
        (ours, 1, 122, 82),
        ("jpeg", 1, 122, 82),
        (ours, 1, 245, 163),
        ("jpeg", 1, 245, 163),
    ]
    total = 3 * (2 * 3 + 1) + 3 * (2 + 1) + 3 * (1 + 1)
    assert calls[-1] == (total, total) and [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_its_figures_are_consistent(run):
    result, _, _ = run
    for row in result.rows:
        assert row.bpp > 0 and row.encode_mpx_s > 0 and row.decode_mpx_s > 0
        reference = next(r for r in result.rows if (r.width, r.codec) == (row.width, "lecodec@tiny.safetensors"))
        assert row.encode_time_ratio == pytest.approx(reference.encode_mpx_s / row.encode_mpx_s)
        assert row.decode_time_ratio == pytest.approx(reference.decode_mpx_s / row.decode_mpx_s)
        assert math.isnan(row.beyond_torch_s) == math.isnan(row.beyond_torch_mb) == (row is not reference)
        if row.codec != "fragile":
            assert row.startup_s > 0 and (math.isnan(row.peak_mb) or row.peak_mb >= row.loaded_mb > 5)


def test_rates_are_those_of_whole_files_at_the_setting_told(run, folder):
    result, _, _ = run
    row = next(row for row in result.rows if (row.codec, row.pictures) == ("jpeg", 3))
    pictures, jpeg = [read_rgb(folder / name) for name in ("a.png", "b.png", "d.png")], codec_by_name("jpeg")
    pixels = 64 * 96 + 80 * 48 + 48 * 48
    bpp = {s: 8 * sum(len(jpeg.encode(rgb, s)) for rgb in pictures) / pixels for s in jpeg.ladder}
    assert row.bpp == pytest.approx(bpp[row.setting])
    assert row.setting == min(bpp, key=lambda s: abs(math.log(bpp[s] / timing.TARGET_BPP)))


def test_the_rate_may_be_another(folder, tmp_path):
    pictures = [read_rgb(folder / "a.png")]
    half, two = (with_settings(entrants(["jpeg"], "cpu", []), pictures, [], bpp) for bpp in (0.5, 2.0))
    jpeg = codec_by_name("jpeg")
    bpp = {s: 8 * len(jpeg.encode(pictures[0], s)) / (64 * 96) for s in jpeg.ladder}
    assert two[0].ladder == (min(bpp, key=lambda s: abs(math.log(bpp[s] / 2))),) != half[0].ladder
    with pytest.raises(InputError, match="bits a pixel are a number above 0, found 0"):
        bench.run_bench(folder, ["jpeg"], tmp_path / "bench.tsv", bpp=0)


def test_failures_are_named_and_stop_nothing(run):
    result, out, _ = run
    assert [name for name, _ in result.skipped] == ["c.png", "gif", "fragile", "fragile"]
    reasons = [why for _, why in result.skipped]
    assert "alpha" in reasons[0] and "unknown codec" in reasons[1]
    assert "process of its own" in reasons[2]  # which does not know this test's codec
    assert reasons[3] == "too large for it"
    comments, _ = read_table(out)
    assert "# skipped fragile: too large for it" in comments


def test_the_table_says_where_its_figures_come_from(run, folder):
    result, out, _ = run
    comments, rows = read_table(out)
    assert [row["codec"] for row in rows] == [row.codec for row in result.rows] == [r["codec"] for r in result.table()]
    assert set(result.table()[0]) < set(rows[0])
    text = "\n".join(comments)
    for wanted in ("photos", "3 pictures", "processor: ", "torch 2", "median of 2", "import torch alone: ", "libjpeg"):
        assert wanted in text
    assert str(folder.parent) not in out.read_text() and str(out.parent.parent) not in out.read_text()


def test_what_makes_no_sense_is_refused_at_once(folder, tmp_path, tiny_model):
    out = tmp_path / "bench.tsv"
    for wrong in ({"repeats": 0}, {"limit": 0}):
        with pytest.raises(InputError, match="at least 1"):
            bench.run_bench(folder, ["jpeg"], out, **wrong)
    for specs in ([], ["gif"]):
        with pytest.raises(InputError, match="no codec"):
            bench.run_bench(folder, specs, out)
    with pytest.raises(UnknownModel):
        bench.run_bench(folder, ["jpeg", "lecodec:none-such"], out)
    with pytest.raises(InputError, match="not available"):
        bench.run_bench(folder, [f"lecodec@{tiny_model}"], out, device="no-such-device")
    with pytest.raises(OSError):
        bench.run_bench(folder, ["jpeg"], tmp_path)  # a folder
    assert not out.exists()


# --- its parts


def test_the_median_of_the_passes_counts():
    rows = [
        ItemRow("", item, "jpeg", 1.0, 10, 1.0, encode_s=encode / 2, decode_s=decode / 2)
        for encode, decode in ((1.0, 9.0), (5.0, 8.0), (2.0, 1.0))
        for item in "ab"
    ]
    timed = Timed(0, rows, UNKNOWN, learned=False)
    assert (timed.seconds("encode_s"), timed.seconds("decode_s"), len(timed.pictures)) == (2.0, 8.0, 2)


def test_a_large_picture_is_mirrored_copies():
    small = photo(20, 30)
    large = mirrored([small[:10], small], 20 * 30 * 9)
    assert large.shape == (60, 90, 3)
    assert (large[:20, :30] == small).all() and (large[20:40, :30] == small[::-1]).all()
    assert (large[:20, 30:60] == small[:, ::-1]).all() and (large[40:, 60:] == small).all()
    assert mirrored([small], 150).shape == (10, 15, 3)


def test_a_codec_that_returns_another_picture_is_out(monkeypatch):
    class Wrong(Fragile):
        def decode(self, data: bytes) -> np.ndarray:
            return super().decode(data)[1:]

    monkeypatch.setitem(peers._PEERS, "wrong", Wrong)
    named = with_settings(entrants(["wrong", "jpeg"], "cpu", []), [photo(32, 32)], [])
    run = measured({"a": lambda: photo(32, 32)}, named, {}, passes=2)
    assert [row.codec for row in run.rows] == ["jpeg", "jpeg"] and len(run.failures) == 1
    assert "decodes to uint8 [31, 32, 3], not to uint8 [32, 32, 3]" in run.failures[0].reason


def test_without_the_device_only_learned_codecs_are_left_out(tiny_model):
    skipped: list[tuple[str, str]] = []
    named = entrants([f"lecodec@{tiny_model}", "jpeg"], "no-such-device", skipped)
    assert [entrant.spec for entrant in with_settings(named, [photo(32, 32)], skipped)] == ["jpeg"]
    assert len(skipped) == 1 and "not available" in skipped[0][1]


def test_without_a_folder_there_are_three_photographs():
    pytest.importorskip("skimage")
    pictures = [read_rgb(path) for path in picture_paths(None)]
    assert [path.name for path in picture_paths(None, 2)] == list(BUNDLED[:2])
    assert [rgb.shape for rgb in pictures] == [(512, 512, 3), (300, 451, 3), (400, 600, 3)]


def test_a_process_does_not_inherit_the_peak_of_its_parent(tmp_path):
    """Linux hands `ru_maxrss` down to children; this process has torch and 300 MB more in memory."""
    ballast = np.ones(300_000_000, np.uint8)
    np.save(tmp_path / "p.npy", photo(64, 64))
    found = probe("jpeg", 50, tmp_path / "p.npy")
    assert found.startup_s > 0 and ballast.all()
    if sys.platform == "linux":
        assert 5 < found.loaded_mb <= found.peak_mb < 250


def test_a_process_holds_the_picture_before_its_first_figure(tmp_path):
    np.save(tmp_path / "p.npy", np.zeros((4000, 5000, 3), np.uint8))
    alone, with_picture = probe(BARE_TORCH), probe(BARE_TORCH, picture=tmp_path / "p.npy")
    if sys.platform == "linux":
        assert with_picture.loaded_mb - alone.loaded_mb > 40
        assert alone.loaded_mb == alone.peak_mb > 100


def test_a_process_that_fails_is_a_sentence():
    with pytest.raises(CodecError, match="gif failed in a process of its own: .*unknown codec"):
        probe("gif", 50)


# --- CompressAI


def test_compressai_without_its_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "compressai", None)
    monkeypatch.setitem(sys.modules, "compressai.zoo", None)
    with pytest.raises(InputError, match=r"compressai.*lecodec\[compressai\]"):
        codec_by_name("compressai:mbt2018-mean", allow_untrained=True)


def test_unknown_networks_are_a_sentence():
    for spec in ("compressai:", "compressai:cheng2020-anchor"):
        with pytest.raises(InputError, match="compressai:mbt2018-mean"):
            codec_by_name(spec, allow_untrained=True)


@needs_compressai
@pytest.mark.parametrize("network", ["bmshj2018-hyperprior", "mbt2018-mean"])
def test_compressai_codes_real_files(network):
    import torch

    state = torch.random.get_rng_state()
    codec, again = (codec_by_name(f"compressai:{network}", allow_untrained=True) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)  # seeded, but not for others
    rgb = photo(50, 70)
    data = codec.encode(rgb, 4)
    assert data == again.encode(rgb, 4) and len(data) > 20
    decoded = codec.decode(data)
    assert decoded.shape == rgb.shape and decoded.dtype == np.uint8 and (decoded == again.decode(data)).all()
    assert 0 < codec.coding_share < 1  # pyright: ignore[reportAttributeAccessIssue]
    assert "random weights" in codec.description
    for wrong in (lambda: codec.encode(rgb, 5), lambda: codec.decode(b"")):
        with pytest.raises(CodecError):
            wrong()


def test_compressai_does_not_get_the_largest_pictures():
    entrant = Contestant("x", Fragile(), (1,), "compressai:mbt2018-mean")
    assert timing.takes(entrant, [np.zeros((1000, 2000, 3), np.uint8)])
    assert not timing.takes(entrant, [np.zeros((1, 1, 3), np.uint8), np.zeros((4000, 6000, 3), np.uint8)])
