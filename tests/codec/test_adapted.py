"""Models that change another one: the rules, what is refused, which of the two codes a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lecodec
from lecodec import ModelError, UnknownModel
from lecodec.bitstream import LecFile
from lecodec.cli.main import main
from lecodec.codec.adapted import MAX_RANK, changed
from lecodec.codec.model_file import load_tensors, read_card, save_model
from lecodec.codec.registry import load, load_for

from .. import reader
from ..contract.subjects import picture

GOLDEN = Path(__file__).parents[1] / "golden"
ADAPTED, BASE = GOLDEN / "tiny-adapted.safetensors", GOLDEN / "tiny-context.safetensors"


@pytest.fixture(scope="module")
def codec() -> lecodec.ImageCodec:
    return load(model=ADAPTED, of=lecodec.ImageCodec)


def run(*arguments: str | Path) -> int:
    """Exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


def whole(changes: dict, base: dict) -> dict:
    return changed(changes, {"kind": "adapted"}, base, {"kind": "image"})[0]


def test_products_are_added_in_their_order_and_rounded_half_up():
    base = {"w": np.array([[0, 10], [-7, 32767]], np.int16)}
    u = np.array([[0.5, 1.0], [0.25, 0.0]], np.float16)
    v = np.array([[1.0, 2.0], [2.0, -4.0]], np.float16)
    out = whole({"low.w.u": u, "low.w.v": v}, base)["w"]
    # 0 + .5 + .5; 10 + 1 - 1; -7 + 1; 32767 + 2, which int16 does not hold
    assert out.dtype == np.int16 and out.tolist() == [[1, 10], [-6, 32767]]
    halves = whole({"add.w": np.array([[0.5, -0.5], [0.49, 0]], np.float16)}, base)["w"]
    assert halves.tolist() == [[1, 10], [-7, 32767]]  # floor(x + 1/2): 9.5 becomes 10


def test_floats_are_rounded_to_their_type_and_tables_are_replaced():
    base = {"f": np.array([1.0, 2.0], np.float16), "t": np.array([3, 4], np.int32)}
    out = whole({"add.f": np.array([0.25, -1.0], np.float16), "set.t": np.array([9], np.int32)}, base)
    assert out["f"].dtype == np.float16 and out["f"].tolist() == [1.25, 1.0]
    assert out["t"].tolist() == [9]


def test_kernels_are_rows_of_all_their_numbers():
    base = {"k": np.zeros((2, 3, 1, 2), np.float16)}
    u, v = np.array([[1, 2]], np.float16), np.arange(6, dtype=np.float16)[None]
    assert whole({"low.k.u": u, "low.k.v": v}, base)["k"][1, 2].tolist() == [[8.0, 10.0]]


@pytest.mark.parametrize(
    "changes",
    [
        {"low.w.u": np.ones((1, 2), np.float16)},
        {"low.w.v": np.ones((1, 2), np.float16)},
        {"low.w.u": np.ones((1, 3), np.float16), "low.w.v": np.ones((1, 2), np.float16)},
        {"low.w.u": np.ones((2, 2), np.float16), "low.w.v": np.ones((1, 2), np.float16)},
        {"low.w.u": np.ones((MAX_RANK + 1, 2), np.float16), "low.w.v": np.ones((MAX_RANK + 1, 2), np.float16)},
        {"low.w.u": np.full((1, 2), np.nan, np.float16), "low.w.v": np.ones((1, 2), np.float16)},
        {"low.b.u": np.ones((1, 2), np.float16), "low.b.v": np.ones((1, 1), np.float16)},
        {"add.w": np.ones((2, 1), np.int16)},
        {"add.w": np.full((2, 2), np.inf, np.float32)},
        {"add.w": np.array([["a", "b"], ["c", "d"]])},
        {"add.w": np.ones((2, 2), np.int16), "set.w": np.ones((2, 2), np.int16)},
        {"set.w": np.ones((2, 2), np.float32)},
        {"set.w": np.ones(4, np.int16)},
        {"add.other": np.ones(1, np.int16)},
        {"w": np.ones((2, 2), np.int16)},
        {"add.f": np.full(1, 60000, np.float32)},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_changes_that_do_not_fit_are_refused(changes):
    base = {"w": np.ones((2, 2), np.int16), "b": np.ones(2, np.int32), "f": np.full(1, 60000, np.float16)}
    with pytest.raises(ModelError):
        whole(changes, base)


def test_the_specification_says_how_a_model_is_changed(codec):
    independent = reader.Model(BASE, ADAPTED)
    tensors, _ = changed(load_tensors(ADAPTED), read_card(ADAPTED).card, load_tensors(BASE), read_card(BASE).card)
    integers = {name: array for name, array in tensors.items() if name.startswith("parse.")}
    assert integers.keys() == {f"parse.{name}" for name in independent.tensors}
    for name, array in integers.items():
        assert np.array_equal(array, independent.tensors[name[6:]]), name


def test_a_model_without_its_base_says_which_it_needs(tmp_path):
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(ADAPTED.read_bytes())
    with pytest.raises(UnknownModel, match="tiny-context"):
        load(model=copy)
    (tmp_path / "any-name.safetensors").write_bytes(BASE.read_bytes())
    assert load(model=copy).card["kind"] == "image"


def test_a_file_of_changes_whose_digests_are_not_its_own_is_refused(tmp_path):
    card = {**read_card(ADAPTED).card, "parse_digest": "0" * 16}
    path = save_model(load_tensors(ADAPTED), card, tmp_path / "wrong.safetensors")
    (tmp_path / "base.safetensors").write_bytes(BASE.read_bytes())
    with pytest.raises(ModelError, match="digest"):
        load(model=path)


def test_changes_of_changes_are_refused(tmp_path):
    for path in (ADAPTED, BASE):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = read_card(ADAPTED)
    base = {"name": card.name, "parse_digest": card.parse_digest, "synthesis_digest": card.synthesis_digest}
    path = save_model({}, {**card.card, "base": base, "name": "twice"}, tmp_path / "twice.safetensors")
    with pytest.raises(UnknownModel, match="tiny-adapted"):  # of which nothing can be built
        load(model=path)


def test_a_picture_that_is_smaller_with_the_base_is_coded_by_it(codec):
    assert codec.base is not None
    taken = set()
    for n in range(4):
        for samples in (picture(40, 50, seed=n), np.random.default_rng(n).integers(0, 256, (40, 50, 3), np.uint8)):
            data = codec.encode(samples, 60)
            header = LecFile.open(data).header
            others = codec.base.encode(samples, 60)
            assert len(data) <= len(others)
            if header.parse_digest == codec.base.parse_digest:
                assert data == others
            taken.add(header.parse_digest)
            codec.test(data)
            back = codec.decode(data)
            assert np.array_equal(back, load_for(header, model=ADAPTED).decode(data))
            assert np.array_equal(codec.decode_region(data, (3, 5, 20, 10)), back[5:15, 3:23])
            assert np.array_equal(codec.decode_tensor(data).permute(1, 2, 0).numpy(), back)
    assert taken == {codec.parse_digest, codec.base.parse_digest}


def test_the_command_needs_both_files_and_says_so(tmp_path, monkeypatch, capsys):
    from PIL import Image

    Image.fromarray(picture(64, 64)).save(tmp_path / "p.png")
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    assert run("encode", tmp_path / "p.png", "--model", ADAPTED, "-o", tmp_path / "p.lec") == 0
    digest = LecFile.open((tmp_path / "p.lec").read_bytes()).header.parse_digest.hex()
    assert run("decode", tmp_path / "p.lec", "-o", tmp_path / "a.png") == 0
    monkeypatch.delenv("LECODEC_MODELS")
    capsys.readouterr()
    assert run("decode", tmp_path / "p.lec", "-o", tmp_path / "b.png") == 1
    assert digest in capsys.readouterr().err
    assert run("decode", tmp_path / "p.lec", "--model", ADAPTED, "-o", tmp_path / "b.png") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert json.loads(json.dumps(read_card(ADAPTED).card))["base"]["name"] == "tiny-context"
