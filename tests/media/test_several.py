"""Sounds and videos one behind the other in a file: the first alone was taken, without a word."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from lecodec.codec.media.several import check_single
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_signal import array_signal
from lecodec.codec.media.sound_write import write_sound_signal
from lecodec.codec.media.video_files import load_video
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.media.video_write import write_video_signal
from lecodec.errors import InputError

from ..make_golden import clip


def sound(folder: Path, suffix: str) -> bytes:
    path = folder / f"one{suffix}"
    if suffix == ".aiff":
        with av.open(str(path), "w") as container:
            out = container.add_stream("pcm_s16be", 48000)
            out.layout = "mono"  # pyright: ignore
            frame = av.AudioFrame.from_ndarray(np.ones((1, 9600), np.int16), "s16", "mono")
            frame.sample_rate = 48000
            container.mux(out.encode(frame))  # pyright: ignore
    else:
        samples = (8000 * np.sin(np.arange(9600) / 10)).astype(np.int16)
        write_sound_signal(array_signal(samples, 48000), path)
    return path.read_bytes()


def video(folder: Path, suffix: str) -> bytes:
    path = folder / f"one{suffix}"
    write_video_signal(clip_signal(clip(3, 16, 16)), path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".ogg", ".opus", ".m4a", ".flac"])
def test_several_sounds_are_refused(tmp_path, suffix):
    data = sound(tmp_path, suffix)
    assert load_sound(io.BytesIO(data)).sound_layout.samples > 9000
    with pytest.raises(InputError, match="holds several sounds, one behind the other"):
        load_sound(io.BytesIO(data + data))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_several_videos_are_refused(tmp_path, suffix):
    data = video(tmp_path, suffix)
    assert load_video(io.BytesIO(data)).count == 3
    (tmp_path / "two").write_bytes(data + data)
    with pytest.raises(InputError, match="holds several videos"):
        load_video(tmp_path / "two")


def test_a_second_flac_is_found_across_the_pieces_that_are_read(tmp_path, monkeypatch):
    data = sound(tmp_path, ".flac")
    for piece in (64, 100, len(data) + 3):
        monkeypatch.setattr("lecodec.codec.media.several.PIECE", piece)
        check_single(io.BytesIO(data), "sound")
        with pytest.raises(InputError):
            check_single(io.BytesIO(data + data), "sound")


@pytest.mark.parametrize("suffix", [".wav", ".ogg", ".m4a", ".mkv", ".flac"])
def test_files_that_end_anywhere_are_looked_through(tmp_path, suffix):
    data = (video if suffix == ".mkv" else sound)(tmp_path, suffix)
    for end in range(0, len(data), 1 + len(data) // 300):
        check_single(io.BytesIO(data[:end]), "sound")
        check_single(io.BytesIO(data[:end] + bytes(20)), "sound")


@pytest.mark.parametrize(
    "data",
    [
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xfe\xff\xff\xff\xff\xff\xff" + bytes(9),
        b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat" + b"\xff" * 8 + bytes(9),
    ],
    ids=["matroska", "mp4"],
)
def test_sizes_that_lead_behind_every_file_end_the_search(tmp_path, data):
    """Found by `make fuzz`: an OSError, as no file can seek there."""
    (tmp_path / "one").write_bytes(data)
    for source in (str(tmp_path / "one"), io.BytesIO(data)):
        check_single(source, "video")
