"""Training with `.lec` files: the dataset in one process and in several, and the augmentation."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lecodec import load
from lecodec.codec.dataset import LecDataset, RandomCompression
from lecodec.errors import CorruptFile, InputError, UnknownModel

pytestmark = pytest.mark.usefixtures("tiny_default")


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    """Three pictures of one shape in two classes."""
    for number, (name, quality) in enumerate([("cat/a", 20), ("cat/deep/b", 50), ("dog/c", 80)]):
        path = tmp_path / f"{name}.lec"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(load().encode(np.roll(picture, 9 * number, 0), quality))
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    return tmp_path


def expected(path: Path) -> torch.Tensor:
    return torch.from_numpy(load().decode(path.read_bytes())).permute(2, 0, 1)


def test_a_folder_or_a_list_of_files(folder: Path) -> None:
    dataset = LecDataset(folder)
    assert [path.relative_to(folder).as_posix() for path in dataset.files] == [
        "cat/a.lec",
        "cat/deep/b.lec",
        "dog/c.lec",
    ]
    assert len(dataset) == 3
    for n, path in enumerate(dataset.files):
        assert dataset[n].dtype == torch.uint8 and dataset[n].shape == (3, 50, 70)
        assert torch.equal(dataset[n], expected(path))
    some = LecDataset([str(dataset.files[2]), dataset.files[0]], transform=lambda x: x.float() / 255)
    assert torch.equal(some[0], expected(dataset.files[2]).float() / 255)
    assert len(LecDataset(str(folder), model="image")) == 3


def test_grey_alpha_and_sixteen_bits(tmp_path: Path, picture: np.ndarray) -> None:
    for channels, dtype in ((1, np.uint8), (4, np.uint16)):
        samples = np.dstack([picture, picture])[:, :, :channels].astype(dtype)
        (tmp_path / "p.lec").write_bytes(load().encode(samples[:, :, 0] if channels == 1 else samples))
        item = LecDataset(tmp_path)[0]
        assert item.shape == (channels, 50, 70) and item.dtype == getattr(torch, np.dtype(dtype).name)


def test_labels_are_the_subfolders(folder: Path, picture: np.ndarray) -> None:
    dataset = LecDataset(folder, labels=True)
    assert dataset.classes == ["cat", "dog"]
    assert [dataset[n][1] for n in range(3)] == [0, 0, 1]
    (folder / "stray.lec").write_bytes(load().encode(picture))
    with pytest.raises(InputError, match="subfolder"):
        LecDataset(folder, labels=True)
    with pytest.raises(InputError, match="subfolder"):
        LecDataset(dataset.files, labels=True)


def test_no_files_and_bad_files(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(InputError, match="no .lec files"):
        LecDataset(tmp_path_factory.mktemp("empty"))
    with pytest.raises(InputError, match="empty list"):
        LecDataset([])
    path = folder / "dog" / "c.lec"
    damaged = bytearray(path.read_bytes())
    damaged[-30] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptFile, match=r"dog/c\.lec: .*CRC"):
        LecDataset(folder)[2]
    with pytest.raises(UnknownModel):
        LecDataset(folder, model="no-such-model")[0]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader(folder: Path, start: str) -> None:
    dataset = LecDataset(folder, labels=True)
    dataset[0]  # the codec is loaded here: a forked worker inherits it
    loader = DataLoader(dataset, batch_size=2, num_workers=2 if start == "fork" else 1, multiprocessing_context=start)
    batches = list(loader)
    assert [len(pictures) for pictures, _ in batches] == [2, 1]
    assert torch.cat([labels for _, labels in batches]).tolist() == [0, 0, 1]
    pictures = torch.cat([pictures for pictures, _ in batches])
    assert (pictures.int() - torch.stack([expected(path) for path in dataset.files]).int()).abs().max() <= 1


# -- the augmentation


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_it_gives_what_coding_would(picture: np.ndarray, channels: int, dtype: torch.dtype) -> None:
    batch = torch.stack([torch.from_numpy(np.roll(picture, n, 1)).permute(2, 0, 1)[:channels] for n in range(3)])
    augment = RandomCompression(quality=(5, 95))
    torch.manual_seed(4)
    _, quality = augment.draw(3)
    assert len(set(quality.tolist())) == 3 and 5 <= quality.min() and quality.max() <= 95
    torch.manual_seed(4)
    found = augment(batch if dtype == torch.uint8 else batch.to(dtype) / 255)
    assert found.dtype == dtype and found.shape == batch.shape
    whole = found if dtype == torch.uint8 else found.float() * 255
    for n in range(3):
        samples = batch[n].permute(1, 2, 0).numpy()
        samples = np.ascontiguousarray(samples[:, :, 0] if channels == 1 else samples)
        coded = load().decode(load().encode(samples, float(quality[n])))
        assert np.abs(coded.astype(int) - samples).max() > 3  # so that it says something
        assert np.abs(whole[n].permute(1, 2, 0).numpy().reshape(samples.shape) - coded).max() <= 1.2


def test_one_picture_and_a_share_of_a_batch(picture: np.ndarray) -> None:
    one = torch.from_numpy(picture).permute(2, 0, 1)
    assert RandomCompression()(one).shape == one.shape
    assert not torch.equal(RandomCompression(quality=(5, 5))(one), one)
    assert RandomCompression(p=0)(one) is one

    batch = one.expand(12, -1, -1, -1) / 255
    augment = RandomCompression(quality=(5, 5), p=0.5)
    torch.manual_seed(1)
    touched, _ = augment.draw(12)
    assert 0 < touched.sum() < 12
    torch.manual_seed(1)
    before = batch.clone()
    found = augment(batch)
    assert torch.equal(batch, before)
    for n in range(12):
        assert torch.equal(found[n], batch[n]) != bool(touched[n])


def test_a_seed_repeats_it_and_it_pickles(picture: np.ndarray) -> None:
    one = torch.from_numpy(picture).permute(2, 0, 1)
    augment = RandomCompression(model="image")
    torch.manual_seed(7)
    first, second = augment(one), augment(one)
    assert not torch.equal(first, second)
    torch.manual_seed(7)
    copy = pickle.loads(pickle.dumps(augment))
    assert torch.equal(copy(one), first) and torch.equal(copy(one), second)
    assert not list(augment.parameters()) and "quality=(10.0, 90.0)" in repr(augment)


def test_it_is_a_transform_of_the_dataset(folder: Path) -> None:
    dataset = LecDataset(folder, transform=RandomCompression(quality=(5, 5)))
    loader = DataLoader(dataset, batch_size=3, num_workers=2)
    (batch,) = list(loader)
    assert batch.shape == (3, 3, 50, 70)
    assert not torch.equal(batch[2], expected(dataset.files[2]))


def test_what_it_refuses() -> None:
    augment = RandomCompression()
    for bad in (torch.zeros(3, 4), torch.zeros(2, 4, 4), torch.zeros(1, 3, 0, 4)):
        with pytest.raises(InputError, match="C = 1 or 3"):
            augment(bad)
    with pytest.raises(InputError, match="int64"):
        augment(torch.zeros(3, 4, 4, dtype=torch.int64))
    for values in (2.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="normalised"):
            augment(torch.full((3, 4, 4), values))
    for quality in ((0, 50), (60, 50), (5, 101)):
        with pytest.raises(InputError, match="quality"):
            RandomCompression(quality=quality)
    with pytest.raises(InputError, match="share"):
        RandomCompression(p=1.5)


def test_a_folder_is_walked_as_the_commands_do(tmp_path: Path) -> None:
    """`lecodec test -r` and the data set disagreed about hidden files and `.LEC`."""
    from lecodec.cli.paths import LEC, collect

    data = b"whatever"
    for name in ("a.lec", "B.LEC", ".hidden.lec", "sub/c.Lec", ".trash/d.lec", "sub/e.txt"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    found = {str(path) for path in LecDataset(tmp_path / "tree").files}
    assert found == {i.source for i in collect([str(tmp_path / "tree")], LEC, True)}
    assert {Path(name).name for name in found} == {"a.lec", "B.LEC", "c.Lec"}
