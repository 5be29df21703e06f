"""Codebooks: learned, frozen, and files with them; what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import lecodec
from lecodec.bitstream import parse
from lecodec.cli.main import app
from lecodec.codec.model_file import load_tensors, parse_tensors, read_card
from lecodec.entropy.codebook_coding import CodebookCoding, _near, contexts
from lecodec.entropy.coder import Reader, Writer
from lecodec.entropy.latents import Meter
from lecodec.errors import CorruptFile, InputError, ModelError
from lecodec.train.checkpoint import load_checkpoint, save_checkpoint
from lecodec.train.codebook import _classes, means_of, nearest_of
from lecodec.train.freeze import freeze
from lecodec.train.run import train

from .. import reader
from ..codebook_reader import codebook_digest
from ..contract.subjects import GOLDEN, picture

PATH = GOLDEN / "tiny-codebook.safetensors"


def golden_tensors() -> dict[str, np.ndarray]:
    return parse_tensors(load_tensors(PATH))


def small_recipe(folder, **more) -> str:
    fields = {
        "kind": "codebook",
        "name": "small",
        "base": GOLDEN / "tiny.safetensors",
        "train": [str(folder)],
        "crops": 16,
        "crop": 64,
        "groups": [[1, 2], [2, 3], [8, 1]],
        "words": 8,
        "stages": 3,
        "rounds": 4,
        **more,
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codebook")
    for n in range(4):
        Image.fromarray(picture(90, 100, seed=n)).save(folder / f"{n}.png")
    (folder / "small.yaml").write_text(small_recipe(folder))
    return train(folder / "small.yaml", runs=folder / "runs", progress=lambda _: None)


def test_files_at_many_rates(run, tmp_path):
    """Through the command: more bytes are nearer, and every file comes back."""
    model = freeze(run, tmp_path / "small.safetensors")
    x = picture(70, 85, seed=7)
    Image.fromarray(x).save(tmp_path / "x.png")
    sizes, errors = [], []
    for quality in (5, 50, 95):
        encoded, back = tmp_path / f"{quality}.lec", tmp_path / f"{quality}.png"
        for arguments in (
            ["encode", tmp_path / "x.png", "-q", quality, "--model", model, "-o", encoded],
            ["decode", encoded, "--model", model, "-o", back],
        ):
            result = CliRunner().invoke(app, [str(a) for a in arguments])
            assert result.exit_code == 0, result.output
        sizes.append(encoded.stat().st_size)
        errors.append(float(np.square(np.asarray(Image.open(back)).astype(float) - x).mean()))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True) and sizes[0] < sizes[-1]
    card = read_card(model).card
    assert card["kind"] == "codebook" and card["codebooks_on"] == "tiny"
    assert lecodec.load(model=model).parse_digest == parse((tmp_path / "50.lec").read_bytes()).header.parse_digest


def test_runs_go_on_and_are_frozen_when_they_have_counted(run, tmp_path):
    state = load_checkpoint(run / "checkpoint.pt")
    early = {
        **state,
        "step": 2,
        "found": {n: a for n, a in state["found"].items() if n[:4] in ("word", "size", "left")},
    }
    folder = tmp_path / "small"
    folder.mkdir()
    save_checkpoint(early, folder / "checkpoint.pt")
    with pytest.raises(InputError, match="has not counted"):
        freeze(folder, tmp_path / "x.safetensors")
    recipe = run.parents[1] / "small.yaml"
    again = load_checkpoint(train(recipe, resume=True, runs=tmp_path, progress=lambda _: None) / "checkpoint.pt")
    for name, tensor in state["found"].items():
        assert (again["found"][name] == tensor).all(), name
    with pytest.raises(InputError, match="channels"):
        train(recipe, overrides={"name": "y", "groups": [[1, 3]]}, runs=tmp_path, progress=lambda _: None)
    with pytest.raises(InputError, match="at least 1"):
        train(recipe, overrides={"name": "y", "groups": [[0, 3]]}, runs=tmp_path, progress=lambda _: None)


def test_what_the_encoder_chooses_costs_less_than_the_nearest():
    coding = CodebookCoding(golden_tensors())
    y = np.random.default_rng(0).laplace(0, 4, (1, 16, 6, 7)).astype(np.float32)
    chosen, nearest = Meter(), Meter()
    found = coding.traverse([chosen], (6, 7), [50 * 256], [y])[0]
    free = CodebookCoding(golden_tensors())
    free._bits = free._bits * 0
    other = free.traverse([nearest], (6, 7), [50 * 256], [y])[0]
    price = 0.5 * 15.5
    cost, without = (
        m.bits + price * np.square(f.y_hat / 64 - y[0]).sum() for m, f in ((chosen, found), (nearest, other))
    )
    assert chosen.bits < nearest.bits and cost < without * 1.02
    assert (found.levels[0] >= -1).all() and coding.least_bits((6, 7), 50 * 256) <= chosen.bits


def test_an_escape_is_refused():
    tensors = golden_tensors()
    coding = CodebookCoding(tensors)
    writer = Writer()
    depth = coding._depths(63 * 256)
    assert depth[0] > 0
    writer.code(coding.y_tables, np.zeros(1, np.int64), np.array([99], np.int32))
    with pytest.raises(CorruptFile, match="no word of this number"):
        coding.traverse([Reader(writer.finish())], (1, 1), [63 * 256])


def test_neighbours_are_those_within_the_tile():
    first = np.array([3, 0, 1, 0, 3, 2])
    expected = []
    for i in range(2):
        for j in range(3):
            around = [
                first[3 * a + b]
                for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
                if 0 <= a < 2 and 0 <= b < 3
            ]
            expected.append(int(np.floor(np.mean(around) + 0.5)))
    assert _near(first, (2, 3)).tolist() == expected and _near(np.array([2]), (1, 1)).tolist() == [0]


def test_means_are_means():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [9, 0], [0, 9], [-9, -9]], np.float32)
    x = (centres[rng.integers(0, 4, 400)] + rng.normal(0, 0.1, (400, 2))).astype(np.float32)
    words, lengths = means_of(x, 6, 20, rng)
    free, none = np.ones(400), np.zeros(6)
    assert (words[0] == 0).all() and np.square(x - words[nearest_of(x, words, free, none)]).sum(1).mean() < 0.1
    assert not lengths.any()
    # Where errors are cheap, words that are rarely met are not worth their bits.
    cheap, bits = means_of(x, 6, 20, rng, np.full(400, 1e-4, np.float32))
    k = nearest_of(x, cheap, np.full(400, 1e-4), bits)
    assert len(np.unique(k)) < len(np.unique(nearest_of(x, words, free, none))) and bits.min() < 1
    assert _classes(np.array([0.0, 5, 1, 9, 2, 7, 3])).tolist() == [0, 2, 1, 3, 1, 3, 2]
    assert means_of(x[:3], 8, 3, rng)[0].shape == (8, 2)


def test_the_digest_is_that_of_the_specification():
    assert codebook_digest(reader.Model(PATH)).hex() == read_card(PATH).card["parse_digest"]
    assert len(CodebookCoding(golden_tensors()).y_tables) == 6 * sum(map(contexts, range(2)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("words.2", lambda a: a[:, 1:]),
        ("words.1", lambda a: a + 2**21),
        ("words.0", lambda a: a.astype(np.int16)),
        ("size.3", lambda a: a + 4),
        ("size.3", lambda a: a[:1]),
        ("stages", lambda a: a + 2),
        ("stages", lambda a: a[:, 1:]),
        ("gain", lambda a: a * 0),
        ("gain", lambda a: a[:, 1:]),
        ("y.low", lambda a: a + 1),
        ("y.length", lambda a: a[1:]),
        ("y.counts", lambda a: a[1:]),
    ],
)
def test_what_does_not_fit_is_refused(name, change):
    tensors = golden_tensors()
    with pytest.raises(ModelError):
        CodebookCoding({**tensors, name: change(tensors[name])})


def test_effort_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="effort"):
        lecodec.load(model=PATH).encode(picture(20, 20), 50, effort=4)
