"""Detection: networks in TensorFlow.js's form, boxes, how they are compared, and the real network where it is there."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lecodec.errors import InputError
from lecodec.eval.quality.graph_model import GraphModel
from lecodec.eval.quality.packaged import NodeFile
from lecodec.eval.tasks import detection
from lecodec.eval.tasks.catalogue import tasks_by_name
from lecodec.eval.tasks.detection import CLASSES, Box, boxes_of, detection_answer, overlap
from lecodec.eval.tasks.pictures import bundled


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def window(padding: str = "SAME", stride: int = 1, fused: tuple[str, ...] = ()) -> dict[str, Any]:
    ones = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
    made = {"padding": {"s": coded(padding)}, "strides": ones, "dilations": {"list": {"i": ["1"] * 4}}}
    return made | ({"fused_ops": {"list": {"s": [coded(name) for name in fused]}}} if fused else {})


def graph(folder: Path, nodes: list[tuple], weights: dict[str, np.ndarray], half: tuple[str, ...] = ()) -> Path:
    """A model.json and its weights. nodes: name, operation, inputs, attributes; half: weights kept as float16."""
    listed = [{"name": n, "op": op, "input": list(inputs), "attr": attr} for n, op, inputs, attr in nodes]
    listed += [{"name": name, "op": "Const", "attr": {}} for name in weights]
    described, data = [], b""
    for name, values in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": values.dtype.name}
        if name in half:
            entry["quantization"], values = {"dtype": "float16"}, values.astype(np.float16)
        data += values.tobytes()
        described.append(entry)
    manifest = [{"paths": ["weights.bin"], "weights": described}]
    (folder / "weights.bin").write_bytes(data)
    (folder / "model.json").write_text(json.dumps({"modelTopology": {"node": listed}, "weightsManifest": manifest}))
    return folder / "model.json"


def operation(folder: Path, op: str, x: np.ndarray, attributes: dict[str, Any], **weights: np.ndarray) -> np.ndarray:
    """What one operation makes of x and weights."""
    nodes = [("x", "Placeholder", [], {}), ("y", op, ["x", *weights], attributes)]
    return GraphModel(graph(folder, nodes, weights), ("y",))(x)[0]


def test_operations_compute_what_tensorflow_defines(tmp_path: Path) -> None:
    x = np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5, 1)
    box = np.ones((2, 2, 1, 1), np.float32)
    # SAME: 5 pixels at a stride of 2 become 3, and the odd border lies behind.
    found = operation(tmp_path, "Conv2D", x, window(stride=2), kernel=box)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[16, 24, 15], [56, 64, 35], [43, 47, 25]])
    found = operation(tmp_path, "Conv2D", x, window("VALID", 2), kernel=box)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[16, 24], [56, 64]])
    bias = np.array([-60], np.float32)
    found = operation(tmp_path, "_FusedConv2D", x, window("VALID", 2, ("BiasAdd", "Relu")), kernel=box, bias=bias)
    np.testing.assert_array_equal(found[0, :, :, 0], [[0, 0], [0, 4]])
    two = np.concatenate([x, -x], 3)
    kernel = np.stack([box[:, :, :, 0], 2 * box[:, :, :, 0]], 2)  # [2, 2, 2, 1]
    found = operation(tmp_path, "DepthwiseConv2dNative", two, window("VALID", 2), kernel=kernel.reshape(2, 2, 2, 1))
    np.testing.assert_array_equal(found[0, :, :, 0], [[16, 24], [56, 64]])
    np.testing.assert_array_equal(found[0, :, :, 1], [[-32, -48], [-112, -128]])
    size = np.array([4, 2], np.int32)
    small = np.array([0, 1, 2, 3], np.float32).reshape(1, 2, 2, 1)
    found = operation(tmp_path, "ResizeBilinear", small, {}, size=size)[0, :, :, 0]
    np.testing.assert_array_equal(found, [[0, 1], [1, 2], [2, 3], [2, 3]])
    pool = window() | {"ksize": {"list": {"i": ["1", "3", "3", "1"]}}}
    np.testing.assert_array_equal(operation(tmp_path, "MaxPool", -small, pool)[0, :, :, 0], [[0, 0], [0, 0]])
    axes = np.array([1, 2], np.int32)
    assert operation(tmp_path, "Mean", x, {"keep_dims": {"b": True}}, axes=axes).tolist() == [[[[13.0]]]]


def test_convolutions_are_those_of_torch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 7, 3)).astype(np.float32), rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    found = operation(tmp_path, "Conv2D", x, window(), kernel=kernel)
    wanted = torch.nn.functional.conv2d(
        torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(kernel).permute(3, 2, 0, 1), padding=1
    )
    np.testing.assert_allclose(found, wanted.permute(0, 2, 3, 1), atol=1e-5)


def test_a_graph_runs_what_its_outputs_need_and_nothing_else(tmp_path: Path) -> None:
    half = np.array([0.5, 2], np.float32)
    nodes = [
        ("x", "Placeholder", [], {}),
        ("a", "Mul", ["x", "w"], {}),
        ("b", "Sigmoid", ["a"], {}),
        ("c", "ConcatV2", ["a", "b", "axis"], {}),
        ("d", "NonMaxSuppressionV5", ["c"], {}),
    ]
    path = graph(tmp_path, nodes, {"w": half, "axis": np.array(-1, np.int32)}, half=("w",))
    (found,) = GraphModel(path, ("c",))(np.zeros((1, 1, 2), np.float32))
    assert found.tolist() == [[[0, 0, 0.5, 0.5]]]
    with pytest.raises(InputError, match="not known here: NonMaxSuppressionV5"):
        GraphModel(path, ("d",))
    with pytest.raises(InputError, match="cannot be run"):
        GraphModel(path, ("c",))(np.zeros((1, 1, 3), np.float32))
    with pytest.raises(InputError, match="takes 1 inputs"):
        GraphModel(path, ("c",))()


def test_damaged_graphs_are_refused(tmp_path: Path) -> None:
    path = graph(tmp_path, [("x", "Placeholder", [], {}), ("y", "Add", ["x", "w"], {})], {"w": np.ones(3, np.float32)})
    text = path.read_text()
    for changed in ("", "[]", text[:-9], text.replace("[3]", "[4]"), text.replace("[3]", "[-1]"), "[" * 99_999):
        path.write_text(changed)
        with pytest.raises(InputError):
            GraphModel(path, ("y",))
    path.write_text(text.replace('["x", "w"]', '["y", "w"]'))
    with pytest.raises(InputError, match="circle"):
        GraphModel(path, ("y",))
    (tmp_path / "weights.bin").unlink()
    path.write_text(text)
    with pytest.raises(InputError):
        GraphModel(path, ("y",))


def test_boxes_are_peaks_with_their_reaches() -> None:
    centres, reaches = np.zeros((128, 128, 80), np.float32), np.full((128, 128, 4), 40, np.float32)
    centres[20, 30, 0], centres[20, 31, 0] = 0.9, 0.8  # one peak: neighbours are below it
    centres[22, 33, 0] = 0.7  # overlaps the first
    centres[22, 33, 2] = 0.6  # so does this, but it is another thing
    centres[100, 1, 15] = 0.5  # reaches over the edge
    centres[60, 60, 3] = 0.2  # too uncertain
    found = boxes_of(centres, reaches)
    assert [(box.name, round(box.score, 1)) for box in found] == [("person", 0.9), ("car", 0.6), ("cat", 0.5)]
    assert found[0][2:] == (80 / 512, 40 / 512, 160 / 512, 120 / 512)
    assert found[2].left == 0 and found[2].right == 44 / 512
    assert len(CLASSES) == len(set(CLASSES)) == 80 and CLASSES[41] == "cup" and CLASSES[79] == "toothbrush"


def test_detections_are_compared_by_f1() -> None:
    cat, dog = Box("cat", 0.9, 0, 0, 0.5, 0.5), Box("dog", 0.6, 0.5, 0.5, 1, 1)
    assert overlap(cat, cat) == 1 and overlap(cat, dog) == 0
    assert overlap(cat, cat._replace(right=0.25)) == 0.5
    assert detection_answer([cat, dog], [cat, dog]).agreement == 1
    assert detection_answer([cat], [cat, dog]).agreement == pytest.approx(2 / 3)
    assert detection_answer([cat, cat._replace(score=0.4)], [cat]).agreement == pytest.approx(2 / 3)
    assert detection_answer([cat._replace(name="dog")], [cat]).agreement == 0  # another thing there
    assert detection_answer([cat._replace(right=0.2)], [cat]).agreement == 0  # too little of it
    nothing = detection_answer([], [cat])
    assert nothing.agreement == 0 and nothing.text == "nothing found" and math.isnan(nothing.score)
    assert math.isnan(detection_answer([cat], []).agreement)


def test_the_npm_package_is_found_above_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = NodeFile("@some/package", "1.2.3", "models/x.bin")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    with pytest.raises(InputError, match="npm install @some/package@1.2.3"):
        wanted.find()
    folder = tmp_path / "node_modules" / "@some" / "package"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "x.bin").write_bytes(b"12")
    assert wanted.find() == folder / "models" / "x.bin" and "of unknown version" in wanted.describe()
    (folder / "package.json").write_text('{"version": "1.2.4"}')
    assert wanted.describe().startswith("@some/package 1.2.4, weights ")


def test_the_real_network_finds_a_person_and_a_cup(tmp_path: Path) -> None:
    try:
        detection._GRAPH.find()
    except InputError:
        pytest.skip("the npm package @vladmandic/human is not installed")
    for name in ("astronaut.png", "coffee.png"):
        (tmp_path / name).write_bytes(bundled(name).read_bytes())
    (task,) = tasks_by_name(["detection"], tmp_path)
    samples = {name: task.source.item(name).samples for name in task.source.names()}
    found = {name: task.predict(picture) for name, picture in samples.items()}
    assert found["astronaut.png"][0].name == "person" and found["coffee.png"][0].name == "cup"
    for name, picture in samples.items():
        assert task.answer(task.predict(picture), found[name], None).agreement == 1
        file = io.BytesIO()
        Image.fromarray(picture).resize((24, 24)).save(file, "JPEG", quality=5)
        worse = np.asarray(Image.open(file).resize(picture.shape[1::-1]))
        assert task.answer(task.predict(worse), found[name], None).agreement < 1
