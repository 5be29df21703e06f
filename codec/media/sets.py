"""Files that hold sets of samples to arrays: numpy arrays, idx files, folders of pictures (back: sets_write.py).

    .npy, .npz, idx, idx.gz, folder -> [here] -> uint8 or uint16 [N, ...] -> LosslessCodec -> .lec

What a file is shows in its first bytes. Items are uint8 or uint16, of one shape.

- numpy's files are read by their headers alone: nothing is ever unpickled. Of an .npz with several arrays one is named:
  `x.npz:images`. Other types are refused, never converted.
- idx is the format of MNIST: two zero bytes, a type (8: unsigned bytes, the only one that is read), the number of
  dimensions, the dimensions (u32, big-endian), the samples. It may be compressed with gzip.
- A folder's pictures are taken in the order of their names; subfolders and other files are left out, and noted. They
  have to be of one size, depth and number of channels; their metadata is not kept.

Guarantees: sizes are taken from headers and compared with the limits before memory is taken, however well a file
inflates; whatever a file holds, reading ends in a `Signal` or in a CodecError of one sentence (or another OSError,
from the system).
"""

from __future__ import annotations

import gzip
import io
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ...bitstream import check_set_size, geometry
from ...errors import CodecError, InputError
from .picture import MAX_STREAM_BYTES, READABLE, load_picture
from .signal import Signal, set_signal

__all__ = ["load_set"]

NPY, ZIP, GZIP, IDX = b"\x93NUMPY", b"PK\x03\x04", b"\x1f\x8b", b"\0\0"
IDX_TYPES = {8: "unsigned bytes", 9: "signed bytes", 11: "16-bit", 12: "32-bit", 13: "float", 14: "double"}
_PIECE = 2**20


def load_set(source: str | os.PathLike[str] | BinaryIO) -> Signal:
    """Read a set from a path (of a file, a folder, or `FILE.npz:NAME`) or from a binary stream, to its end.

    Raises InputError (not a set, one of another type, several arrays), LimitExceeded, and OSError for a path.
    """
    if not isinstance(source, (str, os.PathLike)):
        stream = _Counted(source)
        return set_signal(_read_stream(stream), file_bytes=stream.count)
    path, name = os.fspath(source), None
    if "\0" in os.fsdecode(path):
        raise InputError("a path with a null byte in it")
    if os.path.isdir(path):
        return _read_folder(Path(path))
    if not os.path.exists(path) and ".npz:" in path.lower():
        at = path.lower().rindex(".npz:") + 4
        path, name = path[:at], path[at + 1 :]
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InputError("not a regular file")
        return set_signal(_read(file, name), file_bytes=os.path.getsize(path))


class _Counted:
    """A stream whose bytes are counted. Reads are as long as they are asked for, unless the stream ends."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.count = stream, 0

    def read(self, count: int = -1) -> bytes:
        found = bytearray()
        while count < 0 or len(found) < count:
            piece = self._stream.read(-1 if count < 0 else count - len(found))
            if not piece:
                break
            found += piece
        self.count += len(found)
        return bytes(found)


def _read_stream(stream: _Counted) -> np.ndarray:
    """As `_read`. The first bytes decide, and what the header promises is all that is read: a pipe may have no end."""
    head = stream.read(len(NPY))
    if head.startswith(ZIP):  # its directory is at the end
        data = head + stream.read(MAX_STREAM_BYTES + 1 - len(head))
        if len(data) > MAX_STREAM_BYTES:
            raise InputError(f"the stream is longer than {MAX_STREAM_BYTES} bytes")
        return _read_npz(io.BytesIO(data), None)
    return _read_head(head, _Pushed(head, stream), None)  # type: ignore[arg-type]


def _read(file: BinaryIO, name: str | None) -> np.ndarray:
    head = file.read(len(NPY))
    file.seek(0)
    return _read_head(head, file, name)


def _read_head(head: bytes, file: BinaryIO, name: str | None) -> np.ndarray:
    if head.startswith(ZIP):
        return _read_npz(file, name)
    if name is not None:
        raise InputError(f"not an .npz file, so it holds no array {name!r}")
    if head == NPY:
        return _read_npy(file)
    if head.startswith(GZIP):
        with _one_sentence("gzip"), gzip.GzipFile(fileobj=file) as inside:
            return _read_idx(inside)  # type: ignore[arg-type]
    if head.startswith(IDX):
        return _read_idx(file)
    raise InputError("not a set of samples of a kind that can be read (.npy, .npz, idx, idx.gz, a folder of pictures)")


def _read_npy(file: BinaryIO) -> np.ndarray:
    with _one_sentence(".npy"):
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise InputError(f"an .npy file of version {version[0]}.{version[1]}, expected 1.0 or 2.0")
        shape, fortran, dtype = readers[version](file)
    _check_type(dtype)
    raw = _take(file, _checked_size(shape) * dtype.itemsize)
    samples = np.frombuffer(raw, dtype)
    samples = samples.reshape(shape[::-1]).transpose() if fortran else samples.reshape(shape)
    return np.ascontiguousarray(samples, dtype.newbyteorder("="))


def _read_npz(file: BinaryIO, name: str | None) -> np.ndarray:
    with _one_sentence(".npz"), zipfile.ZipFile(file) as archive:
        arrays = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
        if name is None:
            if len(arrays) != 1:
                found = f"{len(arrays)} arrays ({', '.join(arrays[:8])})" if arrays else "no arrays"
                raise InputError(f"holds {found}, expected one: name it, as in x.npz:{arrays[0] if arrays else 'NAME'}")
            name = arrays[0]
        elif name not in arrays:
            raise InputError(f"holds no array {name!r}: there are {', '.join(arrays[:8]) or 'none'}")
        with archive.open(name + ".npy") as inside:
            head = inside.read(len(NPY))
            if head != NPY:
                raise InputError(f"its array {name!r} is not in numpy's format")
            return _read_npy(_Pushed(head, inside))  # type: ignore[arg-type]


class _Pushed:
    """A stream with a few bytes in front of it."""

    def __init__(self, head: bytes, rest: object) -> None:
        self._head, self._rest = head, rest

    def read(self, count: int = -1) -> bytes:
        if self._head:
            found, self._head = (self._head, b"") if count < 0 else (self._head[:count], self._head[count:])
            return found
        return self._rest.read(count)  # type: ignore[attr-defined]


def _read_idx(file: BinaryIO) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != IDX or head[2] not in IDX_TYPES or not head[3]:
        raise InputError(f"not an idx file: it begins with {head.hex(' ')}, expected 00 00 08 and how many dimensions")
    if head[2] != 8:
        raise InputError(f"an idx file of {IDX_TYPES[head[2]]} numbers (type {head[2]}), expected unsigned bytes (8)")
    shape = tuple(np.frombuffer(_take(file, 4 * head[3], ends=False), ">u4").tolist())
    return np.frombuffer(_take(file, _checked_size(shape)), np.uint8).reshape(shape).copy()


def _check_type(dtype: np.dtype) -> None:
    if dtype == np.bool_:
        raise InputError("samples of the type bool, expected uint8 or uint16: .astype(np.uint8) makes them so")
    if dtype.hasobject or dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise InputError(f"samples of the type {dtype}, expected uint8 or uint16")


def _checked_size(shape: tuple[int, ...]) -> int:
    """Samples in an array of N items. Raises InputError, LimitExceeded."""
    if not shape or 0 in shape:
        raise InputError(f"an array of the shape {list(shape)}, expected [N, ...] and at least one sample")
    width, height, _ = geometry(shape[1:])
    check_set_size(width, height, shape[0], 1)
    return math.prod(shape)


def _take(file: BinaryIO, count: int, ends: bool = True) -> bytes:
    """So many bytes, in pieces, because the file may hold fewer than it claims. ends: and nothing behind them."""
    found = bytearray()
    while len(found) < count and (piece := file.read(min(_PIECE, count - len(found)))):
        found += piece
    if len(found) < count:
        raise InputError(f"the file is cut short: {len(found)} bytes of samples, expected {count}")
    if ends and file.read(1):
        raise InputError(f"the file is longer than it says: more than {count} bytes of samples")
    return bytes(found)


@contextmanager
def _one_sentence(kind: str) -> Iterator[None]:
    """Turn what the readers of zip, gzip and numpy's header raise about a damaged file into an InputError."""
    try:
        yield
    except CodecError:
        raise
    except MemoryError:
        raise InputError("does not fit into memory") from None
    except Exception as error:  # nearly every class: numpy's header goes through Python's own parser
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the {kind} file is damaged: {text[:200]}") from None


def _read_folder(folder: Path) -> Signal:
    Image.init()
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in READABLE}
    names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    paths = [folder / name for name in names if Path(name).suffix.lower() in suffixes and (folder / name).is_file()]
    if not paths:
        raise InputError("a folder without pictures")
    samples, file_bytes, plain = None, 0, True
    for number, path in enumerate(paths):
        try:
            picture = load_picture(path)
        except CodecError as error:
            raise type(error)(f"{path.name}: {error}") from None
        found = picture.samples
        if samples is None:
            _checked_size((len(paths), *found.shape))
            samples = np.empty((len(paths), *found.shape), found.dtype)
        if found.shape != samples.shape[1:] or found.dtype != samples.dtype:
            raise InputError(
                f"{path.name} is {_kind(found)}, {paths[0].name} is {_kind(samples[0])}: expected the same"
            )
        samples[number] = found
        file_bytes += picture.file_bytes
        plain &= not (picture.metadata.icc or picture.metadata.exif or picture.metadata.xmp)
    assert samples is not None
    notes = [] if plain else ["ICC, EXIF and XMP of its pictures are not kept"]
    if len(paths) < len(names):
        notes.append(f"{len(names) - len(paths)} other files or folders in it are left out")
    return set_signal(samples, file_bytes=file_bytes, notes=tuple(notes))


def _kind(samples: np.ndarray) -> str:
    """A picture in a few words, for messages."""
    channels = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[samples.shape[2] if samples.ndim == 3 else 1]
    return f"{samples.shape[1]} x {samples.shape[0]}, {channels} of {8 * samples.itemsize} bits"
