"""The lossless codec: pictures and sets of samples to `.lec` files and back, every sample as it was.

    samples -> tiles, or blocks of items -> BlockCoder, many at a time -> the smallest method for each -> container
    container -> stored, deflated or BlockCoder -> digests compared -> samples

Pictures are what `ImageCodec` takes: uint8 or uint16, [H, W] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB, [H, W, 4]
RGBA. A set is an array [N, ...] of N items of one shape of 0 to 8 dimensions. Without a model blocks are stored or
deflated, and neither torch nor a model is needed to read them.

Guarantees. What is decoded is what was encoded, on every machine, thread count and device: each block carries a digest
of its samples, and a mismatch is a CorruptFile. Files are decoded once and compared before they are returned. Of colour
and of sets a file is never longer than the samples, 25 bytes for each block, 140 bytes, and what the metadata takes.
The same samples give the same bytes with the same versions.

A codec holds no state between calls: threads may share one if its coder allows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..bitstream import (
    LOSSLESS,
    NO_DIGEST,
    SET,
    Header,
    ItemSet,
    Metadata,
    Parsed,
    TileReader,
    geometry,
    pack,
    parse,
)
from ..entropy.guard import guarded
from ..errors import CorruptFile, InputError
from .alpha import alpha_chunks, alpha_of
from .block_coding import Block, BlockCoding
from .blocks import MODEL
from .samples import check_region, join, paste_samples, picture_fields, split

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BLOCK", "LosslessCodec", "checked_set"]

BLOCK = 512
"""Items a block of a set, unless they are tiny or large."""
BLOCK_SAMPLES = 2**16, 2**22
"""Samples that a block has at least and at most if nothing is said: so that blocks of tiny items do not consist of
their framing, and that one item can be had without decoding many large ones."""
UNSPECIFIED = 2
"""The code point of what is not known to be a colour."""


class LosslessCodec(BlockCoding):
    """See `BlockCoding` for what it is made of. Usually made by `load`; `LosslessCodec()` needs no model."""

    # -- encoding

    @guarded
    def encode(
        self,
        samples: np.ndarray,
        *,
        tile: int | None = None,
        metadata: Metadata | None = None,
        verify: bool = True,
    ) -> bytes:
        """samples: a picture (see the module's text) of any size from 1 x 1 -> the bytes of a `.lec` file.

        tile: side of the tiles in pixels, a multiple of 64; 0: none; None: none up to 4 megapixels, else 1024. verify:
        decode the file and compare before it is returned. Raises InputError (no picture, or not one that the model
        codes), LimitExceeded, CorruptFile (verification: this machine does not compute what it should).
        """
        return self.encode_batch([samples], tile=tile, metadata=[metadata], verify=verify)[0]

    @guarded
    def encode_batch(
        self,
        batch: Sequence[np.ndarray],
        *,
        tile: int | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        verify: bool = True,
    ) -> list[bytes]:
        """Several pictures together. metadata: one for each, or None for none at all. Results and errors are those of
        `encode`.
        """
        with_each = [None] * len(batch) if metadata is None else metadata
        blocks: list[Block] = []
        rest: list[tuple[Header, list[tuple[bytes, bytes]], Metadata]] = []
        for samples, given in zip(batch, with_each, strict=True):
            colour, alpha = split(samples)
            data = given or Metadata()
            header = self._header(**picture_fields(colour, alpha, data, tile))
            for n in range(header.tiles):
                x, y, w, h = header.tile_box(n)
                blocks.append(Block(header, n, colour[y : y + h, x : x + w]))
            rest.append((header, alpha_chunks(alpha, header), data))
        coded = self._write(blocks)
        files = [_packed(h, [next(coded) for _ in range(h.tiles)], alpha, data) for h, alpha, data in rest]
        return self._verified(files, batch) if verify else files

    @guarded
    def encode_set(self, samples: np.ndarray, items: int | None = None, *, verify: bool = True) -> bytes:
        """samples: uint8 or uint16 [N, ...], N >= 1 items of one shape -> the bytes of a `.lec` file.

        items: in each block: what is decoded together, so small blocks are quick to reach into and large ones code
        better; 512 by default, or as many as have 2^16 to 2^22 samples. verify: as in `encode`. Raises InputError (no
        such array, or not a shape that the model codes), LimitExceeded, CorruptFile (verification).
        """
        samples = checked_set(samples)
        width, height, channels = geometry(samples.shape[1:])
        if items is None:
            least, most = (limit // math.prod(samples.shape[1:]) for limit in BLOCK_SAMPLES)
            items = max(1, min(max(BLOCK, least), most))
        elif items < 1:
            raise InputError(f"{items} items a block, expected at least 1")
        header = self._header(
            media=SET,
            width=width,
            height=height,
            channels=channels,
            bit_depth=8 * samples.itemsize,
            colour_primaries=UNSPECIFIED,
            transfer=UNSPECIFIED,
            items=ItemSet(samples.shape[1:], len(samples), min(items, len(samples))),
        )
        assert header.items is not None
        spans = [header.items.span(n) for n in range(header.tiles)]
        blocks = [Block(header, n, samples[a:b]) for n, (a, b) in enumerate(spans)]
        file = _packed(header, list(self._write(blocks)), [], None)
        return self._verified([file], [samples])[0] if verify else file

    def _verified(self, files: list[bytes], originals: Sequence[np.ndarray]) -> list[bytes]:
        """The files, if they decode to what was encoded. Raises CorruptFile."""
        for file, original in zip(files, originals, strict=True):
            if not np.array_equal(self.decode(file), original):
                raise CorruptFile("verification: samples do not come back as they were")
        return files

    def _header(self, **fields: Any) -> Header:
        header = Header(codec=LOSSLESS, parse_digest=self.parse_digest, synthesis_digest=NO_DIGEST, quality=0, **fields)
        self._check_domain(header)
        return header

    # -- decoding

    @guarded
    def decode(self, data: bytes) -> np.ndarray:
        """The bytes of a `.lec` file -> the picture, or the set [N, ...]. Raises a CodecError for anything else."""
        return self.decode_batch([data])[0]

    @guarded
    def decode_batch(self, batch: Sequence[bytes]) -> list[np.ndarray]:
        """Several files together. Same results and errors as `decode`."""
        files = [self._parse(data) for data in batch]
        chunks = (Block(f.header, n, chunk) for f in files for n, chunk in enumerate(f.data))
        decoded = self._read(chunks)
        return [self._assembled(file, decoded) for file in files]

    @guarded
    def decode_tensor(self, data: bytes) -> Tensor:
        """A picture as a tensor on the codec's device, as `ImageCodec.decode_tensor` gives it. Same errors as `decode`,
        and InputError for a set.
        """
        import torch

        file = self._parse(data)
        if file.header.items is not None:
            raise InputError("a set of samples, not a picture: decode reads it")
        samples = self.decode(data)
        planes = samples[:, :, None] if samples.ndim == 2 else samples
        return torch.from_numpy(planes).to(self.device).permute(2, 0, 1)

    @guarded
    def decode_region(self, source: bytes | BinaryIO, region: tuple[int, int, int, int]) -> np.ndarray:
        """A part of a picture: the samples at region = (x, y, width, height) in pixels. Only the tiles that it meets
        are read, if the source can seek, and decoded.

        Raises InputError for a set and for a region that is not inside the picture, otherwise as `decode`.
        """
        reader = TileReader(source)
        header = reader.header
        self._check_model(header)
        if header.items is not None:
            raise InputError("a set of samples has no regions: its items can be asked for")
        check_region(header, region)
        left, top, width, height = region
        boxes = {n: header.tile_box(n) for n in range(header.tiles)}
        needed = [
            n
            for n, (x, y, w, h) in boxes.items()
            if x < left + width and left < x + w and y < top + height and top < y + h
        ]
        chunks = dict(zip(needed, reader.read(needed), strict=True))
        first = Block(header, 0, None)
        out = np.empty((height, width, *first.shape[2:]), first.dtype)
        for n, rows in zip(needed, self._read(Block(header, n, chunks[n][0]) for n in needed), strict=True):
            paste_samples(rows, out, boxes[n][0] - left, boxes[n][1] - top)
        planes = {n: plane for n, (_, plane) in chunks.items() if plane is not None}
        return join(out, alpha_of(header, planes, region))

    @guarded
    def decode_items(self, source: bytes | BinaryIO, numbers: Sequence[int]) -> np.ndarray:
        """Items of a set: [len(numbers), ...], in the order of `numbers`, which count from 0 and may repeat. Only the
        blocks that hold them are read, if the source can seek, and decoded.

        Raises InputError for a picture and for a number that is not in the set, otherwise as `decode`.
        """
        reader = TileReader(source)
        header, items = reader.header, reader.header.items
        self._check_model(header)
        if items is None:
            raise InputError("a picture, not a set of samples: it has no items")
        if wrong := [n for n in numbers if not 0 <= n < items.count]:
            raise InputError(f"item {wrong[0]}, expected 0 to {items.count - 1}")
        wanted: dict[int, list[tuple[int, int]]] = {}
        for place, number in enumerate(numbers):
            wanted.setdefault(number // items.block, []).append((place, number % items.block))
        needed = sorted(wanted)
        out = np.empty((len(numbers), *items.shape), f"u{header.bit_depth // 8}")
        blocks = (Block(header, n, chunk) for n, (chunk, _) in zip(needed, reader.read(needed), strict=True))
        for n, rows in zip(needed, self._read(blocks), strict=True):
            block = rows.reshape(-1, *items.shape)
            for place, within in wanted[n]:
                out[place] = block[within]
        return out

    @guarded
    def test(self, data: bytes) -> None:
        """Decode everything and compare the digests. Raises a CodecError."""
        file = self._parse(data)
        for _ in self._read(Block(file.header, n, chunk) for n, chunk in enumerate(file.data)):
            pass
        alpha_of(file.header, dict(enumerate(file.alpha)))

    def _assembled(self, file: Parsed, decoded: Iterator[np.ndarray]) -> np.ndarray:
        """The picture or the set whose blocks come next."""
        header, items = file.header, file.header.items
        shape = (header.height * (1 if items is None else items.count), header.width, header.channels)
        out = np.empty(shape if header.channels == 3 else shape[:2], f"u{header.bit_depth // 8}")
        for n in range(header.tiles):
            x, y, _, _ = header.tile_box(n)
            paste_samples(next(decoded), out, x, y)
        if items is not None:
            return out.reshape(items.count, *items.shape)
        return join(out, alpha_of(header, dict(enumerate(file.alpha))))

    def _parse(self, data: bytes) -> Parsed:
        file = parse(data)
        self._check_model(file.header)
        return file


def checked_set(samples: np.ndarray) -> np.ndarray:
    """A set, in this machine's byte order. Raises InputError."""
    if not isinstance(samples, np.ndarray):
        raise InputError(f"a set must be a numpy array of uint8 or uint16, not {type(samples).__name__}")
    if samples.dtype == np.bool_:
        raise InputError("a set must be of uint8 or uint16, not bool: .astype(np.uint8) makes it so")
    if samples.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(f"a set must be of uint8 or uint16, not {samples.dtype}")
    if not samples.ndim or not samples.size:
        raise InputError(f"a set must have the shape [N, ...] and at least one sample, not {list(samples.shape)}")
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _packed(
    header: Header, data: list[tuple[bytes, bytes]], alpha: list[tuple[bytes, bytes]], metadata: Metadata | None
) -> bytes:
    """The file; it names the model only if one of its blocks needs it."""
    if all(payload[0] != MODEL for _, payload in data):
        header = replace(header, parse_digest=NO_DIGEST)
    return pack(header, data, alpha, metadata)
