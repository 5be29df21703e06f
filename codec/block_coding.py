"""A block coder at work on the blocks of files: the part of the lossless codec between samples and containers.

    rows of blocks -> portions of one dtype -> BlockCoder.encode, adaptive, WebP, LZMA -> the smallest -> LDAT payloads
    LDAT payloads -> portions -> without a model, or BlockCoder.decode -> digests compared -> rows of blocks

Tiles of photographs are coded adaptively (`adaptive_rows`), and by the model as well where they are small or effort is
asked for: what adapts needs samples to adapt to.

`lossless.LosslessCodec` is this with pictures and sets around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bitstream import LOSSLESS, NO_DIGEST, Header, PictureLayout, SetLayout
from ..entropy.parallel import parallel_map
from ..errors import CorruptFile, InputError, UnknownModel
from .adaptive_rows import adaptive_body, codes
from .blocks import ADAPTIVE, MODEL, WEBP, BlockCoder, check_block, decode_plain, encode_block
from .domain import domain_of
from .media.webp_rows import settles, webp_body
from .model_file import check_digest
from .workers.told import told

__all__ = ["PORTION", "Block", "BlockCoding", "raster_of"]

PORTION = 2**23
"""Samples of the blocks that a coder gets at once (but at least one block): 10,000 pictures of 28 x 28 fit."""
LEAST = 2**13
"""Pixels of a tile from which it is coded adaptively."""
ENOUGH = 2**16
"""Pixels from which that is as good as the model, or better."""


@dataclass(frozen=True)
class Block:
    """A block on its way. header: of its file, number: in it; content: rows to encode or a chunk to decode; drawn:
    whether WebP is tried.
    """

    header: Header
    number: int
    content: Any
    drawn: bool = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"u{raster_of(self.header).bit_depth // 8}")

    @property
    def shape(self) -> tuple[int, ...]:
        """As rows of a picture: [rows, width] or [rows, width, 3]."""
        layout = raster_of(self.header)
        extent = layout.extent(self.number)
        return extent if layout.channels == 1 else (*extent, 3)


def raster_of(header: Header) -> PictureLayout | SetLayout:
    """The layout of a picture or a set. Raises InputError for a file that holds something else."""
    if not isinstance(header.layout, PictureLayout | SetLayout):
        raise InputError(f"the file holds a {header.layout.name}, neither a picture nor a set of samples")
    return header.layout


class BlockCoding:
    """coder: codes blocks with a model; None: there is none. card: the model's. device: where `decode_tensor` puts its
    results. adaptive: whether tiles are coded adaptively, at some 4 s a megapixel.
    """

    def __init__(
        self,
        coder: BlockCoder | None = None,
        card: Mapping[str, Any] | None = None,
        device: str = "cpu",
        adaptive: bool = True,
    ):
        self.coder, self.device, self._adaptive = coder, device, adaptive
        self.card: dict[str, Any] = dict(card or {})
        self._domain = domain_of(self.card)  # None: a coder of the caller's own
        self.parse_digest = NO_DIGEST if coder is None else coder.parse_digest

    def _write(self, blocks: Sequence[Block], effort: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Digest and payload of each block, in order. effort: of WebP; above 1 the model is tried on large
        tiles too.
        """
        portions = list(_portions(blocks))
        for portion in told("coding", portions, len(portions)):
            rows = [b.content.reshape(b.shape) for b in portion]
            others: list[dict[int, bytes]] = [{} for _ in portion]
            for block, of_block, found in zip(portion, rows, others, strict=True):
                if block.drawn and (body := webp_body(of_block, effort)) is not None:
                    found[WEBP] = body
            unsettled = [
                n
                for n, (of_block, found) in enumerate(zip(rows, others, strict=True))
                if WEBP not in found or not settles(len(found[WEBP]), math.prod(of_block.shape[:2]))
            ]
            adapting = [n for n in unsettled if self._adapts(portion[n])]
            for n, body in zip(adapting, parallel_map(adaptive_body, [rows[n] for n in adapting]), strict=True):
                others[n][ADAPTIVE] = body
            if self.coder is not None:
                if effort == 1:
                    unsettled = [
                        n for n in unsettled if ADAPTIVE not in others[n] or math.prod(rows[n].shape[:2]) < ENOUGH
                    ]
                bodies = self.coder.encode([portion[n].content.reshape(self._shape(portion[n])) for n in unsettled])
                for n, body in zip(unsettled, bodies, strict=True):
                    others[n][MODEL] = body
            for block, of_block, found in zip(portion, rows, others, strict=True):
                is_set = isinstance(block.header.layout, SetLayout)
                yield encode_block(of_block, found, far=is_set, drawn=is_set or block.drawn)

    def _adapts(self, block: Block) -> bool:
        """Whether a block is coded adaptively: a tile of some size, of a picture."""
        if not self._adaptive or isinstance(block.header.layout, SetLayout):
            return False
        return math.prod(block.shape[:2]) >= LEAST and codes(block.shape)

    def _shape(self, block: Block) -> tuple[int, ...]:
        """The shape in which a coder gets a block: items as the model knows them, small pictures one below the other
        for a model of pictures.
        """
        layout = block.header.layout
        if not isinstance(layout, SetLayout) or (self._domain is not None and self._domain.item_shape is None):
            return block.shape
        known = None if self._domain is None else self._domain.item_shape
        return (block.shape[0] // layout.height, *(known or layout.shape))

    def _read(self, blocks: Iterable[Block]) -> Iterator[np.ndarray]:
        """The samples of each block as rows, in order, their digests compared."""
        portions = list(_portions(blocks))
        for portion in told("decoding", portions, len(portions)):
            decoded = parallel_map(lambda b: decode_plain(b.content, b.shape, b.dtype), portion)
            left = [b for b, rows in zip(portion, decoded, strict=True) if rows is None]
            by_model = iter(self._by_model(left) if left else ())
            for block, plain in zip(portion, decoded, strict=True):
                rows = next(by_model).reshape(block.shape) if plain is None else plain
                check_block(rows, block.content)
                yield rows

    def _by_model(self, blocks: Sequence[Block]) -> list[np.ndarray]:
        """What the coder makes of blocks of one dtype."""
        for block in blocks:
            where = f"byte {block.content.offset}"
            if self.coder is None or block.header.parse_digest == NO_DIGEST:
                raise CorruptFile(f"{where}: coding method {MODEL} (model), but the header names no model")
            layout = raster_of(block.header)
            if self._domain is not None and not self._domain.fits(layout):
                raise CorruptFile(f"{where}: {_contents(layout)}, but {self._name} codes {self._domain}")
        assert self.coder is not None
        payloads = [b.content.payload[1:] for b in blocks]
        return self.coder.decode(payloads, [self._shape(b) for b in blocks], blocks[0].dtype)

    def _check_model(self, header: Header) -> None:
        if header.codec != LOSSLESS:
            raise UnknownModel(f"the file was coded with loss, and {self._name} codes without")
        if header.parse_digest != NO_DIGEST:
            check_digest(header, self.parse_digest, {"name": self._name})

    def _check_domain(self, layout: PictureLayout | SetLayout) -> None:
        """Whether the model codes the samples of a file that is to be written. Raises InputError."""
        if self.coder is not None and self._domain is not None and not self._domain.fits(layout):
            raise InputError(f"{self._name} codes {self._domain}, not {_contents(layout)}")

    @property
    def _name(self) -> str:
        return str(self.card.get("name", "the lossless codec"))


def _portions(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Neighbours of one dtype together, `PORTION` samples at most, but at least one block."""
    portion: list[Block] = []
    size = 0
    for block in blocks:
        count = math.prod(block.shape)
        if portion and (size + count > PORTION or block.dtype != portion[0].dtype):
            yield portion
            portion, size = [], 0
        portion.append(block)
        size += count
    if portion:
        yield portion


def _contents(layout: PictureLayout | SetLayout) -> str:
    """What a file holds, for messages."""
    kind = "pictures" if isinstance(layout, PictureLayout) else f"items of the shape {list(layout.shape)}"
    return f"{kind} of {layout.bit_depth} bits"
