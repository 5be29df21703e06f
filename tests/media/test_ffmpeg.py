"""What FFmpeg is given to write to may fail: the error is the system's, and says itself."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lecodec.codec.media import ffmpeg
from lecodec.codec.media.sound_files import load_sound
from lecodec.codec.media.sound_signal import array_signal
from lecodec.codec.media.sound_write import write_sound_signal
from lecodec.codec.media.video_files import load_video
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.media.video_write import write_video_signal
from lecodec.errors import InputError
from lecodec.train.sounds import read_at


class Full(io.BytesIO):
    """A file on a disk with room for so many bytes, which notices at any time."""

    room = 100

    def write(self, data) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def on_it(path: Path, *, overwrite: bool) -> Iterator[Full]:
        yield Full()

    monkeypatch.setattr(ffmpeg, "atomic_write", on_it)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "y4m", "wav", "flac", "ogg", "opus", "mp3", "m4a"])
def test_a_full_disk_is_said_to_be_full(suffix: str, full: None, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """It was an error in a callback of PyAV, or a traceback beside the sentence."""
    noise = np.random.default_rng(0)
    if suffix in ("mp4", "mov", "mkv", "y4m"):
        signal, write = clip_signal(noise.integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)), write_video_signal
    else:
        signal, write = array_signal(noise.uniform(-1, 1, 44100).astype(np.float32), 44100), write_sound_signal
    with pytest.raises(OSError) as caught:
        write(signal, tmp_path / f"x.{suffix}")
    assert caught.value.errno == errno.ENOSPC
    assert capfd.readouterr().err == "" and not list(tmp_path.iterdir())


def test_what_ffmpeg_refuses_is_not_the_systems_fault() -> None:
    with (
        pytest.raises(ffmpeg.InputError, match="FFmpeg cannot write this sound: "),
        ffmpeg.writing(io.BytesIO(), "no such format", "sound"),
    ):
        pass


@pytest.mark.parametrize("suffix", ["wav", "mp3", "mkv"])
def test_a_file_that_was_cut_says_so(suffix: str, tmp_path: Path) -> None:
    """FFmpeg reads what is left of it without a word."""
    noise, path = np.random.default_rng(0), tmp_path / f"x.{suffix}"
    if suffix == "mkv":
        write_video_signal(clip_signal(noise.integers(0, 256, (50, 32, 48, 3), dtype=np.uint8)), path)
        load = load_video
    else:
        write_sound_signal(array_signal(noise.uniform(-1, 1, 88200).astype(np.float32), 44100), path)
        load = load_sound
    assert not any("ends after" in note for note in load(path).notes)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 8 * 4])
    assert any("ends after" in note and "2.00 seconds that it announces" in note for note in load(path).notes)


def test_a_video_that_is_damaged_behind_its_first_frame_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Found by `make fuzz`: the error was FFmpeg's own, and one such file ended a whole folder's run."""
    path = tmp_path / "damaged.y4m"
    path.write_bytes(b"YUV4MPEG2 W8 H8 F25:1 Ip A1:1 Cmono\nFRAME\n" + bytes(64) + b"DAMAGE\n" + bytes(64))
    with pytest.raises(InputError, match=r"^the video cannot be read to its end \(Invalid data"):
        load_video(path)


def test_a_sound_in_an_unknown_coding_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Found by `make fuzz`: PyAV has no codec for such a stream, and gives None."""
    path = tmp_path / "unknown.wav"
    write_wav(path, np.zeros((40, 1), np.float32))
    data = path.read_bytes()
    path.write_bytes(data[:20] + b"\xee\xee" + data[22:])
    for read in (load_sound, lambda path: read_at(path, [8000], 1)):
        with pytest.raises(InputError, match="a sound in a coding that FFmpeg does not know"):
            read(path)


def write_wav(path: Path, samples: np.ndarray) -> None:
    write_sound_signal(array_signal(samples, 8000), path)
