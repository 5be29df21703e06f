"""The decoding half of the image codec: `.lec` files to pictures, parts of them, and their latents.

    container -> traverse of the entropy model, tile by tile -> y_hat -> transform -> samples

What a file was made with without this model, or by another one that stands beside it, is decoded by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bitstream import NO_DIGEST, Header, LecFile, Parsed, PictureLayout
from ..entropy.guard import guarded
from ..entropy.latents import Latents
from ..entropy.place import load_torch
from ..errors import InputError, UnknownModel
from .alpha import alpha_of
from .exact_pixels import check_samples
from .exact_tiles import exact_samples, fill_latents, neighbours, put
from .latent_coding import LatentCoding
from .latent_model import LatentModel
from .lossless import LosslessCodec
from .media.part import Items, Part, Region
from .media.samples import check_region, join, plain_colour
from .media.signal import Signal
from .model_file import check_digest
from .tiles import Box, boxes_of, latent_size, layout_of, meet, paste, reach
from .transforms import DOWN
from .transforms.transform import Transform, dtype_of

if TYPE_CHECKING:
    from torch import Tensor

    from .below import Below
    from .codec import Codec

__all__ = ["ImageDecoding", "runs"]


class ImageDecoding(LatentCoding):
    """Decodes what an `ImageCodec` has coded, which is one of these."""

    def __init__(self, model: LatentModel):
        super().__init__(model)
        self._make_replica = model.replica
        self._without_model = LosslessCodec(device=self.device)
        """Of drawn pictures that take fewer bytes so."""
        self.base: Any = None
        """Of a model that changes another one: that one's `ImageCodec`, which codes the pictures that are smaller with
        it."""
        self.below: Below | None = None
        """Of a model that leaves low qualities to another one."""

    @cached_property
    def replica(self) -> Transform:
        """The transform in integers: its samples are the same on every machine. Raises InputError if there is none."""
        if self._make_replica is None:
            raise InputError(f"{self.card.get('name')} has no integer replica: its pixels cannot be exact")
        return self._make_replica()

    @guarded
    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """Files -> their pictures, neighbours of one kind together, or a region of each; see `Codec.decode_files`."""
        others = [self._other(file.header) for file in files]
        if any(others):
            return [(other or self).decode_files([f], part)[0] for f, other in zip(files, others, strict=True)]
        if isinstance(part, Region):
            return [self._decode_region(file, part) for file in files]
        if isinstance(part, Items):
            raise InputError("a picture, not a set of samples: it has no items")
        signals: list[Signal] = []
        parsed = [self._parse(file) for file in files]
        for run in runs(parsed, self.transform):
            for file, colour in zip(run, self._colour(run), strict=True):
                samples = join(
                    plain_colour(colour),
                    alpha_of(layout_of(file.header), dict(enumerate(file.alpha))),
                )
                signals.append(Signal(samples, file.header.layout, file.metadata))
        return signals

    @guarded
    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """The same as a tensor on the codec's device: [C, H, W] (C = 1 to 4) of uint8 or uint16, in channels-last
        memory. Same errors as `decode`.
        """
        torch = load_torch("decode_tensor")
        data = LecFile.open(data)
        if other := self._other(data.header):
            return other.decode_tensor(data)
        file = self._parse(data)
        layout, (out,) = layout_of(file.header), self._colour([file])
        alpha = alpha_of(layout, dict(enumerate(file.alpha)))
        out = out if alpha is None else np.concatenate([out, alpha[:, :, None]], 2)
        return torch.from_numpy(np.ascontiguousarray(out)).to(self.device).permute(2, 0, 1)

    def exact_colour(self, data: bytes | LecFile) -> np.ndarray:
        """The colour samples of a file by the replica, whatever it asks for: [H, W, C], the same on every machine."""
        return self._colour([self._parse(data)], self.replica)[0]

    def _colour(self, files: Sequence[Parsed], transform: Transform | None = None) -> np.ndarray:
        """The colour samples of files of one layout: [B, H, W, C]. transform: instead of what the files ask for."""
        headers, chunks = [f.header for f in files], [dict(enumerate(f.data)) for f in files]
        parts = self._read(headers, chunks)
        exact = [exact_samples(layout_of(header), of_one) for header, of_one in zip(headers, chunks, strict=True)]
        transform = transform or (self.replica if files[0].samples else self.transform)
        colour = self._shown(headers, [header.quality for header in headers], parts, exact, transform)
        for file, samples in zip(files, colour, strict=True):
            check_samples(samples, file.samples)
        return colour

    def _shown(
        self,
        headers: Sequence[Header],
        q: Sequence[int],
        parts: Iterable[tuple[Box, Latents]],
        exact: Sequence[Mapping[int, np.ndarray]] = (),
        transform: Transform | None = None,
    ) -> np.ndarray:
        """Latents of tiles, and for each picture the samples of its exact tiles -> colour samples [B, H, W, C].
        transform: instead of the model's own.
        """
        layout, y_hat = layout_of(headers[0]), self._y_hat(headers, parts)
        if y_hat is None:
            shape = len(headers), layout.height, layout.width, layout.channels
            out = np.empty(shape, dtype_of(layout))
        else:
            for of_one, header, tiles in zip(y_hat, headers, exact, strict=False):
                fill_latents(of_one, header, tiles, tiles)
            out = (transform or self.transform).synthesise(y_hat, q, layout)[:, : layout.height, : layout.width]
        for picture, tiles in zip(out, exact, strict=False):
            for tile, samples in tiles.items():
                put(samples, picture, *layout.unit(tile))
        return out

    def _decode_region(self, file: LecFile, region: Region) -> Signal:
        """A part of a picture; only the tiles that it depends on are read and decoded."""
        header = file.header
        self._check_model(header)
        x, y, width, height = region
        layout = layout_of(header)
        check_region(layout, region)
        # The part of y that the region depends on, and the tiles that hold it.
        height_y, width_y = latent_size(header)
        rows = reach(y, height, height_y, self.transform.reach)
        columns = reach(x, width, width_y, self.transform.reach)
        boxes = {box.tile: box for box in boxes_of(header, 0)}
        near = [n for n, box in boxes.items() if meet(box.rows, rows) and meet(box.columns, columns)]
        ring = {other for n in near for other in neighbours(layout, n)}
        first = near if file.seeks else sorted({*near, *ring})
        chunks = dict(zip(first, file.read(first), strict=True))
        exact = [n for n in near if chunks[n][0].exact]
        # What other tiles see in the place of an exact one comes from its neighbours.
        needed = sorted({*near, *(other for n in exact for other in neighbours(layout, n))})
        later = [n for n in needed if n not in chunks]
        chunks |= zip(later, file.read(later), strict=True)
        data = {n: chunks[n][0] for n in needed}
        whole = [boxes[n] for n in needed] if exact else [Box(0, 0, rows, columns)]
        top, left = min(b.rows.start for b in whole), min(b.columns.start for b in whole)
        size = max(b.rows.stop for b in whole) - top, max(b.columns.stop for b in whole) - left
        samples = exact_samples(layout, {n: data[n] for n in near})
        colour = np.empty((height, width, layout.channels), dtype_of(layout))
        wanted = slice(y, y + height), slice(x, x + width)
        if not all(n in samples for n in near if all(map(meet, layout.unit(n), wanted))):
            y_hat = np.empty((1, self.entropy.latent, *size), np.int32)
            for box, latents in self._read([header], [data]):
                paste(latents.y_hat, box, y_hat[0], top, left)
            fill_latents(y_hat[0], header, exact, {n for n in needed if data[n].exact}, top, left)
            y_hat = y_hat[:, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            transform = self.replica if file.samples else self.transform
            shown = transform.synthesise(y_hat, [header.quality], layout)[0]
            above, before = y - DOWN * rows.start, x - DOWN * columns.start
            colour[...] = shown[above : above + height, before : before + width]
        for n, part in samples.items():
            down, across = layout.unit(n)
            put(part, colour, slice(down.start - y, down.stop - y), slice(across.start - x, across.stop - x))
        alpha = {n: plane for n in near if (plane := chunks[n][1]) is not None}
        return Signal(join(plain_colour(colour), alpha_of(layout, alpha, region)), layout, file.metadata)

    @guarded
    def test(self, data: bytes | LecFile) -> None:
        """Decode latents, exact tiles and alpha and compare their digests, without making a picture unless there is a
        digest of that. Raises a CodecError.
        """
        data = LecFile.open(data)
        if other := self._other(data.header):
            return other.test(data)
        file = self._parse(data)
        chunks = dict(enumerate(file.data))
        if file.samples:
            self._colour([file])
        else:
            for _ in self._read([file.header], [chunks]):
                pass
            exact_samples(layout_of(file.header), chunks)
        alpha_of(layout_of(file.header), dict(enumerate(file.alpha)))

    @guarded
    def latents(self, data: bytes | LecFile, tile: int = 0) -> Latents:
        """The latents that a tile of a file decodes to: the part that is the same on every machine. Raises InputError
        for an exact tile, which has none.
        """
        data = LecFile.open(data)
        if isinstance(other := self._other(data.header), ImageDecoding):
            return other.latents(data, tile)
        file = self._parse(data)
        file.header.layout.check_number(tile)
        if file.data[tile].exact:
            raise InputError(f"tile {tile} is exact: it has no latents")
        ((_, latents),) = self._read([file.header], [{tile: file.data[tile]}])
        return latents

    def _other(self, header: Header) -> Codec | None:
        """What decodes a file that this codec may have written without its own model."""
        if _modelless(header):
            return self._without_model
        if self.base is not None:
            return self.base if header.parse_digest == self.base.parse_digest else self.base._other(header)
        if self.below is not None and header.parse_digest == self.below.parse_digest:
            return self.below.codec
        return None

    def _made_by(self, header: Header) -> ImageDecoding | None:
        """The codec whose model made a file; None for one that needs no model."""
        other = self._other(header)
        return other if isinstance(other, ImageDecoding) else None if other else self

    def _parse(self, data: bytes | LecFile) -> Parsed:
        file = LecFile.open(data).load()
        self._check_model(file.header)
        return file

    def _check_model(self, header: Header) -> None:
        if header.lossless:
            raise UnknownModel(f"the file was coded without loss, this is {self.card.get('name')}, an image model")
        check_digest(header, self.parse_digest, self.card)


def _modelless(header: Header) -> bool:
    """Whether a file is of a picture without loss that any codec can read."""
    return header.lossless and header.parse_digest == NO_DIGEST and isinstance(header.layout, PictureLayout)


def runs(items: Sequence[Any], transform: Transform) -> Iterator[list[Any]]:
    """Neighbours of one kind together, as many as a window of the transform holds. items: with a header each."""

    def kind(item: Any) -> tuple[PictureLayout, bool]:
        layout = layout_of(item.header)
        return replace(layout, colour_primaries=1, transfer=13, alpha=0), bool(getattr(item, "samples", b""))

    for _, group in groupby(items, kind):
        run = list(group)
        h, w = latent_size(run[0].header)
        count = max(1, transform.window // (h * w))
        yield from (run[n : n + count] for n in range(0, len(run), count))
