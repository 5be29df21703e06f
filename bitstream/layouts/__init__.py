"""The layouts of all media, by the number that the header has for them."""

from __future__ import annotations

from ..layout import Layout
from .picture import PictureLayout
from .set import SetLayout
from .sound import SoundLayout
from .video import VideoLayout

__all__ = ["LAYOUTS", "layout_named"]

LAYOUTS: dict[int, type[Layout]] = {
    layout.media: layout for layout in (PictureLayout, SetLayout, VideoLayout, SoundLayout)
}


def layout_named(name: str) -> type[Layout]:
    """The layout of a medium, by its name. Raises KeyError."""
    return {layout.name: layout for layout in LAYOUTS.values()}[name]
