"""eval/: metrics against known values, BD-rate against curves whose BD-rate is known, and a whole small evaluation."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.errors import CodecError, InputError
from lecodec.eval.codecs.peers import PillowCodec, codec_by_name
from lecodec.eval.figures.bd import Curve, bd_rate
from lecodec.eval.figures.rates import curve_of
from lecodec.eval.quality import metrics
from lecodec.eval.rd import OUTPUTS, run_rd

SIDE = 176  # the smallest multiple of 16 with an MS-SSIM


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are slower on many threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photo(height: int = SIDE, width: int = SIDE + 16, seed: int = 0) -> np.ndarray:
    """Smooth shapes, edges and a little noise, uint8 [H, W, 3]: enough like a photograph for codecs to behave."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 32.0
    waves = [np.sin(columns * a + rows * b + c) for a, b, c in random.uniform(0.5, 3, (3, 3))]
    picture = 128 + 60 * np.stack(waves, -1) + 40 * ((rows // 1 + columns // 1) % 2)[..., None]
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


# --- metrics


def test_psnr_of_known_errors():
    a = np.full((20, 30, 3), 100, np.uint8)
    assert metrics.psnr(a, a) == math.inf
    assert metrics.psnr(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert metrics.psnr(np.zeros_like(a), np.full_like(a, 255)) == pytest.approx(0.0)
    one_channel = a.copy()
    one_channel[..., 2] += 3  # the MSE is over all samples: 9 / 3
    assert metrics.psnr(a, one_channel) == pytest.approx(10 * math.log10(255**2 / 3))
    assert metrics.psnr(one_channel, a) == metrics.psnr(a, one_channel)  # no wrap-around of unsigned differences


@pytest.mark.parametrize(
    "b",
    [
        np.zeros((20, 31, 3), np.uint8),
        np.zeros((20, 30), np.uint8),
        np.zeros((20, 30, 3)),
        np.zeros((0, 30, 3), np.uint8),
    ],
)
def test_psnr_refuses_what_is_not_a_pair_of_pictures(b):
    with pytest.raises(InputError):
        metrics.psnr(np.zeros((20, 30, 3), np.uint8), b)


def test_ms_ssim_of_a_constant_shift_is_its_luminance_term():
    """Two flat pictures differ in the luminance term of the coarsest scale only, whose weight is 0.1333."""
    a, b = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 150, np.uint8)
    x, y, c1 = 100 / 255, 150 / 255, 0.01**2
    expected = ((2 * x * y + c1) / (x * x + y * y + c1)) ** 0.1333
    assert metrics.ms_ssim(a, b) == pytest.approx(expected, abs=2e-4)


def test_ms_ssim_orders_pictures_and_knows_its_smallest_side():
    original = photo()
    noise = np.random.default_rng(1).normal(0, 1, original.shape)
    values = [metrics.ms_ssim(original, np.clip(original + s * noise, 0, 255).astype(np.uint8)) for s in (0, 5, 30)]
    assert values[0] == pytest.approx(1.0, abs=1e-5)
    assert values[0] > values[1] > values[2] > 0
    assert math.isnan(metrics.ms_ssim(original[:160], original[:160]))
    assert metrics.ms_ssim(original[:161, :161], original[:161, :161]) == pytest.approx(1.0, abs=1e-5)


def test_ms_ssim_db():
    assert metrics.ms_ssim_db(0.9) == pytest.approx(10.0)
    assert metrics.ms_ssim_db(0.99) == pytest.approx(20.0)
    assert metrics.ms_ssim_db(1.0) == metrics.ms_ssim_db(1.0 + 1e-6) == math.inf
    assert math.isnan(metrics.ms_ssim_db(math.nan))
    for wrong in (-0.1, 1.1):
        with pytest.raises(InputError):
            metrics.ms_ssim_db(wrong)


def test_training_metrics_agree_with_the_evaluator():
    pictures = np.stack([photo(seed=1), photo(seed=2)])
    decoded = np.clip(pictures.astype(int) + np.random.default_rng(3).integers(-9, 10, pictures.shape), 0, 255)
    decoded = decoded.astype(np.uint8)
    x, x_hat = (torch.from_numpy(p).permute(0, 3, 1, 2).float() / 255 for p in (pictures, decoded))
    mse, similarity = metrics.mse_loss_per_sample(x, x_hat), metrics.ms_ssim_per_sample(x, x_hat)
    assert mse.shape == similarity.shape == (2,)
    for i in range(2):
        assert -10 * math.log10(float(mse[i])) == pytest.approx(metrics.psnr(pictures[i], decoded[i]), abs=1e-4)
        assert float(similarity[i]) == pytest.approx(metrics.ms_ssim(pictures[i], decoded[i]), abs=1e-5)


def test_training_metrics_refuse_wrong_ranges_shapes_and_types():
    x = torch.rand(1, 3, SIDE, SIDE)
    for function in (metrics.mse_loss_per_sample, metrics.ms_ssim_per_sample):
        for wrong in ((x * 255, x), (x, x[..., 1:]), (x[0], x[0]), (x[:, :1], x[:, :1]), (x.byte(), x.byte())):
            with pytest.raises(InputError):
                function(*wrong)
        with pytest.raises(InputError):
            function(x * math.nan, x)
    with pytest.raises(InputError, match="161"):
        metrics.ms_ssim_per_sample(x[..., :128], x[..., :128])


def test_ms_ssim_gradient_is_finite_and_is_float32_under_autocast():
    """An inverted picture has negative contrast terms, where the plain gradient is 0 * infinity."""
    x = torch.from_numpy(photo()).permute(2, 0, 1)[None].float() / 255
    x_hat = torch.cat([1 - x, x * 0.9]).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity = metrics.ms_ssim_per_sample(torch.cat([x, x]), x_hat)
    assert similarity.dtype == torch.float32
    (1 - similarity).sum().backward()
    assert x_hat.grad is not None and torch.isfinite(x_hat.grad).all()
    assert x_hat.grad[1].abs().sum() > 0


def test_missing_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_msssim", None)
    with pytest.raises(InputError, match=r"pytorch-msssim.*lecodec\[eval\]"):
        metrics.ms_ssim(photo(), photo())


# --- BD-rate

RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
QUALITIES = (25.0, 28.5, 31.5, 35.0, 38.0)


def test_bd_rate_of_a_scaled_curve_is_the_scale():
    anchor = Curve(RATES, QUALITIES)
    assert bd_rate(anchor, anchor).percent == pytest.approx(0.0, abs=1e-9)
    cheaper = bd_rate(anchor, Curve(tuple(0.8 * rate for rate in RATES), QUALITIES))
    assert cheaper.percent == pytest.approx(-20.0)
    assert (cheaper.low_used, cheaper.high_used, cheaper.coverage) == (26.0, 36.0, 1.0)
    assert bd_rate(Curve(tuple(0.8 * rate for rate in RATES), QUALITIES), anchor).percent == pytest.approx(25.0)


def test_bd_rate_is_the_known_integral_where_curves_are_log_linear():
    """ln R = a + b q on both sides: PCHIP is exact, and the mean difference is that at the middle of the range."""
    qualities = tuple(np.linspace(24, 40, 9))
    anchor = Curve(tuple(math.exp(0.20 * (q - 30)) for q in qualities), qualities)
    test = Curve(tuple(math.exp(0.22 * (q - 30) - 0.3) for q in qualities), qualities)
    assert bd_rate(anchor, test, 26, 36).percent == pytest.approx(100 * math.expm1(0.02 * 1 - 0.3))
    assert bd_rate(anchor, test, 30, 34).percent == pytest.approx(100 * math.expm1(0.02 * 2 - 0.3))


def test_bd_rate_reports_the_range_it_used_and_never_extrapolates():
    anchor = Curve(RATES, QUALITIES)
    partial = bd_rate(anchor, Curve((0.2, 0.3, 0.5), (29.0, 31.0, 33.0)))
    assert (partial.low_used, partial.high_used) == (29.0, 33.0)
    assert partial.coverage == pytest.approx(0.4)
    with pytest.raises(InputError, match="share no quality"):
        bd_rate(anchor, Curve((1, 2, 3), (39.0, 40.0, 41.0)))
    with pytest.raises(InputError, match="low < high"):
        bd_rate(anchor, anchor, 36, 26)


def test_points_that_nobody_would_choose_do_not_count():
    anchor = Curve(RATES, QUALITIES)
    dominated = Curve.of([*zip(RATES, QUALITIES, strict=True), (0.5, 30.0), (0.4, 31.0), (1.7, 38.0)][::-1])
    assert dominated.staircase() == anchor
    assert bd_rate(anchor, dominated).percent == pytest.approx(0.0, abs=1e-9)
    unusable = Curve.of([*zip(RATES, QUALITIES, strict=True), (3.0, math.inf), (0.0, 20.0), (0.3, math.nan)])
    assert unusable.staircase() == anchor
    with pytest.raises(InputError, match="2 usable points"):
        bd_rate(anchor, Curve((0.1, 0.2, 0.3), (30.0, 32.0, 31.0)))
    with pytest.raises(InputError):
        Curve((0.1, 0.2), (30.0,))


def test_bd_rate_agrees_with_the_bjontegaard_package():
    bjontegaard = pytest.importorskip("bjontegaard")
    test = ((0.09, 0.21, 0.3, 0.9, 1.3), (26.0, 29.5, 31.0, 36.1, 37.7))
    theirs = bjontegaard.bd_rate(RATES, QUALITIES, *test, method="pchip", min_overlap=0)
    assert bd_rate(Curve(RATES, QUALITIES), Curve(*test), 0, 100).percent == pytest.approx(theirs)


# --- peers


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jxl"])
def test_peers_round_trip_and_their_ladders_rise(name):
    if name == "jxl":
        pytest.importorskip("pillow_jxl")
    codec, original = codec_by_name(name), photo()
    assert codec.name == name and name in codec.description.lower().replace("jpeg xl", "jxl").replace("-", "")
    assert list(codec.ladder) == sorted(set(codec.ladder))
    ends = [codec.encode(original, setting) for setting in (codec.ladder[0], codec.ladder[-1])]
    low, high = (codec.decode(data) for data in ends)
    assert low.shape == high.shape == original.shape and low.dtype == np.uint8
    assert len(ends[0]) < len(ends[1]) and metrics.psnr(original, low) < metrics.psnr(original, high)
    with pytest.raises(CodecError):
        codec.decode(ends[0][:20])
    with pytest.raises(CodecError):
        codec.decode(b"")


@pytest.mark.parametrize("spec", ["gif", "", "lecodec@", "lecodec:", "jpeg:90", "compressai:"])
def test_unknown_codecs_are_a_sentence(spec):
    with pytest.raises(InputError):
        codec_by_name(spec)


def test_jxl_without_its_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(InputError, match="pillow-jxl-plugin"):
        codec_by_name("jxl")


def test_random_weights_have_no_rate_distortion_curve(pictures, tmp_path):
    with pytest.raises(InputError, match="random weights"):
        run_rd(pictures, ["jpeg", "compressai:mbt2018-mean"], tmp_path)


def test_lecodec_is_measured_through_the_public_interface(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("LECODEC_MODELS", str(tiny_model.parent))
    copies = [tmp_path / folder / "m.safetensors" for folder in ("x", "y")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(tiny_model.read_bytes())
    digest = lecodec.load(model=tiny_model).parse_digest.hex()
    for spec, name in (("lecodec:tiny", "lecodec:tiny"), (f"lecodec@{copies[0]}", "lecodec@m.safetensors")):
        codec = codec_by_name(spec)
        assert codec.name == name and digest in codec.description and str(tmp_path) not in codec.description
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(photo(64, 80)).save(folder / "a.png")
    specs = [f"lecodec@{copy}" for copy in copies]
    result = run_rd(folder, specs, tmp_path / "out", anchors=[specs[1]], low=10, more=[])
    assert {row["codec"] for row in result.bd_table()} == {"lecodec@m.safetensors"}
    first = result.bd_table()[0]
    assert first["anchor"] == "lecodec@m.safetensors#2" and first["bd_rate"] == pytest.approx(0)
    assert [item.setting for item in result.items[:11]] == [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert all(r.metrics["estimate"] <= r.bytes <= 1.01 * r.metrics["estimate"] + 96 for r in result.items)


# --- a whole run


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    return comments, list(csv.DictReader(lines[len(comments) :], delimiter="\t"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    Image.fromarray(photo(seed=5)).save(directory / "a.png")
    Image.fromarray(photo(seed=6)[..., 0]).save(directory / "b grey.png")
    (directory / "c.png").write_bytes((directory / "a.png").read_bytes()[:3000])
    Image.fromarray(np.dstack([photo(seed=7), photo(seed=8)[..., :1]])).save(directory / "d alpha.png")
    Image.fromarray(photo(seed=9)[..., 0].astype(np.uint16) * 257).save(directory / "e deep.png")
    (directory / "notes.txt").write_text("not a picture")
    (directory / ".hidden").write_text("not looked at")
    (directory / "subdirectory").mkdir()
    return directory


class Ruined:
    """JPEG whose decoder halves every value: a codec that does harm."""

    name, ladder, description = "ruined", (8, 35, 80), "JPEG, darkened"

    def __init__(self) -> None:
        self.jpeg = codec_by_name("jpeg")

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        return self.jpeg.encode(rgb, setting)

    def decode(self, data: bytes) -> np.ndarray:
        return self.jpeg.decode(data) // 2


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    out, calls = tmp_path_factory.mktemp("results") / "new", []
    webp = PillowCodec("webp", "WEBP", (1, 20, 75, 97), "WebP, a short ladder", {"method": 2})
    result = run_rd(pictures, ["jpeg", webp, Ruined()], out, low=28, more=[], progress=lambda *call: calls.append(call))
    return result, out, calls


def test_run_writes_its_files_and_counts_its_progress(run, pictures):
    result, out, calls = run
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    assert {item.item for item in result.items} == {"a.png", "b grey.png"}
    ladder = len(codec_by_name("jpeg").ladder) + 4 + 3
    assert len(result.items) == 2 * ladder
    assert calls[-1] == (6 * ladder, 6 * ladder)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    with Image.open(out / "rd.png") as plot:
        assert plot.width > 1000
    everything = "".join((out / name).read_text(encoding="utf-8") for name in OUTPUTS[:3])
    assert str(pictures.parent) not in everything and str(out.parent) not in everything


def test_bad_pictures_are_skipped_and_named(run):
    result, out, _ = run
    reasons = dict(result.skipped)
    assert list(reasons) == ["c.png", "d alpha.png", "e deep.png", "notes.txt"]
    assert "alpha" in reasons["d alpha.png"] and "16 bits" in reasons["e deep.png"]  # nothing is dropped silently
    comments, _ = read_table(out / "rd.tsv")
    assert any(line.startswith("# skipped c.png: ") for line in comments)
    assert any("python 3." in line and "torch" in line and "pillow" in line for line in comments)


def test_items_state_the_bytes_of_real_files(run, pictures):
    _, out, _ = run
    _, rows = read_table(out / "rd-items.tsv")
    original, jpeg = photo(seed=5), codec_by_name("jpeg")
    checked = [row for row in rows if row["item"] == "a.png" and row["codec"] == "jpeg"]
    assert [float(row["setting"]) for row in checked] == list(jpeg.ladder)
    for row in checked:
        data = jpeg.encode(original, float(row["setting"]))
        assert int(row["bytes"]) == len(data)
        assert (int(row["width"]), int(row["height"])) == original.shape[1::-1]
        assert float(row["bpp"]) == pytest.approx(8 * len(data) / original[..., 0].size, rel=1e-6)
        assert float(row["psnr"]) == pytest.approx(metrics.psnr(original, jpeg.decode(data)), rel=1e-6)
        assert 0 < float(row["ms_ssim"]) < 1 and float(row["encode_s"]) > 0 and float(row["decode_s"]) > 0


def test_summary_is_the_mean_and_a_ruinous_codec_shows(run):
    result, out, _ = run
    items = [item for item in result.items if (item.codec, item.setting) == ("jpeg", 80)]
    points = {(row["codec"], row["setting"]): row for row in result.summary_table()}
    assert points["jpeg", 80]["pictures"] == 2
    assert points["jpeg", 80]["bpp"] == pytest.approx(sum(item.rate for item in items) / 2, abs=1e-4)
    assert points["jpeg", 80]["psnr"] == pytest.approx(sum(item.metrics["psnr"] for item in items) / 2, abs=1e-2)
    for setting in Ruined.ladder:
        assert points["ruined", setting]["bpp"] == points["jpeg", setting]["bpp"]
        assert points["ruined", setting]["psnr"] < points["jpeg", setting]["psnr"] - 5
    assert len(read_table(out / "rd.tsv")[1]) == len(points)


def test_bd_table_states_ranges_pictures_and_reasons(run):
    result, out, _ = run
    rows = {(row["codec"], row["metric"]): row for row in result.bd_table()}
    assert set(rows) == {(codec, metric) for codec in ("webp", "ruined") for metric in ("psnr", "ms_ssim_db")}
    webp = rows["webp", "psnr"]
    assert (webp["anchor"], webp["low"], webp["high"], webp["pictures_of"]) == ("jpeg", 28.0, 36.0, 2)
    assert 28 <= webp["low_used"] < webp["high_used"] <= 36
    assert math.isfinite(webp["bd_rate"]) and math.isfinite(webp["bd_rate_pictures"]) and not webp["note"]
    ruined = rows["ruined", "psnr"]  # at most 15 dB, far below the range
    assert math.isnan(ruined["bd_rate"]) and math.isnan(ruined["bd_rate_pictures"]) and ruined["pictures"] == 0
    assert "share no quality" in ruined["note"]
    assert len(read_table(out / "bd.tsv")[1]) == 4


def test_small_pictures_have_psnr_but_no_ms_ssim_and_anchor_can_be_chosen(tmp_path):
    Image.fromarray(photo(48, 40)).save(tmp_path / "small.png")
    result = run_rd(tmp_path, ["jpeg", "webp"], tmp_path / "out", anchors=["webp"], limit=1)
    assert all(math.isfinite(item.metrics["psnr"]) and math.isnan(item.metrics["ms_ssim"]) for item in result.items)
    rows = {row["metric"]: row for row in result.bd_table()}
    assert {(row["codec"], row["anchor"]) for row in rows.values()} == {("jpeg", "webp")}
    assert math.isfinite(rows["psnr"]["bd_rate"]) and math.isnan(rows["ms_ssim_db"]["bd_rate"])


def test_processes_find_what_one_finds(tmp_path):
    for n in range(3):
        Image.fromarray(photo(40, 48 + n)).save(tmp_path / f"{n}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    ladders = {"jpeg": (30, 60), "webp": (20, 50)}
    calls: list[tuple[int, int]] = []
    one = run_rd(tmp_path, ["jpeg", "webp"], tmp_path / "one", settings=ladders)
    two = run_rd(
        tmp_path,
        ["jpeg", "webp"],
        tmp_path / "two",
        settings=ladders,
        workers=2,
        progress=lambda *call: calls.append(call),
    )
    assert two.skipped == one.skipped != ()
    assert len(one.items) == 12
    for a, b in zip(one.items, two.items, strict=True):
        assert (a.item, a.codec, a.setting, a.bytes) == (b.item, b.codec, b.setting, b.bytes)
        assert a.metrics["psnr"] == b.metrics["psnr"]
    assert [done for done, _ in calls] == [4, 8, 12, 16] and {total for _, total in calls} == {16}
    with pytest.raises(InputError, match="cannot be sent"):
        run_rd(tmp_path, ["jpeg", Ruined()], tmp_path / "out", workers=2)


def test_a_picture_that_comes_back_exactly_does_not_take_the_others_points_away(tmp_path):
    """A flat picture is exact at every setting: means were infinite, points missing from the plot, BD-rates nan."""
    Image.fromarray(photo(170, 180)).save(tmp_path / "a.png")
    alone = run_rd(tmp_path, ["jpeg", "webp"], tmp_path / "alone", low=25, high=50, more=[])
    Image.fromarray(np.full((170, 180, 3), 128, np.uint8)).save(tmp_path / "flat.png")
    result = run_rd(tmp_path, ["jpeg", "webp"], tmp_path / "out", low=25, high=50, more=[])
    assert any(item.metrics["psnr"] == math.inf for item in result.items)
    points = [pair for pair in zip(alone.points, result.points, strict=True) if pair[0]["codec"] == "jpeg"]
    for single, point in points:
        assert point["exact"] == 1 and point["pictures"] == 2
        assert point["psnr"] == pytest.approx((single["psnr"] + 60) / 2)
        assert point["psnr_of_mse"] == pytest.approx(single["psnr"] + 10 * math.log10(2))
        assert math.isfinite(point["ms_ssim_db"])
    rows = {row["metric"]: row for row in result.bd_table()}
    assert math.isfinite(rows["psnr"]["bd_rate"]) and rows["psnr"]["pictures_of"] == 2
    for curve in (curve_of(result.items, "jpeg", metric) for metric in ("psnr", "ms_ssim_db")):
        assert len(curve.qualities) == len(codec_by_name("jpeg").ladder) and max(curve.qualities) <= 60
    comments, table = read_table(tmp_path / "out" / "rd.tsv")
    assert any("60 dB at most" in line for line in comments) and {row["exact"] for row in table} >= {"1"}


def test_a_picture_that_one_codec_fails_on_counts_for_none(tmp_path):
    class Picky(Ruined):
        name = "picky"

        def encode(self, rgb: np.ndarray, setting: float) -> bytes:
            if rgb.shape[0] == 50:
                raise CodecError("fifty rows are too many")
            return super().encode(rgb, setting)

    Image.fromarray(photo(48, 40)).save(tmp_path / "a.png")
    Image.fromarray(photo(50, 40)).save(tmp_path / "b.png")
    result = run_rd(tmp_path, ["jpeg", Picky()], tmp_path / "out")
    assert {(item.item, item.codec) for item in result.items} == {("a.png", "jpeg"), ("a.png", "picky")}
    assert result.skipped == (("b.png", "picky: fifty rows are too many"),)
    (tmp_path / "a.png").unlink()
    result = run_rd(tmp_path, ["jpeg", Picky()], tmp_path / "out")  # what fails on all of them is left out itself
    assert {item.codec for item in result.items} == {"jpeg"}
    assert result.skipped == (("picky", "failed on every item (fifty rows are too many)"),)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="no picture could be measured"):
        run_rd(tmp_path, ["jpeg"], tmp_path / "out")


def test_runs_that_cannot_be_meant_are_refused_before_any_work(pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    for directory, codecs, options in (
        (tmp_path / "empty", ["jpeg"], {}),
        (tmp_path / "absent", ["jpeg"], {}),
        (pictures / "a.png", ["jpeg"], {}),
        (pictures, [], {}),
        (pictures, ["jpeg", "gif"], {}),
        (pictures, ["jpeg"], {"anchors": ["webp"]}),
        (pictures, ["jpeg"], {"limit": 0}),
        (pictures, ["jpeg"], {"low": 36, "high": 26}),
    ):
        with pytest.raises(InputError):
            run_rd(directory, codecs, tmp_path / "out", **options)
    with pytest.raises(InputError, match="among the pictures"):
        run_rd(pictures, ["jpeg"], pictures)
    assert not (tmp_path / "out").exists()


def test_ssimulacra2_is_measured_unless_other_metrics_are_asked_for(pictures, tmp_path):
    pytest.importorskip("ssimulacra2")
    result = run_rd(pictures, ["jpeg", "webp"], tmp_path, limit=1)
    scores = [point["ssimulacra2"] for point in result.points if point["codec"] == "jpeg"]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)
    item, original = result.items[0], photo(seed=5)
    decoded = codec_by_name("jpeg").decode(codec_by_name("jpeg").encode(original, item.setting))
    assert item.metrics["ssimulacra2"] == metrics.ssimulacra2(original, decoded)
    bd = {row["metric"]: row for row in result.bd_table()}
    assert (bd["ssimulacra2"]["low"], bd["ssimulacra2"]["high"]) == (50, 90)
    for name in ("rd-items.tsv", "rd.tsv"):
        comments, rows = read_table(tmp_path / name)
        assert float(rows[0]["ssimulacra2"]) < 100 and any("ssimulacra2 " in line for line in comments)
    without = run_rd(pictures, ["jpeg"], tmp_path, limit=1, more=[])
    assert "ssimulacra2" not in read_table(tmp_path / "rd.tsv")[1][0]
    assert "ssimulacra2" not in without.summary_table()[0]
    with pytest.raises(InputError, match="unknown metric 'vmaf'; there are psnr, psnr_y, ms_ssim, ssimulacra2"):
        run_rd(pictures, ["jpeg"], tmp_path, more=["vmaf"])


def test_published_curves_are_anchors_by_their_means(pictures, tmp_path):
    own = run_rd(pictures, ["jpeg"], tmp_path / "own", limit=1, more=[])
    table = tmp_path / "published.tsv"
    rows = [f"theirs\t{1.25 * point['bpp']}\t{point['psnr']}\t" for point in own.points]
    table.write_text("\n".join(["# from a paper", "codec\tbpp\tpsnr\tms_ssim", *rows]) + "\n")
    result = run_rd(pictures, ["jpeg", "webp"], tmp_path / "out", curves=table, limit=1, more=[])
    rows = {(row["codec"], row["anchor"], row["metric"]): row for row in result.bd_table()}
    against = rows["jpeg", "theirs", "psnr"]
    assert against["bd_rate"] == pytest.approx(-20) and math.isnan(against["bd_rate_pictures"])
    assert against["pictures"] == 0 and against["note"] == "published means only"
    assert set(rows) == {
        ("webp", "jpeg", "psnr"),
        ("webp", "jpeg", "ms_ssim_db"),
        ("jpeg", "theirs", "psnr"),
        ("webp", "theirs", "psnr"),
    }
    anchors = ["webp", "theirs"]
    several = run_rd(pictures, ["jpeg", "webp"], tmp_path / "out", curves=table, anchors=anchors, limit=1, more=[])
    assert {row["anchor"] for row in several.bd_table()} == {"webp", "theirs"}


def test_published_curves_that_are_none_are_refused(pictures, tmp_path):
    table = tmp_path / "published.tsv"
    for text, said in (
        ("codec\tbpp\nx\t1\n", "columns codec, bpp, psnr"),
        ("", "columns codec, bpp, psnr"),
        ("codec\tbpp\tpsnr\nx\t-1\t30\n", "point 1"),
        ("codec\tbpp\tpsnr\nx\t1\t30\nx\t2\tfair\n", "point 2"),
        ("codec\tbpp\tpsnr\njpeg\t1\t30\n", "also the name of a codec"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=said):
            run_rd(pictures, ["jpeg"], tmp_path / "out", curves=table)
    with pytest.raises(InputError, match="cannot read"):
        run_rd(pictures, ["jpeg"], tmp_path / "out", curves=tmp_path / "absent.tsv")


def test_models_of_the_same_file_name_stay_apart(pictures, tmp_path):
    webp = [PillowCodec("webp", "WEBP", (quality,), "WebP", {}) for quality in (10, 80)]
    result = run_rd(pictures, webp, tmp_path, limit=1)
    assert [item.codec for item in result.items] == ["webp", "webp#2"]
    assert result.bd_table()[0]["anchor"] == "webp" and "usable points" in result.bd_table()[0]["note"]
