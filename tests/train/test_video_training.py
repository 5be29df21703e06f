"""Training video models: a recipe runs, goes on, freezes to what was trained, and codes; and videos are measured."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lecodec.bitstream.groups import coding_order
from lecodec.codec.registry import find_model, load
from lecodec.codec.video import VideoCodec
from lecodec.entropy.spatiotemporal import Spatiotemporal
from lecodec.errors import InputError, ModelError, UnknownModel
from lecodec.eval.video import run_video
from lecodec.train.checkpoint import load_checkpoint
from lecodec.train.clips import moving, read_frames, video_files
from lecodec.train.freeze import freeze
from lecodec.train.recipe import VideoRecipe
from lecodec.train.run import Place, train
from lecodec.train.schema import load_as
from lecodec.train.team import Team
from lecodec.train.video import VideoExperiment

from ..make_golden import clip, pattern
from ..media.test_video_files import written

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    (folder / "clips").mkdir()
    (folder / "pictures").mkdir()
    written(folder / "clips" / "a.mkv", clip(40, 64, 96))
    for n in range(3):
        Image.fromarray(pattern(320, 400 + 20 * n, 3)).save(folder / "pictures" / f"{n}.png")
    path = folder / "recipe.yaml"
    path.write_text(
        f"kind: video\nname: small\nbase: {GOLDEN / 'tiny-context.safetensors'}\nclips: [{folder / 'clips'}]\n"
        f"pictures: [{folder / 'pictures'}]\nsynthetic: 6\ncrop: 4\nbatch: 2\nsteps: 6\nclosed_from: 0.5\n"
        "temporal: {width: 8, features: 4}\n"
    )
    return path


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    runs = recipe.parent / "runs"
    train(recipe, overrides={"steps": 3}, runs=runs, accelerator="cpu", progress=lambda text: None)
    return train(recipe, resume=True, runs=runs, accelerator="cpu", progress=lambda text: None)


def test_a_run_goes_on_and_is_frozen_and_codes(run, tmp_path, monkeypatch):
    state = load_checkpoint(run / "checkpoint.pt")
    assert state["step"] == 6
    rows = list(csv.reader((run / "metrics.csv").open()))
    names = {name for _, _, name, _ in rows}
    assert {"real B1-30", "real I-30", "synthetic P-0", "validation"} <= names
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    for source in ("checkpoint.pt", "weights.pt"):
        model = freeze(run / source, tmp_path / f"{source}.safetensors")
        codec = load(model=model, of=VideoCodec)
        frames = clip(5, 32, 48)
        assert codec.decode(codec.encode(frames)).shape == frames.shape
        assert codec.card["base"]["name"] == "tiny-context" and codec.card["training"]["steps"] == 6
    frozen = load(model=tmp_path / "checkpoint.pt.safetensors", of=VideoCodec).temporal.tensors
    recipe = VideoRecipe(**state["recipe"])
    tensors = codec.base.entropy.tensors
    network = Spatiotemporal(recipe.network(), tensors, {n: t.numpy() for n, t in state["tables"].items()})
    network.load_state_dict(state["ema"])
    for name, array in network.frozen().items():
        np.testing.assert_array_equal(frozen[name], array)


def test_a_run_goes_on_on_another_image_model(recipe, run, tmp_path):
    """Weights stay, and how large y is at the middle; how large at each quality is what the new one says."""
    state = load_checkpoint(run / "weights.pt")
    right = state["tables"]["magnitude"].numpy().copy()
    state["tables"]["magnitude"] *= 2
    torch.save(state, tmp_path / "weights.pt")
    other = shutil.copy(GOLDEN / "tiny-context.safetensors", tmp_path / "other.safetensors")

    def begun(base: Path) -> VideoExperiment:
        fields = {"start_from": tmp_path / "weights.pt", "synthetic": 2, "real": 0, "clips": [], "base": str(base)}
        return VideoExperiment(load_as(VideoRecipe, recipe, fields), lambda text: None, Team("cpu"), False)

    same, found = begun(GOLDEN / "tiny-context.safetensors"), begun(Path(other))
    for name, value in found.network.named_parameters():
        assert torch.equal(value, same.network.get_parameter(name)), name
    np.testing.assert_array_equal(same.tables["magnitude"], 2 * right)
    np.testing.assert_array_equal(found.tables["magnitude"], right)
    np.testing.assert_allclose(found.tables["unit"], same.tables["unit"], atol=1)


def test_the_recipe_goes_on_on_the_image_model_of_its_model():
    """What it starts from may be on another one than the default is now."""
    recipe = load_as(VideoRecipe, Path(__file__).parents[2] / "train" / "recipes" / "video.yaml", {})
    assert recipe.start_from is not None
    base = load(str(recipe.start_from), of=VideoCodec).base
    assert find_model(recipe.base).parse_digest == base.parse_digest.hex()


def test_samples_of_chains_have_two_past_references(recipe):
    """As `coding_order` has them: the farther one is the finer one."""
    settings = {"low_delay": 1.0, "synthetic": 0, "pictures": []}
    experiment = VideoExperiment(load_as(VideoRecipe, recipe, settings), lambda text: None, Team("cpu"), False)
    rng = random.Random(1)
    found = [experiment._sample(rng, False) for _ in range(60)]
    links = {(s.left - s.frame, s.right - s.frame) for s in coding_order(32, True, True) if s.left is not None}
    pairs = {sample["distances"] for sample in found if len(set(sample["distances"])) == 2}
    assert pairs == {pair for pair in links if pair[0] != pair[1]}
    for sample in found:
        first, second = sample["finer"]
        assert first >= second and (first == second or len(set(sample["distances"])) == 2)
    assert any(sample["finer"][0] > sample["finer"][1] for sample in found)


def test_a_model_without_its_image_model_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    model = freeze(run, tmp_path / "alone.safetensors")
    monkeypatch.delenv("LECODEC_MODELS")
    with pytest.raises(UnknownModel, match="built on tiny-context"):
        load(model=model)


def test_training_lowers_the_rate(recipe):
    """Thirty steps on one clip that hardly moves: less than the image model takes, which is where it starts."""
    settings = {"steps": 30, "synthetic": 0, "pictures": [], "with_z": 0.0, "learning_rate": 5e-3, "crop": 4}
    experiment = VideoExperiment(load_as(VideoRecipe, recipe, settings), lambda text: None, Team("cpu"), False)
    before = experiment.validate(Place(0, 0.0))
    for step in range(30):
        experiment.step(Place(step, step / 30))
    after = experiment.validate(Place(30, 1.0))
    assert after["validation"] < 0.9 * before["validation"]


@pytest.fixture(scope="module")
def moving_clips(recipe: Path) -> Path:
    """A recipe with one clip, whose picture moves by eight pixels a frame, to be trained on as files have it."""
    folder = recipe.parent / "moving"
    folder.mkdir()
    wide = pattern(128, 128 + 8 * 50, 3)
    written(folder / "pan.mkv", np.stack([wide[:, 8 * n : 8 * n + 128] for n in range(50)]))
    path = recipe.parent / "moving.yaml"
    path.write_text(
        f"kind: video\nname: moving\nbase: {GOLDEN / 'tiny-context.safetensors'}\nclips: [{folder}]\nsynthetic: 0\n"
        f"start_from: {GOLDEN / 'tiny-video.safetensors'}\ncoded: 1\ncrop: 4\nbatch: 2\nsteps: 2\nindices: [40]\n"
        f"cache: {recipe.parent / 'kept.pt'}\ntemporal: {{width: 16, features: 8}}\n"
    )
    return path


def test_frames_are_trained_on_as_files_have_them(moving_clips, monkeypatch):
    """Groups are coded by the model that a run starts from, with references that are moved: nearer to the frame."""
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    settings = load_as(VideoRecipe, moving_clips, {})
    clips = VideoExperiment(settings, lambda text: None, Team("cpu"), False).real
    assert len(clips.coded) > 30 and clips.coded_held_out == []
    leaves = [f for f in clips.coded if f.distances == (-1, 1)]
    assert len(leaves) >= 16 and all(f.moved is not None for f in leaves)
    for frame in leaves:
        assert frame.moved is not None and max(frame.finer) > frame.index
        nearer, plain = ((frame.y - r[0]).float().abs().mean() for r in (frame.moved, frame.references))
        assert nearer < 0.8 * plain
    assert any(a == b for a, b in (f.distances for f in clips.coded)) or len(clips.trained) < 2

    kept = VideoExperiment(settings, lambda text: None, Team("cpu"), False)
    for a, b in zip(clips.coded, kept.real.coded, strict=True):
        assert a.distances == b.distances and a.index == b.index and torch.equal(a.y, b.y)
    figures = kept.step(Place(0, 0.0))
    assert 0 < figures["bpp"] < 8 and figures["gradient"] > 0
    other = load_as(VideoRecipe, moving_clips, {"seed": 2})
    with pytest.raises(InputError, match="latents of other clips or models"):
        VideoExperiment(other, lambda text: None, Team("cpu"), False)
    with pytest.raises(InputError, match="need a model to start_from"):
        load_as(VideoRecipe, moving_clips, {"start_from": None})


def test_a_run_starts_from_a_model_file(moving_clips, monkeypatch):
    """The network computes with the integers of the file; gains are those of lines through their rows."""
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    network = VideoExperiment(load_as(VideoRecipe, moving_clips, {}), lambda text: None, Team("cpu"), False).network
    tensors = load(model=GOLDEN / "tiny-video.safetensors", of=VideoCodec).temporal.tensors
    for name, array in network.frozen().items():
        np.testing.assert_allclose(array.astype(int), tensors[name], atol=1 if name.endswith("gain") else 0)
    small = load_as(VideoRecipe, moving_clips, {"temporal": {"width": 7, "features": 8}, "cache": None})
    with pytest.raises(ModelError, match="cannot be trained"):
        VideoExperiment(small, lambda text: None, Team("cpu"), False)


def test_clips_of_photographs_move():
    import random

    pictures = [pattern(320, 400, 3)]
    made = [moving(pictures, random.Random(n), 4, 64, 96) for n in range(6)]
    assert all(m.shape == (4, 64, 96, 3) and m.dtype == np.uint8 for m in made)
    assert len({bool(np.array_equal(m[0], m[3])) for m in made}) == 2  # some are still
    np.testing.assert_array_equal(made[0], moving(pictures, random.Random(0), 4, 64, 96))


def test_clips_are_found_and_read(recipe, tmp_path):
    found = video_files([recipe.parent / "clips"])
    frames = list(read_frames(found[0], 3, 48))
    assert [f.shape for f in frames] == [(32, 48, 3)] * 3
    with pytest.raises(InputError, match="no video in"):
        video_files([tmp_path])
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a video that FFmpeg can read"):
        list(read_frames(tmp_path / "a.mp4", 3, 48))
    with pytest.raises(InputError, match="video is trained on"):
        load_as(VideoRecipe, recipe, {"clips": [], "pictures": []})


def test_videos_are_measured(recipe, tmp_path):
    ours = f"lecodec@{GOLDEN / 'tiny-video.safetensors'}"
    clips = [recipe.parent / "clips" / "a.mkv"]
    settings = {ours: (10, 50, 90), "x264": (45, 30, 15)}
    result = run_video(clips, [ours, "x264"], tmp_path, frames=4, width=64, settings=settings)
    assert len(result.points) == 6 and {row["codec"] for row in result.points} == {
        "lecodec@tiny-video.safetensors",
        "x264",
    }
    for row in result.points:
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / (row["width"] * row["height"] * 4), abs=1e-4)
        assert row["worst_psnr_y"] <= row["psnr_y"] < 60
    qualities = [row["psnr_y"] for row in result.points if row["codec"] == "x264"]
    assert qualities == sorted(qualities) and qualities[-1] > 35
    lines = (tmp_path / "points.tsv").read_text().splitlines()
    header = next(line for line in lines if not line.startswith("#")).split("\t")
    assert header[:3] == ["clip", "width", "height"] and (tmp_path / "bd.tsv").exists()
    assert any(line.startswith("# x264: libx264 of PyAV") for line in lines)
    with pytest.raises(InputError, match="no video codec 'av2'"):
        run_video(clips, ["av2"], tmp_path)
