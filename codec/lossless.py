"""The lossless codec: pictures and sets of samples to `.lec` files and back, every sample as it was.

    samples -> tiles, or blocks of items -> BlockCoder, adaptive, WebP -> the smallest method for each -> container
    container -> stored, deflated, WebP, LZMA, adaptive or BlockCoder -> digests compared -> samples

Pictures are what `ImageCodec` takes: uint8 or uint16, [H, W] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB, [H, W, 4]
RGBA. A set is an array [N, ...] of N items of one shape of 0 to 8 dimensions. Without a model blocks are stored,
deflated or coded adaptively, and neither torch nor a model is needed to read them.

Guarantees. What is decoded is what was encoded, on every machine, thread count and device: each block carries a digest
of its samples, and a mismatch is a CorruptFile. Files are decoded once and compared before they are returned. Of colour
and of sets a file is never longer than the samples, 25 bytes for each block, 140 bytes, and what the metadata takes.
The same samples give the same bytes with the same versions.

Of sets, LZMA (what xz does) is tried where deflate is the best otherwise: repeats far apart.

Pictures of 8 bits that look drawn (see `webp_rows`: few colours, many repeats) are tried as WebP too, large ones whole
instead of in tiles: their files are never longer than WebP's own by more than the framing.

A codec holds no state between calls: threads may share one if its coder allows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..bitstream import (
    LOSSLESS,
    NO_DIGEST,
    Header,
    Layout,
    LecFile,
    Metadata,
    Parsed,
    PictureLayout,
    SetLayout,
    pack,
)
from ..entropy.guard import guarded
from ..entropy.place import load_torch
from ..errors import CorruptFile, InputError
from .alpha import alpha_chunks, alpha_of
from .block_coding import Block, BlockCoding, raster_of
from .blocks import MODEL, WEBP, samples_digest
from .codec import Codec, Target
from .media.part import Items, Part, Region
from .media.samples import check_region, join, paste_samples, split
from .media.signal import Signal, picture_signal, set_signal
from .media.webp_rows import looks_drawn, settles, stream_tiles, webp_body
from .tiles import layout_of, meet
from .workers.told import told

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LosslessCodec"]


class LosslessCodec(BlockCoding, Codec):
    """See `BlockCoding` for what it is made of. Usually made by `load`; `LosslessCodec()` needs no model."""

    lossless: ClassVar[bool] = True

    @property
    def uses_torch(self) -> bool:
        return self.coder is not None

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> InputError:
        """What is raised where a lossless codec is wanted, for the card of another model."""
        return InputError(f"{card.get('name')} is a model that codes with loss, not without")

    # -- encoding

    @guarded
    def encode(
        self,
        samples: np.ndarray,
        *,
        tile: int | None = None,
        metadata: Metadata | None = None,
        effort: int = 1,
        verify: bool = True,
    ) -> bytes:
        """samples: a picture (see the module's text) of any size from 1 x 1 -> the bytes of a `.lec` file.

        tile: side of the tiles in pixels, a multiple of 64; 0: none; None: none up to 4 megapixels, else 1024, or what
        suits WebP where that makes the smaller file. effort: 1 to 9; above 1 WebP takes longer and its streams are
        smaller. verify: decode the file and compare before it is returned. Raises InputError (no picture, or not one
        that the model codes), LimitExceeded, CorruptFile (verification: this machine does not compute what it should).
        """
        return self.encode_batch([samples], tile=tile, metadata=[metadata], effort=effort, verify=verify)[0]

    @guarded
    def encode_batch(
        self,
        batch: Sequence[np.ndarray],
        *,
        tile: int | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        effort: int = 1,
        verify: bool = True,
    ) -> list[bytes]:
        """Several pictures together. metadata: one for each, or None for none at all. Results and errors are those of
        `encode`.
        """
        with_each = [None] * len(batch) if metadata is None else metadata
        target = Target("lossless", effort=effort)
        signals = [picture_signal(samples, data, tile) for samples, data in zip(batch, with_each, strict=True)]
        return (self.encode_verified if verify else self.encode_signals)(signals, target)

    @guarded
    def encode_set(self, samples: np.ndarray, items: int | None = None, *, verify: bool = True) -> bytes:
        """samples: uint8 or uint16 [N, ...], N >= 1 items of one shape -> the bytes of a `.lec` file.

        items: in each block: what is decoded together, so small blocks are quick to reach into and large ones code
        better; 512 by default, or as many as have 2^16 to 2^22 samples. verify: as in `encode`. Raises InputError (no
        such array, or not a shape that the model codes), LimitExceeded, CorruptFile (verification).
        """
        return (self.encode_verified if verify else self.encode_signals)(
            [set_signal(samples, items)], Target("lossless")
        )[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        """Pictures and sets -> their files, which are not verified. Raises as `encode` and `encode_set`."""
        assert target.lossless
        files: list[bytes] = []
        blocks: list[Block] = []
        rest: list[tuple[int, Header, list[tuple[bytes, bytes]], Metadata]] = []
        for place, signal in enumerate(signals):
            header, samples, alpha, drawn = self._header(signal.layout), signal.samples, [], False
            files.append(b"")
            if isinstance(signal.layout, PictureLayout):
                layout = signal.layout
                samples, plane = split(samples)
                drawn = looks_drawn(samples)
                if drawn and not signal.cut and layout.units > 1:
                    files[place] = _streams(header, samples, plane, signal.metadata, target.effort)
                    drawn = False
                    if settles(len(files[place]), layout.width * layout.height):
                        continue
                alpha = alpha_chunks(plane, layout)
            units = range(header.layout.units)
            blocks += [Block(header, n, samples[header.layout.unit(n)], drawn) for n in units]
            rest.append((place, header, alpha, signal.metadata))
        coded = self._write(blocks, target.effort)
        for place, header, alpha, metadata in rest:
            file = _packed(header, [next(coded) for _ in range(header.layout.units)], alpha, metadata)
            if not files[place] or len(file) < len(files[place]):
                files[place] = file
        return files

    @guarded
    def encode_verified(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        files = self.encode_signals(signals, target)
        for file, signal in zip(files, signals, strict=True):
            if not np.array_equal(self.decode(file), signal.samples):
                raise CorruptFile("verification: samples do not come back as they were")
        return files

    def _header(self, layout: Layout) -> Header:
        header = Header(
            layout=layout, codec=LOSSLESS, parse_digest=self.parse_digest, synthesis_digest=NO_DIGEST, quality=0
        )
        self._check_domain(raster_of(header))
        return header

    # -- decoding

    @guarded
    def decode_files(self, files: Sequence[LecFile], part: Part | None = None) -> list[Signal]:
        """Files -> their pictures and sets, or a part of each; see `Codec.decode_files`."""
        if isinstance(part, Region):
            return [Signal(self._decode_region(file, part), file.layout, file.metadata) for file in files]
        if isinstance(part, Items):
            return [Signal(self._decode_items(file, part), file.layout, file.metadata) for file in files]
        parsed = [self._parse(file) for file in files]
        decoded = self._read(Block(f.header, n, chunk) for f in parsed for n, chunk in enumerate(f.data))
        return [Signal(self._assembled(file, decoded), file.header.layout, file.metadata) for file in parsed]

    @guarded
    def decode_tensor(self, data: bytes | LecFile) -> Tensor:
        """A picture as a tensor on the codec's device, as `ImageCodec.decode_tensor` gives it. Same errors as `decode`,
        and InputError for a set.
        """
        torch = load_torch("decode_tensor")
        file = LecFile.open(data)
        self._parse(file)
        if isinstance(file.layout, SetLayout):
            raise InputError("a set of samples, not a picture: decode reads it")
        samples = self.decode(file)
        planes = samples[:, :, None] if samples.ndim == 2 else samples
        return torch.from_numpy(planes).to(self.device).permute(2, 0, 1)

    def _decode_region(self, file: LecFile, region: Region) -> np.ndarray:
        """A part of a picture; only the tiles that it meets are read and decoded."""
        header = file.header
        self._check_model(header)
        if isinstance(header.layout, SetLayout):
            raise InputError("a set of samples has no regions: its items can be asked for")
        layout = layout_of(header)
        check_region(layout, region)
        left, top, width, height = region
        boxes = {n: layout.unit(n) for n in range(layout.units)}
        wanted = slice(top, top + height), slice(left, left + width)
        needed = [n for n, box in boxes.items() if meet(box[0], wanted[0]) and meet(box[1], wanted[1])]
        chunks = dict(zip(needed, file.read(needed), strict=True))
        out = np.empty((height, width, *layout.sample_shape[2:]), f"u{layout.bit_depth // 8}")
        for n, rows in zip(needed, self._read(Block(header, n, chunks[n][0]) for n in needed), strict=True):
            paste_samples(rows, out, boxes[n][1].start - left, boxes[n][0].start - top)
        planes = {n: plane for n, (_, plane) in chunks.items() if plane is not None}
        return join(out, alpha_of(layout, planes, region))

    def _decode_items(self, file: LecFile, items: Items) -> np.ndarray:
        """Items of a set; only the blocks that hold them are read and decoded."""
        header, layout, numbers = file.header, file.layout, items.numbers
        self._check_model(header)
        if not isinstance(layout, SetLayout):
            raise InputError("a picture, not a set of samples: it has no items")
        if wrong := [n for n in numbers if not 0 <= n < layout.count]:
            raise InputError(f"item {wrong[0]}, expected 0 to {layout.count - 1}")
        wanted: dict[int, list[tuple[int, int]]] = {}
        for place, number in enumerate(numbers):
            wanted.setdefault(number // layout.block, []).append((place, number % layout.block))
        needed = sorted(wanted)
        out = np.empty((len(numbers), *layout.shape), f"u{layout.bit_depth // 8}")
        blocks = (Block(header, n, chunk) for n, (chunk, _) in zip(needed, file.read(needed), strict=True))
        for n, rows in zip(needed, self._read(blocks), strict=True):
            block = rows.reshape(-1, *layout.shape)
            for place, within in wanted[n]:
                out[place] = block[within]
        return out

    @guarded
    def test(self, data: bytes | LecFile) -> None:
        """Decode everything and compare the digests. Raises a CodecError."""
        file = self._parse(data)
        for _ in self._read(Block(file.header, n, chunk) for n, chunk in enumerate(file.data)):
            pass
        if isinstance(file.header.layout, PictureLayout):
            alpha_of(file.header.layout, dict(enumerate(file.alpha)))

    def _assembled(self, file: Parsed, decoded: Iterator[np.ndarray]) -> np.ndarray:
        """The picture or the set whose blocks come next."""
        layout = raster_of(file.header)
        out = np.empty(layout.sample_shape, f"u{layout.bit_depth // 8}")
        for n in range(layout.units):
            part = out[layout.unit(n)]
            part[...] = next(decoded).reshape(part.shape)
        return join(out, alpha_of(layout, dict(enumerate(file.alpha)))) if isinstance(layout, PictureLayout) else out

    def _parse(self, data: bytes | LecFile) -> Parsed:
        file = LecFile.open(data).load()
        self._check_model(file.header)
        return file


def _streams(header: Header, colour: np.ndarray, alpha: np.ndarray | None, metadata: Metadata, effort: int) -> bytes:
    """The file of a large picture in as few WebP streams as can be."""
    layout = layout_of(header)
    tile_width, tile_height = stream_tiles(layout.width, layout.height)
    layout = replace(layout, tile_width=tile_width, tile_height=tile_height)
    data: list[tuple[bytes, bytes]] = []
    for n in told("coding as WebP", range(layout.units), layout.units):
        rows = colour[layout.unit(n)]
        body = webp_body(rows, effort)
        assert body is not None
        data.append((samples_digest(rows), bytes([WEBP]) + body))
    return _packed(replace(header, layout=layout), data, alpha_chunks(alpha, layout), metadata)


def _packed(
    header: Header, data: list[tuple[bytes, bytes]], alpha: list[tuple[bytes, bytes]], metadata: Metadata | None
) -> bytes:
    """The file; it names the model only if one of its blocks needs it."""
    if all(payload[0] != MODEL for _, payload in data):
        header = replace(header, parse_digest=NO_DIGEST)
    return pack(header, data, alpha, metadata)
