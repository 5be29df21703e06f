"""The layouts of all media, by the number that the header has for them."""

from __future__ import annotations

from ..layout import Layout
from .picture import PictureLayout
from .set import SetLayout
from .video import VideoLayout

__all__ = ["LAYOUTS"]

LAYOUTS: dict[int, type[Layout]] = {layout.media: layout for layout in (PictureLayout, SetLayout, VideoLayout)}
