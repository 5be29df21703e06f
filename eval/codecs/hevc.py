"""HEVC intra: one picture as one frame of x265, through PyAV.

    RGB -> Y'CbCr 4:4:4 -> x265, one frame at a CRF -> an HEVC stream (Annex B) -> Y'CbCr -> RGB

The file is the bare stream, which any HEVC decoder reads: video, sequence and picture parameter sets (86 bytes) and one
slice. There is no container around it and no message that names the encoder, because neither holds any of the picture;
in a HEIF file it would be larger by the boxes. Preset medium and x265's own tuning for the eye, which costs PSNR: what
users get. On a single thread, so without the entry points of wavefronts.

The colours are those of JPEG: Y'CbCr of BT.601 over the full range, rounded to 8 bits, and the stream says so. The size
is in the stream too: x265 takes multiples of 8 and crops what it padded; below 16 pixels a side it takes nothing, so
there the last row and column are repeated up to 16, and the parameter sets say that they are cropped.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import CodecError, InputError
from ..quality._extras import extra

__all__ = ["HevcCodec"]

MIN_SIDE = 16
"""The least side of a picture that x265 takes."""

# BT.601: Y' = 0.299 R + 0.587 G + 0.114 B, Cb and Cr the scaled differences B - Y' and R - Y', in -127.5..127.5.
_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YCBCR = np.stack(
    [_LUMA, (np.array([0, 0, 1]) - _LUMA) / (2 * (1 - _LUMA[2])), (np.array([1, 0, 0]) - _LUMA) / (2 * (1 - _LUMA[0]))]
)
_TO_RGB = np.linalg.inv(_TO_YCBCR)
_CENTRE = np.array([0.0, 128.0, 128.0])

# info=0 leaves out 2 kB that list x265's options. The numbers of BT.601, sRGB and the full range are for other readers.
_PARAMS = (
    "info=0:log-level=none:keyint=1:pools=none:frame-threads=1:no-wpp=1"
    ":range=full:colormatrix=smpte170m:colorprim=bt709:transfer=iec61966-2-1"
)


class HevcCodec:
    """A `Codec` (see `codecs`). The setting is x265's constant rate factor: 51 is the smallest file."""

    name = "hevc"
    suffix = ".hevc"
    ladder: tuple[float, ...] = (51, 48, 45, 42, 39, 36, 33, 30, 27, 24, 20)

    def __init__(self) -> None:
        """Raises InputError when PyAV is missing or was built without x265."""
        av = extra("av")
        try:
            formats = [f.name for f in av.Codec("libx265", "w").video_formats or ()]
        except ValueError:
            formats = []
        if "yuv444p" not in formats:
            raise InputError("this PyAV was built without x265 for 4:4:4; the wheels of PyAV 14 and later have it")
        ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
        self.description = (
            f"x265 of PyAV {av.__version__} (libavcodec {ffmpeg}), one intra frame, 8 bits, 4:4:4, BT.601 full range, "
            "preset medium, bare Annex B stream"
        )

    def encode(self, rgb: np.ndarray, setting: float) -> bytes:
        """A whole stream for rgb: uint8 [H, W, 3]. Raises `CodecError`."""
        import av

        height, width = rgb.shape[:2]
        missing = [max(MIN_SIDE - side, 0) for side in (height, width)]
        padded = np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), "edge")
        planes = np.clip(np.rint(padded @ _TO_YCBCR.T + _CENTRE), 0, 255).astype(np.uint8)
        try:
            context: Any = av.CodecContext.create("libx265", "w")
            context.height, context.width, context.pix_fmt = *padded.shape[:2], "yuv444p"
            context.time_base = context.framerate = Fraction(1)
            context.options = {"crf": f"{setting:g}", "preset": "medium", "x265-params": _PARAMS}
            frame = av.VideoFrame(padded.shape[1], padded.shape[0], "yuv444p")
            for plane, samples in zip(frame.planes, np.moveaxis(planes, -1, 0), strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)  # lines are padded to the alignment of SIMD
                rows[:, : samples.shape[1]] = samples
                plane.update(rows.tobytes())
            data = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
            return _cropped(data, *missing) if any(missing) else data
        except (av.FFmpegError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise CodecError(f"hevc could not encode {width} x {height} pixels at CRF {setting:g}: {told}") from error

    def decode(self, data: bytes) -> np.ndarray:
        """The picture, uint8 [H, W, 3]. Raises `CodecError`."""
        import av

        try:
            context: Any = av.CodecContext.create("hevc", "r")
            context.options = {"err_detect": "explode"}  # FFmpeg would rather show something
            frames = [*context.decode(av.Packet(data)), *context.decode(None)] if data else []
        except (av.FFmpegError, ValueError) as error:
            told = getattr(error, "strerror", None) or error
            raise CodecError(f"hevc could not decode its own file: {told}") from error
        if len(frames) != 1 or frames[0].format.name not in ("yuv444p", "yuvj444p") or frames[0].is_corrupt:
            raise CodecError(f"hevc could not decode its own file: it holds {len(frames)} frames, or a damaged one")
        planes = [
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in frames[0].planes
        ]
        rgb = (np.stack(planes, -1) - _CENTRE) @ _TO_RGB.T
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _cropped(data: bytes, rows: int, columns: int) -> bytes:
    """The stream with parameter sets that crop rows at the bottom and columns at the right."""
    import av
    from av.bitstream import BitStreamFilterContext

    sides = {"crop_bottom": rows, "crop_right": columns}
    options = ":".join(f"{side}={count}" for side, count in sides.items() if count)
    with av.open(io.BytesIO(data), "r", format="hevc") as container:
        stream = container.streams.video[0]
        crop = BitStreamFilterContext(f"hevc_metadata={options}", stream)
        packets = [packet for read in container.demux(stream) if read.size for packet in crop.filter(read)]
        return b"".join(bytes(packet) for packet in packets)
