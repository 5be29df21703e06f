"""Video files in and out: what FFmpeg reads comes back in size, time and colour, from the command line too."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile, VideoLayout
from lecodec.cli.main import main
from lecodec.cli.paths import decoded_name
from lecodec.codec.codec import Target
from lecodec.codec.media.medium import medium_of
from lecodec.codec.media.video_files import load_video
from lecodec.codec.media.video_signal import VideoFrame, VideoSignal, clip_signal, in_groups, video_signal
from lecodec.codec.media.video_write import check_video_output, write_video_signal
from lecodec.codec.registry import load
from lecodec.codec.video import VideoCodec
from lecodec.errors import InputError

from ..make_golden import clip

GOLDEN = Path(__file__).parents[1] / "golden"
LAYOUT = VideoLayout(width=48, height=32, clock=25000, duration=1000, subsampling=2)
MODEL = str(GOLDEN / "tiny-video.safetensors")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))


def written(
    path: Path, frames: np.ndarray, planes: str = "yuv444p", times: list[int] | None = None, sound: bool = False
) -> Path:
    """A clip as FFV1 in Matroska, 20 frames a second, or shown at these milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.time_base = planes, Fraction(1, 1000)
        tone = container.add_stream("pcm_s16le", rate=8000) if sound else None
        for number, samples in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(samples, "rgb24").reformat(format=planes)
            frame.pts, frame.time_base = (50 * number if times is None else times[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            samples.sample_rate = 8000
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def read(path: Path) -> tuple[np.ndarray, list[float]]:
    """Frames as RGB, and when they are shown, in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
        return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [float(f.time or 0) for f in frames]


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


# -- reading and writing, without a codec between


@pytest.mark.parametrize("planes", ["yuv444p", "yuv420p", "bgr0"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".y4m"])
def test_what_is_read_is_written(tmp_path, planes, suffix):
    frames = clip(5, 32, 48)
    signal = load_video(written(tmp_path / "a.mkv", frames, planes))
    layout = signal.video_layout
    assert (layout.width, layout.height, layout.clock / layout.clock_step, layout.duration) == (48, 32, 20, 1)
    assert layout.subsampling == {"yuv444p": 0, "yuv420p": 2, "bgr0": 3}[planes]
    facts, _ = write_video_signal(signal, tmp_path / f"b{suffix}")
    assert facts["frames"] == 5
    back, times = read(tmp_path / f"b{suffix}")
    assert np.abs(back.astype(int) - frames).mean() < (6 if planes == "yuv420p" else 3)
    assert times == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], abs=2e-3)
    with pytest.raises(OSError):
        write_video_signal(signal, tmp_path / f"b{suffix}")


def test_frames_that_do_not_last_as_long_keep_their_times(tmp_path):
    times = [0, 40, 45, 200, 1300]
    signal = load_video(written(tmp_path / "a.mkv", clip(5, 32, 48), times=times))
    assert signal.video_layout.duration == 0
    assert [frame.ticks for frame in signal.frames()][:4] == [40, 5, 155, 1100]
    write_video_signal(signal, tmp_path / "b.mkv")
    assert read(tmp_path / "b.mkv")[1] == pytest.approx([t / 1000 for t in times], abs=1.5e-3)
    with pytest.raises(InputError, match="y4m has one duration"):
        write_video_signal(signal, tmp_path / "b.y4m")
    assert not (tmp_path / "b.y4m").exists()


def test_frames_can_be_asked_for_again_and_from_a_pipe(tmp_path):
    path = written(tmp_path / "a.mkv", clip(4, 16, 16))
    signal = load_video(path)
    first, again = ([f.samples for f in signal.frames()] for _ in range(2))
    piped = [f.samples for f in load_video(io.BytesIO(path.read_bytes())).frames()]
    for a, b, c in zip(first, again, piped, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


def test_what_is_left_out_is_said(tmp_path):
    assert load_video(written(tmp_path / "b.mkv", clip(2, 16, 16), "yuv420p10le")).notes == (
        "reduced to 8 bits a sample",
    )


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_phone_that_was_turned_is_upright(tmp_path, models, quarters):
    """Its file says by how much to turn every frame (the matrix of the track)."""
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :8, :8] = 255
    upright = write_video_signal(video_signal(clip_signal(frames).frames, LAYOUT), tmp_path / "a.mp4")
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))[quarters]
    one = 2**16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 2**30)
    (tmp_path / "b.mp4").write_bytes(data)
    assert upright and run("encode", tmp_path / "b.mp4", "-o", tmp_path / "b.lec", "-q", 90, "--model", MODEL) == 0
    assert run("decode", tmp_path / "b.lec", "-o", tmp_path / "c.mkv") == 0
    back = read(tmp_path / "c.mkv")[0].mean(3)
    assert back.shape[1:] == ((32, 48) if quarters % 2 == 0 else (48, 32))
    corners = back[0, :6, :6], back[0, :6, -6:], back[0, -6:, -6:], back[0, -6:, :6]
    means = [float(corner.mean()) for corner in corners]
    assert int(np.argmax(means)) == quarters, means  # 90 degrees clockwise take the left top corner to the right top


@pytest.mark.parametrize("matrix, full", [(1, False), (5, True), (2, False)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_colours_are_described_as_they_were(tmp_path, models, matrix, full, suffix):
    """By the matrix of the source, which is said again; sent through the wrong one they would be off by ten levels."""
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:] = (200, 40, 90)
    layout = replace(LAYOUT, matrix=matrix, full_range=int(full), colour_primaries=matrix, transfer=matrix)
    write_video_signal(video_signal(clip_signal(frames).frames, layout), tmp_path / "a.mp4")
    signal = load_video(tmp_path / "a.mp4")
    assert np.abs(next(signal.frames()).samples[16, 24].astype(int) - (200, 40, 90)).max() <= 4
    assert run("encode", tmp_path / "a.mp4", "-o", tmp_path / "a.lec", "-q", 90, "--model", MODEL) == 0
    found = LecFile.open(tmp_path / "a.lec").layout
    assert isinstance(found, VideoLayout)
    assert (found.matrix, found.full_range, found.colour_primaries, found.transfer) == (matrix, full, matrix, matrix)
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / f"b{suffix}") == 0
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(container.streams.video[0]))
        assert (context.colorspace, frame.colorspace) == (matrix, matrix)
        assert (context.color_primaries, context.color_trc) == (matrix, matrix)
        assert frame.color_range == (2 if full else 1) or matrix == 2


def test_frames_of_their_own_times_go_through_a_file(tmp_path, models, capsys):
    """Variable frame rate: times come back, and seconds are those of the frames."""
    times = [0, 40, 45, 200, 1300]
    source = written(tmp_path / "a.mkv", clip(5, 32, 48), times=times)
    assert run("encode", source, "-o", tmp_path / "a.lec", "--group", 2, "--model", MODEL) == 0
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "b.mkv") == 0
    whole, found = read(tmp_path / "b.mkv")
    assert found == pytest.approx([t / 1000 for t in times], abs=1.5e-3)
    for options, part in (
        (("--from", "0.05", "--to", "0.3"), whole[2:4]),
        (("--from", "0.04", "--to", "0.045"), whole[1:2]),
        (("--from", "1.0"), whole[3:]),
        (("--frames", "4"), whole[4:]),
    ):
        assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "c.mkv", "-f", *options) == 0
        np.testing.assert_array_equal(read(tmp_path / "c.mkv")[0], part)
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "c.mkv", "-f", "--from", "99") == 1
    assert "the video has frames 0 to 4" in capsys.readouterr().err


def test_a_gif_that_moves_is_a_video(tmp_path, models, monkeypatch):
    """It was refused as several pictures; one that does not move is a picture still."""
    frames = [Image.fromarray(frame) for frame in clip(4, 24, 32)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 50, 200, 100], loop=0)
    frames[0].save(tmp_path / "b.gif")
    assert run("encode", tmp_path / "a.gif", "-o", tmp_path / "a.lec", "--model", MODEL) == 0
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "a.mkv") == 0
    back, times = read(tmp_path / "a.mkv")
    assert back.shape == (4, 24, 32, 3) and times == pytest.approx([0, 0.1, 0.15, 0.35], abs=2e-3)
    assert len(lecodec.Video(lecodec.encode(tmp_path / "a.gif", model=MODEL), model=MODEL)) == 4
    assert run("encode", tmp_path / "b.gif", "-o", tmp_path / "b.lec", "--lossless") == 0
    assert lecodec.decode(tmp_path / "b.lec").shape == (24, 32, 3)
    assert run("encode", tmp_path / "none.gif", "-o", tmp_path / "c.lec") == 1


def test_a_gif_that_ends_in_its_second_picture_is_refused_alone(tmp_path, capsys):
    """Looking whether it moves ended the command with a traceback, and with it all other files."""
    frames = [Image.fromarray(frame) for frame in clip(2, 24, 32)]
    frames[0].save(tmp_path / "b.gif")
    whole = (tmp_path / "b.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(whole[:-1] + b",")  # where a picture begins
    (tmp_path / "c.gif").write_bytes(whole[:6] + bytes([255] * 4) + whole[10:])  # more pixels than Pillow opens
    names = [tmp_path / f"{letter}.gif" for letter in "abc"]
    assert run("encode", *names, "-o", f"{tmp_path}/out/", "--lossless") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.gif.lec"]
    said = capsys.readouterr().err
    assert "a.gif" in said and "c.gif" in said and "Traceback" not in said


def test_odd_sizes_are_written(tmp_path):
    for suffix in (".mkv", ".mp4", ".y4m"):
        signal = clip_signal(clip(3, 33, 51))
        layout = type(signal.video_layout)(width=51, height=33, subsampling=2)
        write_video_signal(video_signal(signal.frames, layout), tmp_path / f"a{suffix}")
        assert read(tmp_path / f"a{suffix}")[0].shape == (3, 33, 51, 3)


def test_a_failure_half_way_leaves_nothing(tmp_path):
    def breaks():
        yield VideoFrame(clip(1, 16, 16)[0], 1000)
        raise InputError("no further")

    signal = video_signal(breaks, clip_signal(clip(1, 16, 16)).video_layout)
    for suffix in (".mp4", ".mkv", ".y4m"):
        with pytest.raises(InputError, match="no further"):
            write_video_signal(signal, tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("a.mp4", "empty.mp4"):
        with pytest.raises(InputError):
            load_video(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_video(tmp_path / "none.mp4")
    with pytest.raises(InputError, match=r"written as \.mp4"):
        check_video_output(tmp_path / "a.avi")


def test_names_of_videos():
    assert [medium_of(name).name for name in ("a.mp4", "b.MKV", "c.png", "d.npy")] == ["video", "video", "image", "set"]
    names = {"a.mkv.lec": "a.mkv", "a.avi.lec": "a.mp4", "a.lec": "a.mp4"}
    assert {name: decoded_name(name, medium_of("x.mp4")) for name in names} == names


# -- the command line


def test_a_clip_goes_through_the_command_line(tmp_path, models, capsys):
    source = written(tmp_path / "clip.mkv", clip(7, 32, 48), sound=True)
    coded = tmp_path / "clip.lec"
    assert run("encode", source, "-o", coded, "-q", 55, "--group", 3, "--model", MODEL, "--verify", "--json") == 0
    entry = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (entry["frames"], entry["width"], entry["notes"]) == (7, 48, [])
    assert entry["bytes_out"] == coded.stat().st_size and entry["fps"] == 20
    assert run("test", coded) == 0 and run("info", coded, "--json") == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["frames"], facts["length"], facts["model"]) == (7, 0.35, "tiny-video")
    assert run("decode", coded, "-o", tmp_path / "whole.mkv") == 0
    whole, times = read(tmp_path / "whole.mkv")
    assert whole.shape == (7, 32, 48, 3) and times[-1] == pytest.approx(0.3, abs=2e-3)
    for options, part in (
        (("--frames", "2-4"), whole[2:5]),
        (("--frames", "6"), whole[6:]),
        (("--from", "0.05", "--to", "0.2"), whole[1:4]),
        (("--from", "0.3"), whole[6:]),
    ):
        assert run("decode", coded, "-o", tmp_path / "part.mkv", "-f", *options) == 0
        np.testing.assert_array_equal(read(tmp_path / "part.mkv")[0], part)
    assert run("decode", coded, "-o", tmp_path / "none.mkv", "--frames", "7") == 1
    assert "the video has frames 0 to 6" in capsys.readouterr().err
    assert not (tmp_path / "none.mkv").exists()
    assert run("decode", coded, "-o", tmp_path / "none.mkv", "--item", "1") == 1
    assert run("decode", coded, "-o", tmp_path / "none.mkv", "--frames", "1", "--from", "1") == 2
    assert run("decode", GOLDEN / "colour-v1.lec", "-o", tmp_path / "none.png", "--frames", "1") == 1
    assert "a picture, not a video" in capsys.readouterr().err


def test_pipes_carry_videos(tmp_path, models):
    source = written(tmp_path / "clip.mkv", clip(3, 16, 24))
    command = [sys.executable, "-m", "lecodec"]
    coded = subprocess.run(
        [*command, "decode", "-"], input=(GOLDEN / "video" / "closed.lec").read_bytes(), capture_output=True, check=True
    ).stdout
    with av.open(io.BytesIO(coded), "r") as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 6
    assert run("encode", source, "-o", tmp_path / "a.lec", "--low-delay", "--model", MODEL) == 0
    layout = LecFile.open(tmp_path / "a.lec").layout
    assert layout.facts(1)["frames"] == 3


def test_a_video_on_standard_input_is_known_by_its_first_bytes(tmp_path, models, monkeypatch):
    """It was taken for a picture."""
    source = written(tmp_path / "clip.mkv", clip(3, 16, 24))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    assert run("encode", "-", "-o", tmp_path / "a.lec", "--model", MODEL) == 0
    assert LecFile.open(tmp_path / "a.lec").layout.facts(1)["frames"] == 3


class Meter(io.RawIOBase):
    """A pipe that says how much has been taken from it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.taken = data, 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        piece = self.data[self.taken :][: count if count >= 0 else None]
        self.taken += len(piece)
        return piece


class Log(io.BytesIO):
    """Standard output: of everything that is written, how much of a pipe had been taken by then."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter, self.pieces = meter, list[tuple[int, int]]()

    def write(self, data) -> int:
        self.pieces.append((self.meter.taken, len(data)))
        return super().write(data)

    def seekable(self) -> bool:
        return False


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes, *arguments: str) -> tuple[bytes, list[tuple[int, int]]]:
    """Run a command from standard input to standard output."""
    meter = Meter(data)
    log = Log(meter)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=meter, isatty=lambda: False))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=log, isatty=lambda: False, flush=lambda: None))
    with pytest.raises(SystemExit) as exit:
        main(list(arguments))
    monkeypatch.undo()
    assert not exit.value.code
    return log.getvalue(), log.pieces


@pytest.mark.parametrize("form", ["y4m", "mkv"])
def test_a_pipe_is_coded_as_it_comes(tmp_path, monkeypatch, form):
    """Each group leaves when its frames, and the few behind it that are looked at, have come; and comes back so."""
    frames = np.random.default_rng(0).integers(0, 256, (30, 96, 128, 3), np.uint8)
    write_video_signal(clip_signal(frames, 20), tmp_path / f"a.{form}")
    source = (tmp_path / f"a.{form}").read_bytes()
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    coded, pieces = piped(monkeypatch, source, "encode", "-", "--model", MODEL, "--group", "4", "-q", "20")
    each = len(source) / 30
    assert len(pieces) > 6
    for number, (taken, _) in enumerate(pieces[:5]):
        assert taken <= each * (4 * number + 7) + 2**16, number
    facts = LecFile.open(coded).layout.facts(len(coded))
    assert (facts["frames"], facts["length"]) == (30, 1.5)
    groups = [group.data.offset + len(group.data.payload) + 4 for group in LecFile.open(coded).groups()]
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    raw, pieces = piped(monkeypatch, coded, "decode", "-", "--format", "rgb")
    size = 96 * 128 * 3
    assert len(raw) == 30 * size and pieces[0][0] <= groups[0]  # the first frame needs its own group alone
    for number, (taken, _) in enumerate(pieces[1:16]):
        assert taken <= groups[(number + 1) // 4 + 1]
    codec = load(MODEL, of=VideoCodec)
    np.testing.assert_array_equal(np.frombuffer(raw, np.uint8).reshape(30, 96, 128, 3), codec.decode(coded))
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    for other, kind in (("y4m", b"YUV4MPEG2"), ("mkv", b"\x1a\x45\xdf\xa3")):
        if form == "y4m" or other == "mkv":
            assert piped(monkeypatch, coded, "decode", "-", "--format", other)[0].startswith(kind)
            monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    cut, _ = piped(monkeypatch, coded, "decode", "-", "--format", "rgb", "--frames", "9-10")
    assert cut == raw[9 * size : 11 * size]


def test_a_target_of_a_pipe_is_met_too(tmp_path, monkeypatch):
    """Its frames are needed several times: it is copied to a temporary file."""
    write_video_signal(clip_signal(clip(4, 48, 64)), tmp_path / "a.y4m")
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))
    source = (tmp_path / "a.y4m").read_bytes()
    coded, _ = piped(monkeypatch, source, "encode", "-", "--model", MODEL, "--size", "420")
    assert 330 < len(coded) <= 420


def test_a_stream_that_was_cut_gives_what_there_is(tmp_path, monkeypatch, models, capsys):
    """Its groups come, then it fails; a file is not made from it."""
    data = load(MODEL, of=VideoCodec).encode_signals([in_groups(clip_signal(clip(12, 32, 48)), 4, False)], Target())[0]
    for place in (len(data) - 1, len(data) - 30):
        (tmp_path / "a.lec").write_bytes(data[:place])
        assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "a.mkv") == 1
        assert "the file ends" in capsys.readouterr().err and not (tmp_path / "a.mkv").exists()
        assert run("test", tmp_path / "a.lec") == 1
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Meter(data[:place]), isatty=lambda: False))
        assert run("decode", "-", "-o", tmp_path / "a.mkv") == 1 and not (tmp_path / "a.mkv").exists()


def test_signals_of_videos_hold_no_samples():
    signal = in_groups(clip_signal(clip(2, 8, 8)), 1, False)
    assert isinstance(signal, VideoSignal) and not signal.samples.size and signal.group == 1
