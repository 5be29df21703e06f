"""The image codec: pictures to `.lec` files and back.

    samples -> transform -> y, levels above -> traverse of the entropy model, tile by tile -> container
    container -> samples: `image_decoding`

Samples are uint8 or uint16, [H, W] grey, [H, W, 2] grey and alpha, [H, W, 3] RGB, [H, W, 4] RGBA; alpha is straight and
kept without loss (see `alpha`). A large picture is cut into tiles, each coded by itself, so that a part can be decoded
alone. The transform does not know of tiles: it sees margins beyond them, so there are no seams.

Guarantees. The latents that a file decodes to are integers computed by integers: identical on every machine, thread
count, batch size and device, and checked against the digests in the file, so that a mismatch is a CorruptFile, never a
wrong picture. Pixels come from the float synthesis and may differ by a rounding between machines, or between a picture
decoded whole and in parts. An encoder's bytes may differ between machines (its analysis is float); every one of its
files decodes everywhere.

A codec holds no state between calls: threads may share one. What the program around has set in torch (autocast, default
dtype and device, reduced precision) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..bitstream import (
    QUALITY_MAX,
    Header,
    Metadata,
    PictureLayout,
    pack,
)
from ..entropy.coder import Coder, Writer
from ..entropy.guard import guarded
from ..entropy.latents import Latents, Meter, NullCoder
from ..entropy.place import load_torch
from ..errors import InputError, ModelError
from . import targets
from .alpha import alpha_chunks
from .codec import EFFORTS, Codec, Target
from .drawn import Drawn, drawn_of
from .exact_pixels import made_exact, target_within
from .exact_tiles import fitting, without_exact
from .image_decoding import ImageDecoding, runs
from .kinds import kind_of
from .latent_coding import Tiles
from .latent_model import LatentModel
from .media.samples import plain_colour, psnr_of, split
from .media.signal import Signal, picture_signal
from .ssimulacra2 import MIN_SIDE, crop_of, ssimulacra2
from .tiles import Box, layout_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MEASURES", "ImageCodec", "fixed_quality"]

MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"psnr": psnr_of, "ssimulacra2": ssimulacra2}
"""original, decoded -> how near they are: the targets of `targets.FIDELITIES`."""


def fixed_quality(quality: float) -> int:
    """User quality in [1, 100] -> the header's fixed-point index in [0, QUALITY_MAX]. Raises InputError outside."""
    return round((Target("quality", quality).value - 1) / 99 * QUALITY_MAX)


@dataclass(frozen=True)
class _Picture:
    """A picture on its way into a file. header: with quality 0; alpha: a chunk for each tile, or none; steps: of
    refinement.
    """

    header: Header
    layout: PictureLayout
    colour: np.ndarray
    alpha: list[tuple[bytes, bytes]]
    metadata: Metadata
    steps: int = 0


class ImageCodec(ImageDecoding, Codec):
    """Codes with a model; usually made by `load`. transform, entropy: the model's own, for whoever wants to put another
    entropy model on the same y, or to look at it; one_rate: whether every quality gives the same file.
    """

    lossless: ClassVar[bool] = False

    def __init__(self, model: LatentModel):
        super().__init__(model)
        self.one_rate = model.one_rate

    @staticmethod
    def refusal(card: Mapping[str, Any]) -> ModelError:
        """What is raised where an image codec is wanted, for the card of another model."""
        kind = kind_of(card)
        how = ", which codes without loss" if kind is not None and kind.domain else ""
        return ModelError(f"{card.get('name')} is a model of the kind {card.get('kind')}{how}, not image")

    def _fixed(self, quality: float) -> int:
        """The header's index of a quality: 0 where all are the same. Raises InputError."""
        q = fixed_quality(quality)
        if self.below is not None:
            q = fixed_quality(self.below.mine(quality))
        return 0 if self.one_rate else q

    # -- encoding

    @guarded
    def encode(
        self,
        samples: np.ndarray,
        quality: float | None = None,
        *,
        bpp: float | None = None,
        psnr: float | None = None,
        ssimulacra2: float | None = None,
        size: int | None = None,
        tile: int | None = None,
        metadata: Metadata | None = None,
        effort: int = EFFORTS[0],
        exact_pixels: bool = False,
    ) -> bytes:
        """samples (see the module's text), any size from 1 x 1 -> the bytes of a `.lec` file.

        At most one of: quality, 1 (small) to 100 (good), any fraction, 60 by default; bpp, bits a pixel of the whole
        file, met within 1.5% (or 4 bytes a tile); psnr in dB over the colour samples, met within 0.1 dB (where quality
        goes up in a larger step, as on flat pictures, the upper end of it); ssimulacra2, a score up to 100 (see the
        module of that name), likewise within 0.5 (of more than 4 megapixels a crop is searched, then the whole
        corrected); size, the most bytes the file may have, of which it uses 97% unless coded words of 4 bytes, or
        quality 100, do not allow it.
        tile: side of the tiles in pixels, a multiple of 64; 0: none; None: none up to 4 megapixels, else 1024.
        Where something is drawn (see `drawn`), the whole or tiles of it are coded without loss if that takes fewer
        bytes. psnr and ssimulacra2 are floors then, bpp and size ceilings.
        effort: 1 to 9; above 1 encoding takes longer and the file is smaller for what it shows, by the measure that the
        model was trained for (see `refine`); models whose card does not say which have no effort.
        exact_pixels: the file has a digest of its samples, and every machine decodes these very samples, by integers,
        which takes longer (see `transforms.replica`).
        Raises InputError, also for a target out of reach (with what is in reach), and LimitExceeded.
        """
        wanted = {"quality": quality, "bpp": bpp, "psnr": psnr, "ssimulacra2": ssimulacra2, "size": size}
        target = Target.of(wanted, effort=effort, exact_pixels=exact_pixels)
        return self.encode_signals([picture_signal(samples, metadata, tile)], target)[0]

    @guarded
    def encode_signals(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        """Pictures -> their files; neighbours of one shape are coded together where the target is a quality. Raises as
        `encode`.
        """
        assert not target.lossless
        if target.kind not in ("quality", "bpp", "size", *MEASURES):
            raise InputError(f"pictures are not coded to {target.kind}")
        if target.exact_pixels:
            return [made_exact(self._made_by, self.encode_signals([s], target_within(target, s))[0]) for s in signals]
        if self.below is None:
            return self._encode_all(signals, target)
        return self.below.encode(self._encode_all, signals, target, self._fixed(self.below.own))

    def _encode_all(self, signals: Sequence[Signal], target: Target) -> list[bytes]:
        """As `encode_signals`, by this model at all qualities."""
        pictures = [self._picture(signal, target.effort) for signal in signals]
        drawn = [drawn_of(signal, target.effort) for signal in signals]
        if target.kind != "quality":
            return [self._encode_to(target, *both) for both in zip(pictures, drawn, strict=True)]
        files: list[bytes] = []
        q = self._fixed(target.value)
        for run in runs(pictures, self.transform):
            files += self._encode_run(run, q)
        for n, beside in enumerate(drawn):
            if beside is not None:
                others = beside.whole, self._encode_mixed(beside, q, target.effort)
                files[n] = min((files[n], *filter(None, others)), key=len)
        if self.base is not None:
            files = [min(both, key=len) for both in zip(files, self.base.encode_signals(signals, target), strict=True)]
        return files

    def _encode_mixed(self, drawn: Drawn, q: int, effort: int) -> bytes:
        """The file of a page, each of its tiles coded by whichever is smaller; empty where there is nothing to cut, or
        no tile is better exact.
        """
        if drawn.signal is None:
            return b""
        picture = self._picture(drawn.signal, effort)
        header, layout = replace(picture.header, quality=q), picture.layout
        y = self.transform.analyse([picture.colour], [q])
        chunks = self._chunks(y, header)
        exact = {n: chunk for n, chunk in drawn.exact.items() if len(chunk[1]) < len(chunks[n][1])}
        if not exact:
            return b""
        # The others are made for what the decoder will see beside them.
        filled = without_exact(picture.colour, layout, exact)
        other = self.transform.analyse([filled], [q])
        better = fitting(y[0], other[0], header, exact)
        if picture.steps:
            tiles = list(self._tiles(y, [header], [q]))
            y = self._refined(y, tiles, [header], [filled], q, picture.steps)
            better = set(range(layout.units)) - exact.keys()
        chunks |= self._chunks(y, header, better)
        data = [exact.get(n, chunks[n]) for n in range(layout.units)]
        return pack(header, data, picture.alpha, picture.metadata, exact)

    def _chunks(
        self, y: np.ndarray, header: Header, only: Collection[int] | None = None
    ) -> dict[int, tuple[bytes, bytes]]:
        """Digest and payload of all tiles of a picture, or of some."""
        tiles = self._tiles(y, [header], [header.quality], only)
        coded = self.traversed(y, tiles, [header.quality], Writer)
        return {box.tile: (latents.digest(), writer.finish()) for box, latents, writer in coded}

    def _encode_to(self, target: Target, picture: _Picture, drawn: Drawn | None) -> bytes:
        """The file that meets a target of another kind than "quality". Where something is drawn a fidelity is a floor,
        and bits a pixel and a size are ceilings. Raises InputError.
        """
        if drawn is None or self.one_rate:
            return self._met(target.kind, target.value, picture)
        if target.kind in MEASURES:
            return self._at_least(target, picture, drawn)
        most = target.value if target.kind == "size" else target.value * picture.layout.pixels / 8
        return self._at_most(most, target, picture, drawn)

    def _at_least(self, target: Target, picture: _Picture, drawn: Drawn) -> bytes:
        """The smallest file whose fidelity is at least the target's, but for the tolerance."""
        scale, measure = targets.FIDELITIES[target.kind], MEASURES[target.kind]
        try:
            q = self._index_for(target.kind, target.value, picture, replace(picture, steps=0))
        except InputError:
            if not drawn.whole or measure(picture.colour, self._decoded(picture, QUALITY_MAX)) >= target.value:
                raise
            return drawn.whole
        files = [self._encode_run([picture], q)[0], *filter(None, [drawn.whole])]
        if mixed := self._encode_mixed(drawn, q, target.effort):
            back, _ = split(self.decode(mixed))
            if measure(picture.colour, back) >= target.value - scale.tolerance:
                files.append(mixed)
        return min(files, key=len)

    def _at_most(self, most: float, target: Target, picture: _Picture, drawn: Drawn) -> bytes:
        """The best file, by its PSNR, of at most so many bytes."""
        if drawn.whole and len(drawn.whole) <= most:
            return drawn.whole
        files = []
        try:
            files.append(self._met("size", most, picture))
        except InputError:
            if drawn.signal is None:
                return self._met(target.kind, target.value, picture)
        if drawn.signal is not None:
            quick = self._picture(drawn.signal)
            tiles = quick.layout.units
            fixed = len(pack(quick.header, [(bytes(8), b"")] * tiles, quick.alpha, quick.metadata))

            def estimate(q: int) -> float:
                found = {box.tile: meter.bits / 8 for box, _, meter in self._code([quick], [q], Meter)}
                return fixed + sum(
                    min(size, len(drawn.exact[n][1])) if n in drawn.exact else size for n, size in found.items()
                )

            with suppress(InputError):
                files.append(
                    targets.encode_to_size(estimate, lambda q: self._encode_mixed(drawn, q, target.effort), most)
                )
        if not files:
            return self._met(target.kind, target.value, picture)  # says what is in reach
        return max(files, key=lambda data: psnr_of(picture.colour, split(self.decode(data))[0]))

    def _met(self, kind: str, target: float, picture: _Picture) -> bytes:
        """The file of the model alone that meets a target of the kind "bpp", "size" or one of `MEASURES`. Raises
        InputError.
        """
        pixels, tiles = picture.layout.width * picture.layout.height, picture.layout.units
        if self.one_rate:
            data = self._encode_run([picture], 0)[0]
            grain, name = 4 * tiles, self.card.get("name")
            value = MEASURES[kind](picture.colour, self._decoded(picture, 0)) if kind in MEASURES else 0.0
            targets.check_only(kind, target, len(data), pixels, grain, value, f"{name} has one rate")
            return data
        quick = replace(picture, steps=0)
        fixed = len(pack(picture.header, [(bytes(8), b"")] * tiles, picture.alpha, picture.metadata))

        def estimate(q: int) -> float:
            meter = Meter()
            for _ in self._code([quick], [q], lambda: meter):
                pass
            return fixed + meter.bits / 8

        def real(q: int) -> bytes:
            return self._encode_run([picture], q)[0]

        if kind in MEASURES:
            return real(self._index_for(kind, target, picture, quick))
        if kind == "bpp":
            return targets.encode_to_rate(estimate, real, target, pixels / 8, 4 * tiles, "bpp")
        return targets.encode_to_size(estimate, real, target)

    def _index_for(self, kind: str, target: float, picture: _Picture, quick: _Picture) -> int:
        """The index at which a picture meets a target of `MEASURES`. quick: the same picture, without refinement."""
        scale = targets.FIDELITIES[kind]
        if kind == "ssimulacra2":
            if min(picture.colour.shape[:2]) < MIN_SIDE:
                raise InputError(f"SSIMULACRA2 needs sides of at least {MIN_SIDE} pixels")
            if (crop := crop_of(picture.colour)) is not picture.colour:
                quick = self._picture(picture_signal(crop))

        def value(q: int, p: _Picture = picture) -> float:
            return MEASURES[kind](p.colour, self._decoded(p, q))

        if quick.colour is picture.colour and not picture.steps:
            return targets.index_for(scale, value, target)
        return targets.index_for_near(scale, lambda q: value(q, quick), value, target)

    def _decoded(self, picture: _Picture, q: int) -> np.ndarray:
        """The colour samples that a picture comes back as, without the entropy coder's work."""
        latents = ((box, found) for box, found, _ in self._code([picture], [q]))
        return plain_colour(self._shown([picture.header], [q], latents)[0])

    @guarded
    def encode_batch(
        self,
        batch: Sequence[np.ndarray],
        quality: float = 60,
        *,
        tile: int | None = None,
        metadata: Sequence[Metadata | None] | None = None,
        effort: int = EFFORTS[0],
    ) -> list[bytes]:
        """Several pictures, neighbours of one shape together. metadata: one for each, or None for none at all. The
        other arguments, results and errors are those of `encode`.
        """
        target = Target("quality", quality, effort)
        with_each = [None] * len(batch) if metadata is None else metadata
        signals = [picture_signal(samples, data, tile) for samples, data in zip(batch, with_each, strict=True)]
        return self.encode_signals(signals, target)

    @guarded
    def estimate_bits(self, samples: np.ndarray, quality: float = 60) -> float:
        """The entropy model's estimate of a picture's coded size in bits; container, alpha and metadata excluded."""
        if self.below is not None and (other := self.below.at(quality)) is not None:
            return self.below.codec.estimate_bits(samples, other)
        meter = Meter()
        self.record_latents(samples, self._fixed(quality), meter)
        return meter.bits

    @guarded
    def record_latents(self, samples: np.ndarray, q: int, coder: Coder) -> None:
        """Run the encoder on one picture at the fixed-point index q and hand the symbols of all tiles to `coder`."""
        for _ in self._code([self._picture(picture_signal(samples))], [q], lambda: coder):
            pass

    @guarded
    def degrade(self, x: Tensor, quality: Sequence[float]) -> Tensor:
        """x: uint8 [B, 1 or 3, H, W]; quality: B numbers in [1, 100] -> what decoding gives after encoding, of the same
        shape, type and device, without the entropy coder's work; by the model alone, so that nothing is exact. Raises
        InputError.
        """
        torch = load_torch("degrade")
        if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3) or len(quality) != len(x) or not x.numel():
            raise InputError(f"expected uint8 [B, 1 or 3, H, W] and B qualities, not {x.dtype} {list(x.shape)}")
        its = [None if self.below is None else self.below.at(value) for value in quality]
        if self.below is not None and (low := {n: value for n, value in enumerate(its) if value is not None}):
            out, own = torch.empty_like(x), [n for n in range(len(x)) if n not in low]
            out[list(low)] = self.below.codec.degrade(x[list(low)], list(low.values()))
            if own:
                out[own] = self.degrade(x[own], [quality[n] for n in own])
            return out
        samples = x.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        signals = [picture_signal(s if s.shape[2] == 3 else s[:, :, 0], tile=0) for s in samples]
        pictures = [self._picture(signal) for signal in signals]
        parts, done = [], 0
        for run in runs(pictures, self.transform):
            q = [self._fixed(value) for value in quality[done : done + len(run)]]
            headers = [p.header for p in run]
            parts.append(self._shown(headers, q, ((box, latents) for box, latents, _ in self._code(run, q))))
            done += len(run)
        return torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous().to(x.device)

    def _picture(self, signal: Signal, effort: int = EFFORTS[0]) -> _Picture:
        """Check a signal, and do what does not depend on the quality."""
        steps = effort - EFFORTS[0]
        if steps:
            load_torch(f"effort above {EFFORTS[0]}")
            from .objective import objective_of

            objective_of(self.card)  # is there one?
        colour, alpha = split(signal.samples)
        header = Header(
            layout=signal.layout, quality=0, parse_digest=self.parse_digest, synthesis_digest=self.synthesis_digest
        )
        layout = layout_of(header)
        return _Picture(header, layout, colour, alpha_chunks(alpha, layout), signal.metadata, steps)

    def _code(
        self, pictures: Sequence[_Picture], q: Sequence[int], coder: Callable[[], Coder] = NullCoder
    ) -> Iterator[tuple[Box, Latents, Any]]:
        """Run the encoder on pictures of one shape: each tile's latents, with the coder that took its symbols. Steps of
        refinement are taken if all are of one quality.
        """
        headers, colours = [p.header for p in pictures], [p.colour for p in pictures]
        y = self.transform.analyse(colours, q)
        tiles = self._tiles(y, headers, q)
        if pictures[0].steps:
            tiles = list(tiles)
            y = self._refined(y, tiles, headers, colours, q[0], pictures[0].steps)
        yield from self.traversed(y, tiles, q, coder)

    def _refined(
        self,
        y: np.ndarray,
        tiles: Sequence[Tiles],
        headers: Sequence[Header],
        colours: list[np.ndarray],
        q: int,
        steps: int,
    ) -> np.ndarray:
        """See `refine.refined`, which needs torch."""
        from .refine import in_tiles, refined

        return refined(in_tiles(self, tiles, y[:, 0].size, q), y, headers[0], colours, q, steps)

    def _encode_run(self, pictures: list[_Picture], q: int) -> list[bytes]:
        """The files of pictures of one shape."""
        coded: list[dict[int, tuple[bytes, bytes]]] = [{} for _ in pictures]
        for box, latents, writer in self._code(pictures, [q] * len(pictures), Writer):
            coded[box.picture][box.tile] = latents.digest(), writer.finish()
        return [
            pack(replace(p.header, quality=q), [chunks[n] for n in range(p.layout.units)], p.alpha, p.metadata)
            for p, chunks in zip(pictures, coded, strict=True)
        ]
