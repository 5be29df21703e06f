"""Tasks of users: YAML files around torchvision, torchaudio, ONNX and functions, and plug-ins in Python."""

from __future__ import annotations

import math
import pickle
import wave
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lecodec.errors import CodecError, InputError
from lecodec.eval.tasks.catalogue import tasks_by_name
from lecodec.eval.tasks.plugin_task import PluginTask
from lecodec.eval.tasks.sounds import Sounds
from lecodec.eval.tasks.task import Answer, Item

from ..machine_examples import task_by_name

pytest.importorskip("pydantic")
torch = pytest.importorskip("torch")

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of 48 x 40 with a red, green or blue square on grey noise, the class in front."""
    folder = tmp_path_factory.mktemp("squares")
    for n in range(12):
        rng = np.random.default_rng(n)
        picture = rng.integers(90, 150, (40, 48, 3), np.uint8)
        y, x = rng.integers(0, 20, 2)
        picture[y : y + 18, x : x + 18] = COLOURS[n % 3]
        Image.fromarray(picture).save(folder / f"{n % 3}_{n:02d}.png")
    return folder


@pytest.fixture(scope="module")
def trained(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of two convolutions, trained on the squares: net.py and net.pth."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.py").write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "def build():\n"
        "    return torch.nn.Sequential(\n"
        "        torch.nn.Conv2d(3, 8, 5, stride=4), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU(),\n"
        "        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3))\n"
        "def classify(samples):\n"
        "    net = build()\n"
        "    net.load_state_dict(torch.load(Path(__file__).parent / 'net.pth', weights_only=True))\n"
        "    x = torch.tensor(samples).permute(2, 0, 1)[None].float() / 255\n"
        "    return net(x - 0.5)\n"
    )
    scope: dict = {}
    exec((folder / "net.py").read_text(), scope)
    torch.manual_seed(0)
    net = scope["build"]()
    paths = sorted(squares.iterdir())
    x = torch.tensor(np.stack([np.array(Image.open(path)) for path in paths])).permute(0, 3, 1, 2).float() / 255 - 0.5
    truth = torch.tensor([int(path.name[0]) for path in paths])
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), truth).backward()
        optimiser.step()
    torch.save(net.state_dict(), folder / "net.pth")
    return folder


def task_file(folder: Path, **fields) -> str:
    """A YAML file of these fields; its path."""
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", **fields}))
    return str(path)


def answers(task) -> list[Answer]:
    """To the originals."""
    found = []
    for name in task.source.names():
        item = task.source.item(name)
        prediction = task.predict(item.samples)
        found.append(task.answer(prediction, prediction, item.truth))
    return found


# --- functions ----------------------------------------------------------------------------------------------------


def test_a_function_with_a_network_trained_on_the_spot(squares: Path, trained: Path) -> None:
    (trained / "names.txt").write_text("red\ngreen\nblue\n")
    file = task_file(
        trained,
        data=str(squares),
        labels="prefix",
        network={"callable": "net.py:classify"},
        answer="classes",
        classes="names.txt",
    )
    task = task_by_name(file)
    found = answers(task)
    assert [a.score for a in found] == [1] * 12 and all(a.agreement == 1 for a in found)
    assert found[0].text.startswith("red ") and found[4].text.startswith("green ")
    assert str(trained) not in task.description and "net.py:classify, source digest" in task.description
    again = pickle.loads(pickle.dumps(task))
    samples = task.source.item("1_01.png").samples
    assert (again.predict(samples) == task.predict(samples)).all()
    red = np.full((40, 48, 3), 128, np.uint8)
    red[5:30, 5:30] = COLOURS[0]
    assert task.answer(task.predict(red), task.predict(samples), 1).agreement == 0


def test_what_a_function_returns_is_checked(tmp_path: Path, squares: Path) -> None:
    (tmp_path / "f.py").write_text(
        "import numpy as np\ndef give(samples, what):\n    return eval(what, {'np': np, 'samples': samples})\n"
    )

    def outcome(answer: str, what: str, **fields):
        network = {"callable": "f.py:give", "arguments": {"what": what}}
        task = task_by_name(task_file(tmp_path, data=str(squares), network=network, answer=answer, **fields))
        return task, task.predict(task.source.item("0_00.png").samples)

    assert outcome("classes", "[0.25, 0.75]")[1].tolist() == [0.25, 0.75]  # probabilities stay
    assert outcome("classes", "np.array([[0., 0.]])")[1].tolist() == [0.5, 0.5]
    assert outcome("text", "'some text'")[1] == "some text"
    assert outcome("embedding", "np.ones((1, 5, 1, 1))")[1].shape == (5,)
    assert outcome("mask", "samples[:, :, 0] / 255")[1].dtype == bool
    assert outcome("mask", "np.eye(3)[None, :, :, None] * np.ones((1, 3, 3, 4))")[1].tolist() == [
        [0] * 4,
        [1] * 4,
        [2] * 4,
    ]
    assert outcome("text", "np.eye(3)[[0, 1, 1, 0, 2]]", characters="ab")[1] == "ab"
    for answer, what, message in (
        ("classes", "np.ones((2, 3))", r"scores of N classes, \[N\] or \[1, N\], found \[2, 3\]"),
        ("classes", "'red'", "scores of N classes, .* found a text"),
        ("text", "np.ones((4, 3))", r"a text \(scores need `characters`\), found \[4, 3\]"),
        ("embedding", "np.ones((2, 3))", r"a vector, \[N\] or \[1, N\], found \[2, 3\]"),
        ("mask", "np.ones(3)", r"a mask, \[H, W\], or scores of classes, \[C, H, W\], found \[3\]"),
        ("values", "np.ones(0)", r"an array of numbers, found \[0\]"),
        ("values", "np.array([np.nan])", "numbers that are not finite"),
        ("values", "None", "numbers or a text, found NoneType"),
        ("values", "[[1], [1, 2]]", "numbers or a text, found list"),
    ):
        with pytest.raises(InputError, match=message):
            outcome(answer, what)
    with pytest.raises(CodecError, match=r"the network failed on uint8 \[40, 48, 3\]: ZeroDivisionError: "):
        outcome("values", "1 / 0")
    (tmp_path / "names.txt").write_text("red\ngreen\n")
    with pytest.raises(InputError, match=r"scores of 2 classes, \[2\] or \[1, 2\], found \[3\]"):
        outcome("classes", "[1, 2, 3]", classes="names.txt")
    task, values = outcome("values", "np.array([3., 4.])")
    assert task.answer(np.array([3.0, 3.0]), values, None).agreement == pytest.approx(0.96)
    assert task.answer(values + 100, values, None).agreement == 0 and task.answer(values, values, None).agreement == 1
    with pytest.raises(InputError, match="the answers' shapes differ"):
        task.answer(values[:1], values, None)


def test_masks_of_classes_are_compared_class_by_class(tmp_path: Path, squares: Path) -> None:
    (tmp_path / "f.py").write_text("def give(samples):\n    return (samples[None].transpose(0, 3, 1, 2) > 170) * 1.0\n")
    file = task_file(tmp_path, data=str(squares), network={"callable": "f.py:give"}, answer="mask")
    task = task_by_name(file)
    original = np.array([[0, 0, 1, 1]])
    assert task.answer(np.array([[0, 0, 0, 1]]), original, None).agreement == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert task.predict(task.source.item("2_02.png").samples).max() == 2
    with pytest.raises(InputError, match="shapes differ"):
        task.answer(np.array([[0]]), original, None)


def test_texts_on_pictures(tmp_path: Path, squares: Path) -> None:
    pytest.importorskip("rapidfuzz")
    (tmp_path / "f.py").write_text("def read(samples):\n    return 'Hello  wurld'\n")
    (tmp_path / "texts.csv").write_text('name,text\n0_00.png,"Hello, world"\n1_01,Hello world\n')
    task = task_by_name(
        task_file(tmp_path, data=str(squares), labels="texts.csv", network={"callable": "f.py:read"}, answer="text")
    )
    found = {name: answer for name, answer in zip(task.source.names(), answers(task), strict=True)}
    assert found["0_00.png"].score == pytest.approx(1 - 2 / 12) and found["0_00.png"].agreement == 1
    assert found["1_01.png"].score == pytest.approx(1 - 1 / 11)
    assert math.isnan(found["2_02.png"].score)
    assert task.measure == "character accuracy"
    with pytest.raises(InputError, match="answers with a text, and the label is 3"):
        task.answer("a", "a", 3)


# --- builders and ONNX --------------------------------------------------------------------------------------------


def test_a_builder_of_torchvision(tmp_path: Path, squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.save(models.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "w.pth")
    fields = {
        "data": str(squares),
        "network": {"torchvision": "shufflenet_v2_x0_5", "weights": "w.pth", "arguments": {"num_classes": 3}},
        "preprocess": {"resize": 36, "crop": 32, "mean": [0.5], "std": [0.25]},
        "answer": "classes",
        "labels": "prefix",
    }
    task = task_by_name(task_file(tmp_path, **fields))
    assert [a.agreement for a in answers(task)] == [1] * 12
    assert 'shufflenet_v2_x0_5 {"num_classes": 3}, weights ' in task.description and '"crop": 32' in task.description
    with pytest.raises(InputError, match="8000 x 8000 pixels|8000"):
        task_by_name(task_file(tmp_path, **{**fields, "preprocess": {"crop": 8000}})).predict(
            np.zeros((40, 48, 3), np.uint8)
        )
    wrong = {"torchvision": "shufflenet_v2_x0_5", "weights": "w.pth", "arguments": {"num_classes": 4}}
    with pytest.raises(InputError, match="holds no weights of a ShuffleNetV2: "):
        answers(task_by_name(task_file(tmp_path, **{**fields, "network": wrong})))
    wrong["arguments"] = {"classes": 4}
    with pytest.raises(InputError, match="the torchvision network shufflenet_v2_x0_5 cannot be made: "):
        answers(task_by_name(task_file(tmp_path, **{**fields, "network": wrong})))
    with pytest.raises(InputError, match="torchvision.models has no builder 'resnet'"):
        task_by_name(task_file(tmp_path, **{**fields, "network": {"torchvision": "resnet", "weights": "w.pth"}}))
    with pytest.raises(InputError, match=r"gone\.pth: cannot be read"):
        network = {"torchvision": "resnet18", "weights": "gone.pth"}
        task_by_name(task_file(tmp_path, **{**fields, "network": network}))


def test_segmentation_downloads_no_backbone(tmp_path: Path, squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models")

    def forbidden(*arguments, **named):
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", forbidden)
    monkeypatch.setattr("torchvision._internally_replaced_utils.load_state_dict_from_url", forbidden)
    make = models.segmentation.lraspp_mobilenet_v3_large
    torch.save(make(weights=None, weights_backbone=None, num_classes=3).state_dict(), tmp_path / "w.pth")
    network = {"torchvision": "lraspp_mobilenet_v3_large", "weights": "w.pth", "arguments": {"num_classes": 3}}
    task = task_by_name(task_file(tmp_path, data=str(squares), network=network, answer="mask"))
    assert task.predict(np.zeros((40, 48, 3), np.uint8)).shape == (40, 48)


def test_a_builder_of_torchaudio(tmp_path: Path, tones: Path) -> None:
    models = pytest.importorskip("torchaudio.models")
    pytest.importorskip("rapidfuzz")
    arguments = {
        "extractor_mode": "group_norm",
        "extractor_conv_layer_config": [[8, 10, 5], [8, 3, 2]],
        "extractor_conv_bias": False,
        "encoder_embed_dim": 16,
        "encoder_pos_conv_kernel": 3,
        "encoder_pos_conv_groups": 1,
        "encoder_num_layers": 1,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 16,
        "encoder_layer_norm_first": False,
        "encoder_layer_drop": 0.0,
        "aux_num_out": 5,
    }
    arguments |= {f"encoder_{part}dropout": 0.0 for part in ("", "projection_", "attention_", "ff_interm_")}
    torch.save(models.wav2vec2_model(**arguments).state_dict(), tmp_path / "w.pth")
    fields = {"media": "audio", "data": str(tones), "answer": "text", "characters": ["E", " ", "T", "A"]}
    fields["labels"] = str(tones / "texts.csv")
    network = {"torchaudio": "wav2vec2_model", "weights": "w.pth", "arguments": arguments}
    task = task_by_name(task_file(tmp_path, **fields, network=network))
    assert isinstance(task.predict(task.source.item("a.wav").samples), str)
    assert all(answer.agreement == 1 for answer in answers(task)) and task.measure == "word accuracy"
    with pytest.raises(InputError, match="torchaudio.models has no builder 'whisper'"):
        task_by_name(task_file(tmp_path, **fields, network={"torchaudio": "whisper", "weights": "w.pth"}))


def protobuf(*fields: tuple[int, object]) -> bytes:
    """A message: numbers as varints, bytes, texts and nested messages with their lengths."""

    def varint(n: int) -> bytes:
        return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])

    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def onnx_file(path: Path, weight: np.ndarray, inputs: tuple[str, ...] = ("x",)) -> None:
    """The mean colour of a picture [1, 3, H, W] times a matrix [3, N], as an ONNX file written by hand."""

    def value(name: str, shape: tuple) -> bytes:
        sizes = [(1, protobuf((1, n) if isinstance(n, int) else (2, n))) for n in shape]
        return protobuf((1, name), (2, protobuf((1, protobuf((1, 1), (2, protobuf(*sizes)))))))

    nodes = [("GlobalAveragePool", ("x",), "pooled"), ("Flatten", ("pooled",), "flat"), ("MatMul", ("flat", "w"), "y")]
    graph = [(1, protobuf(*((1, i) for i in given), (2, made), (4, kind))) for kind, given, made in nodes]
    tensor = protobuf((1, 3), (1, weight.shape[1]), (2, 1), (8, "w"), (9, weight.astype("<f4").tobytes()))
    graph += [(2, "colours"), (5, tensor)]
    graph += [(11, value(name, (1, 3, "h", "w"))) for name in inputs] + [(12, value("y", (1, weight.shape[1])))]
    path.write_bytes(protobuf((1, 8), (8, protobuf((2, 13))), (7, protobuf(*graph))))


def test_an_onnx_file(tmp_path: Path, squares: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx_file(tmp_path / "m.onnx", np.eye(3) * 50)
    fields = {"data": str(squares), "labels": "prefix", "answer": "classes", "network": {"onnx": "m.onnx"}}
    task = task_by_name(task_file(tmp_path, **fields))
    assert [a.score for a in answers(task)] == [1] * 12
    assert task.description.startswith("ONNX m.onnx ") and task.description.endswith(", classes, top 5")
    found = task_by_name(task_file(tmp_path, **{**fields, "preprocess": {"layout": "NHWC"}}))
    with pytest.raises(CodecError, match=r"the network failed on float32 \[1, 40, 48, 3\]: "):
        answers(found)
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"m\.onnx: onnxruntime cannot load this model: "):
        answers(task_by_name(task_file(tmp_path, **fields)))
    onnx_file(tmp_path / "m.onnx", np.eye(3), ("x", "z"))
    with pytest.raises(InputError, match=r"m\.onnx: the network takes 2 inputs, expected one"):
        answers(task_by_name(task_file(tmp_path, **fields)))


# --- sounds -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.wav: half a second of 440 Hz, stereo, at 22050 Hz; b.wav: the same at half the level, mono; texts of both."""
    folder = tmp_path_factory.mktemp("tones")
    tone = np.sin(2 * np.pi * 440 * np.arange(11025) / 22050)
    for name, channels, level in (("a.wav", 2, 0.5), ("b.wav", 1, 0.25)):
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((channels, 2, 22050, 0, "NONE", ""))
            file.writeframes(np.repeat((tone * level * 32767).astype("<i2"), channels).tobytes())
    (folder / "texts.csv").write_text("a|A, four-forty.|a four forty\nb|Quiet.|quiet\nc|gone|gone\n")
    return folder


def test_sounds_are_mixed_and_resampled(tones: Path, tmp_path: Path) -> None:
    source = Sounds(tones, labels=tones / "texts.csv", texts=True)
    assert source.names() == ("a.wav", "b.wav")
    item = source.item("a.wav")
    assert item.samples.dtype == np.float32 and item.truth == "a four forty"
    assert abs(len(item.samples) - 8000) <= 16
    assert np.abs(item.samples[200:-200]).max() == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.fft.rfft(item.samples)).argmax() * 16000 / len(item.samples) == pytest.approx(440, abs=3)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"text\.wav: not a sound that FFmpeg can read"):
        Sounds(tmp_path).item("text.wav")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"p\.png: it holds no sound"):
        Sounds(tmp_path).item("p.png")
    with pytest.raises(InputError, match="1000 to 192000 Hz, found 5"):
        Sounds(tmp_path, sample_rate=5)


def test_words_of_sounds(tones: Path, tmp_path: Path) -> None:
    pytest.importorskip("rapidfuzz")
    (tmp_path / "f.py").write_text(
        "def hear(samples):\n    return 'A four fifty' if abs(samples).max() > 0.4 else ''\n"
    )
    fields = {"media": "audio", "data": str(tones), "labels": str(tones / "texts.csv"), "answer": "text"}
    task = task_by_name(task_file(tmp_path, **fields, network={"callable": "f.py:hear"}))
    found = answers(task)
    assert [a.score for a in found] == [pytest.approx(2 / 3), 0] and [a.agreement for a in found] == [1, 1]
    assert (task.source.media, task.source.sample_rate, task.measure) == ("audio", 16000, "word accuracy")


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"network": {}},
            "network: Value error, give exactly one of torchvision, torchaudio, onnx, callable, found none",
        ),
        ({"network": {"onnx": "m.onnx", "callable": "m:f"}}, "give exactly one of .* found onnx, callable"),
        ({"network": {"torchvision": "resnet18"}}, "weights belong to torchvision and torchaudio networks, always"),
        ({"network": {"callable": "m:f", "weights": "w"}}, "weights belong to"),
        (
            {"network": {"torchvision": "resnet18", "weights": "w", "arguments": {"weights": "DEFAULT"}}},
            "nothing is downloaded",
        ),
        ({"network": {"onnx": "m.onnx", "arguments": {"a": 1}}}, "an ONNX file takes no arguments"),
        ({"name": "my task"}, "name: String should match"),
        ({"answer": "boxes"}, "answer: Input should be 'classes', 'text', 'embedding', 'mask' or 'values'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"characters": "abc"}, "characters goes with answer: text, and this is classes"),
        ({"sample_rate": 8000}, "sample_rate goes with media: audio, and this is image"),
        ({"media": "audio", "short_side": 8}, "short_side goes with media: image"),
        ({"media": "audio", "preprocess": {"crop": 8}}, "of a sound only the layout can be chosen"),
        ({"preprocess": {"layout": "NT"}}, "the layout of a picture is NCHW or NHWC"),
        ({"preprocess": {"mean": [1, 2]}}, "mean has one number a channel, or one for all"),
        ({"preprocess": {"std": [0]}}, "std is above 0"),
        ({"preprocess": {"resize": 9, "size": [3, 4]}}, "give resize or size, not both"),
        ({"data": None}, "names no data, and no folder was given"),
        ({"data": "gone"}, "not a directory"),
        ({"labels": "gone.csv"}, "cannot read the labels"),
        ({"classes": "gone.txt"}, "cannot read the names of classes"),
        ({"network": {"callable": "gone.py:f"}}, "there is no such file"),
        ({"network": {"callable": "f.py:g"}}, "there is no g in f.py"),
        ({"network": {"callable": "f"}}, "a callable is MODULE:NAME or FILE.py:NAME, found 'f'"),
        ({"answer": "text", "labels": "prefix"}, "texts come from a file .csv or .tsv, labels: prefix gives classes"),
    ],
)
def test_faults_of_a_file(tmp_path: Path, squares: Path, changes: dict, message: str) -> None:
    (tmp_path / "f.py").write_text("def f(samples):\n    return [0, 1]\n")
    fields = {"data": str(squares), "network": {"callable": "f.py:f"}, "answer": "classes", **changes}
    with pytest.raises(InputError, match=message) as caught:
        task_by_name(task_file(tmp_path, **fields))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.yaml", "[1, 2]", "a task is a mapping of names to values"),
        ("b.yml", "a: [", "cannot read the task: "),
        ("c.yaml", "1: 2", "cannot read the task: |mapping"),
        ("d.yaml", "", "a task is a mapping"),
        ("e.yaml", "[" * 20000, "nested too deeply"),
        ("f.yaml", "a: 2024-99-99", "cannot read the task: "),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            task_by_name(str(tmp_path / name))
    with pytest.raises(InputError, match="cannot read the task: No such file"):
        task_by_name(str(tmp_path / "gone.yaml"))


def test_tasks_of_several_files_share_equal_sources_only(tmp_path: Path, squares: Path) -> None:
    (tmp_path / "f.py").write_text("def f(samples):\n    return [0, 1]\n")
    specs = []
    for n, more in enumerate(({}, {}, {"short_side": 20}, {"labels": "prefix"})):
        (tmp_path / str(n)).mkdir()
        network = {"callable": f"{tmp_path}/f.py:f"}
        specs.append(task_file(tmp_path / str(n), name=f"t{n}", network=network, answer="classes", **more))
    tasks = tasks_by_name(specs, squares)
    assert [task.source.name for task in tasks] == ["photos", "photos", "photos#2", "photos#3"]
    assert tasks[0].source is tasks[1].source
    assert tasks[2].source.item("0_00.png").samples.shape[0] == 20
    assert str(tmp_path) not in tasks[0].description


def test_preprocessing(tmp_path: Path) -> None:
    from lecodec.eval.tasks.custom_network import Preprocess

    ramp = np.repeat(np.arange(0, 240, 4, np.uint8)[None, :, None], 40, 0).repeat(3, 2)  # [40, 60, 3]
    assert Preprocess().picture(ramp).shape == (1, 3, 40, 60)
    assert Preprocess(resize=20, crop=10).picture(ramp).shape == (1, 3, 10, 10)
    assert Preprocess(size=(7, 9), layout="NHWC").picture(ramp).shape == (1, 7, 9, 3)
    assert Preprocess(grey=True, mean=[0.5]).picture(ramp)[0, 0, 0, 15] == pytest.approx(60 / 255 - 0.5)
    found = Preprocess(scale=1, mean=[0, 1, 2], std=[1, 2, 4]).picture(ramp)[0, :, 0, 10]
    assert found.tolist() == [40, 39 / 2, 38 / 4]
    middle = Preprocess(crop=40, scale=1).picture(ramp)[0, 0, 0]
    assert middle[0] == 40 and len(middle) == 40
    assert Preprocess().sound(np.zeros(9, np.float32)).shape == (1, 9)
    assert Preprocess(layout="NCT").sound(np.zeros(9, np.float32)).shape == (1, 1, 9)


# --- plug-ins -----------------------------------------------------------------------------------------------------

PLUGIN = """
from lecodec.eval.tasks.sources import Photographs
from lecodec.eval.tasks.task import Answer

class Brightness:
    name, description, measure = "brightness", "mean of the picture", "closeness"
    def __init__(self, data):
        self.source = Photographs(data, short_side=None)
    def predict(self, samples):
        mean = samples.mean()
        samples[:] = 0  # its own copy
        return mean
    def answer(self, prediction, original, truth):
        return Answer(float("nan"), 1 - abs(prediction - original) / 255, f"{prediction:.0f}")

def incomplete():
    return Incomplete()

class Incomplete:
    name = "x"
"""


def test_a_plug_in(tmp_path: Path, squares: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    task = task_by_name(f"{tmp_path}/mine.py:Brightness", squares)
    item = task.source.item("0_00.png")
    before = item.samples.copy()
    prediction = task.predict(item.samples)
    assert (item.samples == before).all() and task.answer(prediction, prediction, None).agreement == 1
    assert task.description.startswith("mean of the picture; plug-in mine.py:Brightness, source digest ")
    with pytest.raises(InputError, match="has no source, description, measure, predict, answer: it needs name, "):
        task_by_name(f"{tmp_path}/mine.py:incomplete")
    with pytest.raises(InputError, match=r"there is no Gone in mine\.py"):
        task_by_name(f"{tmp_path}/mine.py:Gone")
    with pytest.raises(InputError, match="there is no module 'no_such_module'"):
        task_by_name("no_such_module:Task")


class Rough:
    """A task whose every part can be told to fail."""

    name, description, measure = "rough", "fails when told to", "top-1"

    class source:  # noqa: N801
        name, media, sample_rate, description = "rough", "image", 0, "one picture"
        given: object = Item("a", np.zeros((2, 2, 3), np.uint8), 1)

        @classmethod
        def names(cls) -> list[str]:
            return ["a"]

        @classmethod
        def item(cls, name: str):
            if isinstance(cls.given, Exception):
                raise cls.given
            return cls.given

    def predict(self, samples):
        raise RuntimeError("out of memory\nat line 3")

    def answer(self, prediction, original, truth):
        return prediction


def test_whatever_a_plug_in_does_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    task = PluginTask(Rough(), "rough.py:Rough", "")
    with pytest.raises(CodecError, match="^rough: predict failed: RuntimeError: out of memory$"):
        task.predict(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(CodecError, match="answer must give an Answer, not float"):
        task.answer(0.5, 0.5, None)
    with pytest.raises(CodecError, match="lie in 0 to 1, found 2 and 1"):
        task.answer(Answer(2, 1, ""), None, None)
    assert task.answer(Answer(np.float32(0.5), math.nan, ""), None, None).score == 0.5
    assert task.source.item("a").truth == 1 and list(task.source.names()) == ["a"]
    for given, message in (
        (ValueError("broken"), "^a: ValueError: broken$"),
        (InputError("is gone"), "^a: is gone$"),
        (3, "the source must give an Item, not int"),
        (Item("a", np.zeros((2, 2), np.uint8)), r"samples must be uint8 \[H, W, 3\], not uint8 \[2, 2\]"),
    ):
        monkeypatch.setattr(Rough.source, "given", given)
        with pytest.raises(CodecError, match=message):
            task.source.item("a")
    with monkeypatch.context() as changed, pytest.raises(InputError, match="a name has letters, digits, - and _"):
        changed.setattr(Rough, "name", "two words")
        PluginTask(Rough(), "rough.py:Rough", "")
    with monkeypatch.context() as changed, pytest.raises(InputError, match="media are image or audio, not 'smell'"):
        changed.setattr(Rough.source, "media", "smell")
        PluginTask(Rough(), "rough.py:Rough", "")


def test_different_sources_of_one_name_are_refused() -> None:
    other = type("Other", (Rough,), {"source": type("source", (Rough.source,), {}), "name": "other"})
    with pytest.raises(InputError, match="rough and other have different sources of the same name, rough: rename one"):
        tasks_by_name([Rough(), other()])
    assert len(tasks_by_name([Rough(), Rough()])) == 2
