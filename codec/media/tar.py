"""Tar files of many small files, read from front to back: their members, and whether they have an end."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...errors import InputError

__all__ = ["MAX_MEMBER", "members_of"]

MAX_MEMBER = 1 << 31
"""Bytes of the largest member that is read."""


def members_of(file: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every member of a tar file, compressed or not, with its content; b"" for what is no regular file. Raises
    InputError for a member beyond MAX_MEMBER, before it is read, and for what is not a whole tar file.
    """
    try:
        with tarfile.open(fileobj=file, mode="r|*", tarinfo=_WholeInfo) as tar:
            for info in tar:
                if info.size > MAX_MEMBER:
                    raise InputError(f"its member {info.name} takes {info.size} bytes, more than {MAX_MEMBER}")
                held = tar.extractfile(info) if info.isreg() else None
                yield info, b"" if held is None else held.read()
    except tarfile.TarError as error:
        raise InputError(f"is not a whole tar file: {error}") from None


class _WholeInfo(tarfile.TarInfo):
    """A member of a tar file, which has an end: `tarfile` alone takes whatever is no member for it. Raises ReadError
    for a file that ends without its mark.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if tarfile_.offset == 0 or type(error).__name__ == "EOFHeaderError":  # that is the mark of the end
                raise
            raise tarfile.ReadError(f"behind byte {tarfile_.offset} there is neither a member nor an end") from error
