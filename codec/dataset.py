"""`.lec` files and their losses for training: a dataset that decodes them, an augmentation that adds what they lose.

    .lec files -> LecDataset -> uint8 [C, H, W] -> DataLoader
    .lec files -> LecClips -> uint8 [N, 3, H, W] -> DataLoader
    pictures, uint8 or float -> RandomCompression -> the same pictures, degraded

Both load their model on first use, once in each process, and hold nothing but its name: they pickle, and work in the
workers of a DataLoader, forked or spawned. On a GPU (`device="cuda"`) workers have to be spawned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..bitstream import LecFile, VideoLayout
from ..errors import InputError
from .image import ImageCodec
from .media.picture_files import walk
from .registry import load, load_for

__all__ = ["LecClips", "LecDataset", "RandomCompression", "RandomSoundCompression"]


class LecDataset(Dataset[Any]):
    """Pictures in `.lec` files, decoded when they are asked for: `uint8` (or `uint16`) tensors `[C, H, W]`, C = 1 to 4.

    files_or_folder: paths, or a folder, whose `.lec` files (in any case, hidden ones left out, as the commands take
    them with -r) are taken in sorted order, subfolders included. transform: applied to each tensor. labels: items are
    `(tensor, label)`, the label being the number of the file's subfolder among the sorted names of the folder's
    subfolders (`classes`), as in torchvision's ImageFolder; only for a folder in which every file is in a subfolder.
    model: name or path; by default the one that each file names.

    Raises InputError (no files, or labels without subfolders). Items raise the CodecError of a damaged file, with its
    path in front.
    """

    def __init__(
        self,
        files_or_folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        transform: Callable[[Tensor], Any] | None = None,
        *,
        labels: bool = False,
        device: str = "cpu",
        model: str | os.PathLike[str] | None = None,
    ):
        self.transform, self.device, self.model = transform, device, model
        self.files, folder = _lec_files(files_or_folder)
        self.classes: list[str] = []
        self.labels: list[int] | None = None
        if labels:
            inside = [path.relative_to(folder).parts for path in self.files] if folder else []
            if not inside or any(len(parts) < 2 for parts in inside):
                raise InputError("labels need a folder in which every file is in the subfolder of its class")
            self.classes = sorted({parts[0] for parts in inside})
            self.labels = [self.classes.index(parts[0]) for parts in inside]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        path = self.files[index]
        try:
            file = LecFile.open(path)
            file.load()  # what is wrong with the file is said before a model is looked for
            item: Any = load_for(file.header, self.device, model=self.model).decode_tensor(file)
        except OSError as error:
            raise type(error)(f"{path}: {error}") from None
        if self.transform is not None:
            item = self.transform(item)
        return item if self.labels is None else (item, self.labels[index])


class LecClips(Dataset[Any]):
    """Clips of the videos in `.lec` files, for training on compressed video: `uint8` tensors `[frames, 3, H, W]`.

    files_or_folder: as of `LecDataset`. frames: of a clip; step: from one frame of a clip to the next. Clips follow
    each other without overlap; what is left at the end of a video is left out, and a video that is shorter than a clip
    too. transform: applied to each tensor. model: name or path; by default the one that each file names.

    Only headers are read at first. Of a clip the groups are decoded that hold it, of 64 frames or fewer each, so clips
    of some 16 frames cost about two groups. Raises InputError (no files, a file without a video, no clip at all), and
    what opening a file raises. Items raise the CodecError of a damaged file, with its path in front.
    """

    def __init__(
        self,
        files_or_folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        frames: int = 16,
        step: int = 1,
        transform: Callable[[Tensor], Any] | None = None,
        *,
        device: str = "cpu",
        model: str | os.PathLike[str] | None = None,
    ):
        if frames < 1 or step < 1:
            raise InputError(f"clips of {frames} frames with a step of {step}: expected at least 1 each")
        self.frames, self.step, self.transform, self.device, self.model = frames, step, transform, device, model
        self.files, _ = _lec_files(files_or_folder)
        span = (frames - 1) * step + 1
        self.clips: list[tuple[int, int]] = []
        """Of each clip the number of its file, and of its first frame."""
        for number, path in enumerate(self.files):
            layout = LecFile.open(path).layout
            if not isinstance(layout, VideoLayout):
                raise InputError(f"{path}: it holds no video")
            self.clips += [(number, first) for first in range(0, layout.frames - span + 1, span)]
        if not self.clips:
            raise InputError(f"no video has {span} frames")

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Any:
        from .video_file import Video

        number, first = self.clips[index]
        path = self.files[number]
        try:
            video = Video(path, device=self.device, model=self.model)  # pyright: ignore[reportArgumentType]
            item: Any = video.tensor(first, first + (self.frames - 1) * self.step + 1, self.step)
        except OSError as error:
            raise type(error)(f"{path}: {error}") from None
        return item if self.transform is None else self.transform(item)


def _lec_files(
    files_or_folder: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[list[Path], Path | None]:
    """The files that are meant, and the folder if it is one. Raises InputError."""
    folder = Path(files_or_folder) if isinstance(files_or_folder, (str, os.PathLike)) else None
    if folder is not None:
        files: list[Path] = []
        for found in walk(folder, {".lec"}):
            if isinstance(found, OSError):
                raise found
            files.append(Path(found))
        files.sort()
    else:
        try:
            files = [Path(path) for path in files_or_folder]  # type: ignore[union-attr]
        except TypeError:
            raise InputError(f"expected a folder or a list of paths, not {files_or_folder!r:.60}") from None
    if not files:
        raise InputError(f"no .lec files in {folder}" if folder else "an empty list of files")
    return files, folder


class RandomCompression(nn.Module):
    """An augmentation: each picture as it would come back from a `.lec` file of a random quality.

    quality: (lowest, highest), 1 to 100, drawn uniformly for each picture. p: the share of pictures that is touched.
    Draws come from torch's CPU generator: `torch.manual_seed` repeats them, also for pictures on a GPU. device: where
    the codec runs; results come back to where the pictures are. No gradient passes.
    """

    def __init__(
        self,
        quality: tuple[float, float] = (10, 90),
        p: float = 1.0,
        model: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ):
        super().__init__()
        try:
            low, high = (float(value) for value in quality)
        except (TypeError, ValueError):
            raise InputError(f"quality {quality!r:.40}, expected two numbers from 1 to 100 in order") from None
        if not 1 <= low <= high <= 100:
            raise InputError(f"quality from {low} to {high}, expected two numbers from 1 to 100 in order")
        if not 0 <= p <= 1:
            raise InputError(f"a share p of {p}, expected 0 to 1")
        self.quality, self.p, self.model, self.device = (float(low), float(high)), p, model, device

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: `[C, H, W]` or `[B, C, H, W]`, C = 1 or 3, `uint8` or floating point in [0, 1] -> the same shape
        and type. Floats are rounded to 8 bits where a picture is touched. Raises InputError.
        """
        if not isinstance(pictures, Tensor):
            kind = type(pictures).__name__
            raise InputError(f"pictures must be a tensor, not {kind}: torchvision's PILToTensor before this makes one")
        shape = list(pictures.shape)
        if pictures.ndim not in (3, 4) or shape[-3] not in (1, 3) or 0 in shape:
            raise InputError(f"pictures must be [C, H, W] or [B, C, H, W] with C = 1 or 3, not {shape}")
        if pictures.dtype != torch.uint8 and not pictures.is_floating_point():
            raise InputError(f"pictures must be uint8 or floating point, not {pictures.dtype}")
        if pictures.is_floating_point() and not bool((pictures.amin() >= 0) & (pictures.amax() <= 1)):
            raise InputError("floating-point pictures must lie in [0, 1]: degrade them before they are normalised")
        batch = pictures if pictures.ndim == 4 else pictures[None]
        touched, quality = self.draw(len(batch))
        chosen = batch[touched.to(batch.device)]
        if not len(chosen):
            return pictures
        whole = chosen if chosen.dtype == torch.uint8 else chosen.mul(255).round_().clamp_(0, 255).to(torch.uint8)
        codec = load(device=self.device, model=self.model, of=ImageCodec)
        degraded = codec.degrade(whole.to(codec.device), quality[touched].tolist()).to(batch.device)
        result = batch.clone()
        result[touched.to(batch.device)] = degraded if result.dtype == torch.uint8 else degraded.to(result.dtype) / 255
        return result.reshape(pictures.shape)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """For `count` pictures: which are touched, bool, and at which quality, float64. Advances torch's generator."""
        low, high = self.quality
        touched = torch.rand(count, dtype=torch.float32, device="cpu") < self.p
        return touched, low + (high - low) * torch.rand(count, dtype=torch.float64, device="cpu")

    def extra_repr(self) -> str:
        """The arguments, for `print(module)`."""
        return f"quality={self.quality}, p={self.p}"


class RandomSoundCompression(RandomCompression):
    """The same of sounds: each as it would come back from a `.lec` file of a random quality. sample_rate: in Hz."""

    def __init__(
        self,
        sample_rate: int,
        quality: tuple[float, float] = (10, 90),
        p: float = 1.0,
        model: str | os.PathLike[str] | None = None,
        device: str = "cpu",
    ):
        super().__init__(quality, p, model, device)
        self.sample_rate = sample_rate

    @torch.no_grad()
    def forward(self, sounds: Tensor) -> Tensor:
        """sounds: `[C, n]` or `[B, C, n]`, C = 1 or 2, floating point in [-1, 1] -> the same shape and type. Raises
        InputError.
        """
        if not isinstance(sounds, Tensor) or not sounds.is_floating_point():
            raise InputError("sounds must be a tensor of floating point in [-1, 1]")
        shape = list(sounds.shape)
        if sounds.ndim not in (2, 3) or shape[-2] not in (1, 2) or 0 in shape:
            raise InputError(f"sounds must be [C, n] or [B, C, n] with C = 1 or 2, not {shape}")
        batch = sounds if sounds.ndim == 3 else sounds[None]
        touched, quality = self.draw(len(batch))
        result = batch.clone()
        if bool(touched.any()):
            from .sound import SoundCodec

            codec = load("sound", self.device, model=self.model, of=SoundCodec)
            chosen = batch[touched.to(batch.device)].float()
            degraded = codec.degrade(chosen, self.sample_rate, quality[touched].tolist())
            result[touched.to(batch.device)] = degraded.to(result)
        return result.reshape(sounds.shape)

    def extra_repr(self) -> str:
        return f"sample_rate={self.sample_rate}, {super().extra_repr()}"
