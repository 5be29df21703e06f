"""Tar files that have an end."""

from __future__ import annotations

import tarfile
from typing import Any

__all__ = ["WholeInfo"]


class WholeInfo(tarfile.TarInfo):
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
