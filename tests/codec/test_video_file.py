"""Videos from Python: a file in, frames by number and by second, clips for training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

import lecodec
from lecodec.bitstream import LecFile
from lecodec.codec.media.video_signal import clip_signal
from lecodec.codec.media.video_write import write_video_signal
from lecodec.errors import CorruptFile, InputError

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "tiny-video.safetensors"
DATA = (GOLDEN / "video" / "announced.lec").read_bytes()
TICKS = (GOLDEN / "video" / "announced-ticks.lec").read_bytes()


@pytest.fixture(scope="module")
def video() -> lecodec.Video:
    return lecodec.Video(DATA, model=MODEL)


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return lecodec.decode(DATA, model=MODEL)


def test_frames_come_with_number_and_time(video, whole):
    frames = list(video)
    assert (len(video), video.width, video.height, video.fps) == (11, 80, 64, 25.0)
    assert video.seconds == pytest.approx(0.44)
    assert [frame.number for frame in frames] == list(range(11))
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(11)])
    assert [frame.lasts for frame in frames] == pytest.approx([0.04] * 11)
    np.testing.assert_array_equal(np.stack([frame.samples for frame in frames]), whole)


def test_any_frame_is_had_by_number_or_second(video, whole):
    for number in (10, 0, 5, -1, np.int64(3)):
        frame = video[number]
        assert frame.number == number % 11
        np.testing.assert_array_equal(frame.samples, whole[number])
    np.testing.assert_array_equal(np.stack([f.samples for f in video[8:2:-3]]), whole[8:2:-3])
    assert video[4:4] == [] and [f.number for f in video[-3:]] == [8, 9, 10]
    assert [video.at(second).number for second in (0, 0.039, 0.04, 0.43)] == [0, 0, 1, 10]
    assert [f.number for f in video.between(0.1, 0.2)] == [2, 3, 4]
    for wrong in (11, -12):
        with pytest.raises(IndexError):
            video[wrong]
    for second in (0.44, -1.0):
        with pytest.raises(InputError, match="the video has frames 0 to 10"):
            video.at(second)
    with pytest.raises(InputError, match="whole number"):
        video["1"]


def test_frames_of_their_own_times():
    video = lecodec.Video(TICKS, model=MODEL)
    times = [frame.time for frame in video]
    assert times == pytest.approx([0, 7 / 25000, 307 / 25000, 307 / 25000, 308 / 25000, 310 / 25000])
    assert video.at(0.005).number == 1 and video.at(3.0).number == 5 and video.fps == pytest.approx(6 / video.seconds)


def test_tensors(video, whole):
    found = video.tensor(1, 10, 3)
    assert found.dtype == torch.uint8 and found.shape == (3, 3, 64, 80)
    np.testing.assert_array_equal(found.permute(0, 2, 3, 1).numpy(), whole[1:10:3])


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_a_pipe_can_be_iterated_over(whole):
    video = lecodec.Video(Pipe(DATA), model=MODEL)
    with pytest.raises(InputError, match="how many frames"):
        len(video)
    np.testing.assert_array_equal(np.stack([frame.samples for frame in video]), whole)
    assert len(video) == 11
    with pytest.raises(InputError, match="cannot be read twice"):
        list(video)


def test_other_files_are_refused():
    with pytest.raises(InputError, match="holds no video"):
        lecodec.Video(GOLDEN / "colour-v1.lec")
    with pytest.raises(FileNotFoundError):
        lecodec.Video("nowhere.lec")


def test_a_video_file_goes_in(tmp_path, whole):
    """It was read as a picture."""
    write_video_signal(clip_signal(whole[:3], 20), tmp_path / "clip.mkv")
    data = lecodec.encode(tmp_path / "clip.mkv", 40, model=MODEL)
    assert lecodec.decode(data, model=MODEL).shape == (3, 64, 80, 3)
    assert (lecodec.info(data)["length"], lecodec.info(data)["frames"]) == (0.15, 3)
    limited = lecodec.encode(tmp_path / "clip.mkv", size=len(data), model=MODEL)
    assert len(limited) <= len(data)
    with pytest.raises(InputError, match="tiles are of pictures"):
        lecodec.encode(tmp_path / "clip.mkv", tile=64, model=MODEL)


def test_clips_for_training(tmp_path, monkeypatch, whole):
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    for name in ("a", "b"):
        (tmp_path / f"{name}.lec").write_bytes(DATA)
    clips = lecodec.LecClips(tmp_path, frames=3, step=2, transform=lambda clip: clip.float() / 255)
    assert len(clips) == 4 and clips[3].shape == (3, 3, 64, 80)
    np.testing.assert_array_equal((clips[3] * 255).round().permute(0, 2, 3, 1).numpy(), whole[5:10:2])
    batch = next(iter(torch.utils.data.DataLoader(clips, batch_size=2)))
    assert batch.shape == (2, 3, 3, 64, 80)
    with pytest.raises(InputError, match="no video has 12 frames"):
        lecodec.LecClips(tmp_path, frames=12)
    (tmp_path / "a.lec").write_bytes(DATA[:-200] + bytes(188) + DATA[-12:])
    with pytest.raises(OSError, match=r"a\.lec"):
        lecodec.LecClips([tmp_path / "a.lec"], frames=11)[0]
    (tmp_path / "c.lec").write_bytes((GOLDEN / "colour-v1.lec").read_bytes())
    with pytest.raises(InputError, match="holds no video"):
        lecodec.LecClips(tmp_path)


def test_info_says_where_the_bytes_are():
    for data in (DATA, (GOLDEN / "video" / "groups.lec").read_bytes()):
        parts = lecodec.info(data)["parts"]
        assert sum(parts.values()) == len(data) and parts["alone"] > 100 and parts["rest"] > 100
        assert [name for name in parts if name.startswith("level")] == ["level 0", "level 1", "level 2"]
    assert lecodec.info(DATA)["parts"]["packets"] == sum(
        len(payload) for group in LecFile.open(DATA).groups() for payload in group.packets
    )
    assert lecodec.info(GOLDEN / "colour-v1.lec")["parts"] is None
    with pytest.raises(CorruptFile):
        lecodec.info(DATA[:-13] + DATA[-12:])
