"""Standard input: its first bytes say of which medium it is, and all of them are still read."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from lecodec.codec.media.medium import PICTURE, SOUND, VIDEO
from lecodec.codec.media.pipe import Pipe, medium_of_start

from ..container_examples import Trickle

PICTURES = ("png", "jpeg", "webp", "avif", "gif", "bmp", "tiff", "ppm", "jpeg2000")


def picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(out, form)
    return out.getvalue()


def media(form: str, codec: str) -> bytes:
    """What FFmpeg writes in a format: a grey video, or half a second of silence."""
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25 if codec in VIDEO_CODECS else 48000)
        if codec in VIDEO_CODECS:
            stream.width = stream.height = 32
            frames = [av.VideoFrame(32, 32, "yuv420p") for _ in range(9)]
        else:
            kind = stream.codec_context.format.name
            silence = np.zeros((1, 24000), np.int16 if kind.startswith("s16") else np.float32)
            stream.layout = "mono"
            frames = [av.AudioFrame.from_ndarray(silence, kind, "mono")]
            frames[0].sample_rate = 48000
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


VIDEO_CODECS = ("mpeg4", "mpeg2video", "rawvideo", "libx264", "libvpx-vp9")


@pytest.mark.parametrize("form", PICTURES)
def test_pictures_are_pictures(form):
    assert medium_of_start(Pipe(io.BytesIO(picture(form))).start()) is PICTURE


@pytest.mark.parametrize(
    "form, codec",
    [
        ("yuv4mpegpipe", "rawvideo"),
        ("matroska", "mpeg4"),
        ("webm", "libvpx-vp9"),
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("avi", "mpeg4"),
        ("mpegts", "mpeg2video"),
        ("mpeg", "mpeg2video"),
        ("mpeg2video", "mpeg2video"),
    ],
)
def test_videos_are_videos(form, codec):
    assert medium_of_start(media(form, codec)[:512]) is VIDEO


@pytest.mark.parametrize(
    "form, codec",
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("ipod", "aac"),
        ("adts", "aac"),
        ("aiff", "pcm_s16be"),
        ("au", "pcm_s16be"),
    ],
)
def test_sounds_are_sounds(form, codec):
    assert medium_of_start(media(form, codec)[:512]) is SOUND


def test_what_was_looked_at_is_read_again():
    data = bytes(range(256)) * 5
    for count in (-1, 7, 600, 4000):
        pipe = Pipe(Trickle(data) if count > 0 else io.BytesIO(data))  # pyright: ignore[reportArgumentType]
        assert pipe.start(30) == data[:30] and pipe.start() == data[:512] and not pipe.seekable()
        found = b""
        while piece := pipe.read(count):
            found += piece
        assert found == data
    assert Pipe(io.BytesIO(b"")).start() == b"" and medium_of_start(b"") is PICTURE
    assert medium_of_start(b"\xff") is PICTURE and medium_of_start(b"G" + bytes(400)) is PICTURE
