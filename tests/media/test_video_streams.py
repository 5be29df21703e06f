"""What goes with the pictures of a video: sound and subtitles come back packet by packet, at their times."""

from __future__ import annotations

import io
import random
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lecodec.bitstream import LecFile, parse
from lecodec.bitstream.packets import Packet, pack_packets, unpack_packets
from lecodec.cli.main import main
from lecodec.codec.media.pipe import Pipe
from lecodec.codec.media.video_files import load_video
from lecodec.codec.media.video_write import write_video_signal
from lecodec.errors import CorruptFile, InputError

from ..make_golden import clip

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = str(GOLDEN / "tiny-video.safetensors")
FRAMES = clip(20, 32, 48)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECODEC_MODELS", str(GOLDEN))


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


def movie(path: Path, codec: str = "aac", subtitles: str = "", first: int = 0) -> Path:
    """A second of video at 20 frames a second, whose first frame is number `first`, with a tone, a title and two
    chapters.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4" if path.suffix != ".webm" else "libvpx-vp9", rate=20)
        video.width, video.height = 48, 32
        sound = container.add_stream(codec, rate=48000)
        sound.layout = "stereo"
        text = container.add_stream(subtitles) if subtitles else None
        if text is not None:
            text.metadata["language"] = "fra"
            text.codec_context.subtitle_header = b"[Script Info]\n\n[Events]\n"
        container.metadata["title"] = "A title"
        container.set_chapters(
            [
                {
                    "id": n,
                    "start": 400 * n,
                    "end": 400 * n + 400,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": t},
                }
                for n, t in enumerate(("one", "two"), 1)
            ]
        )
        for number, samples in enumerate(FRAMES, first):
            frame = av.VideoFrame.from_ndarray(samples, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 20)
            container.mux(video.encode(frame))
        kind = sound.codec_context.format.name
        each = sound.codec_context.frame_size or 960
        for at in range(0, 48000, each):
            tone = 0.3 * np.sin((at + np.arange(each)) / 9)
            plain = np.stack([tone, tone]).astype(np.float32)
            if not kind.endswith("p"):
                plain = (plain.T.reshape(1, -1) * 2**15).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(plain, kind, "stereo")
            frame.sample_rate, frame.pts = 48000, at
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))
        for number in range(2 * (text is not None)):
            packet = av.Packet(f"0,0,Default,,0,0,0,,line {number}".encode() if subtitles == "ass" else b"a line")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = 200 + 300 * number
            packet.duration = 250
            container.mux(packet)
    return path


def packets(path: Path, kind: str = "audio") -> list[tuple[float, bytes]]:
    """Time and bytes of each packet of the first stream of a kind, from the first frame's time."""
    with av.open(str(path)) as container:
        first = next(container.decode(container.streams.video[0])).time or 0
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        found = [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]
        return [(float(time) - first, data) for time, data in found]


def facts(path: Path) -> dict:
    with av.open(str(path)) as container:
        return {
            "title": container.metadata.get("title"),
            "chapters": [
                (float(c["start"] * c["time_base"]), c["metadata"].get("title")) for c in container.chapters()
            ],
            "kinds": sorted(s.type for s in container.streams if s.type in ("audio", "subtitle", "video")),
            "languages": [s.language for s in container.streams if s.type == "subtitle"],
        }


def same(a: list[tuple[float, bytes]], b: list[tuple[float, bytes]]) -> None:
    assert [data for _, data in a] == [data for _, data in b]
    assert [t for t, _ in a] == pytest.approx([t for t, _ in b], abs=1.1e-3)


@pytest.mark.parametrize(
    "source, codec, to, kept",
    [
        (".mp4", "aac", ".mp4", True),
        (".mp4", "aac", ".mkv", True),
        (".mp4", "aac", ".mov", True),
        (".mp4", "aac", ".webm", False),
        (".mkv", "libopus", ".webm", True),
        (".mkv", "libopus", ".mp4", True),
        (".mkv", "flac", ".mkv", True),
        (".mkv", "pcm_s16le", ".mov", True),
        (".mkv", "pcm_s16le", ".mp4", False),
        (".mp4", "aac", ".y4m", False),
    ],
)
def test_sound_comes_back_packet_by_packet(tmp_path, source, codec, to, kept):
    signal = load_video(movie(tmp_path / f"a{source}", codec))
    _, notes = write_video_signal(signal, tmp_path / f"b{to}")
    if kept and codec.startswith("pcm"):  # which mov cuts otherwise
        whole = [b"".join(data for _, data in packets(tmp_path / f"{of}")) for of in (f"a{source}", f"b{to}")]
        assert whole[0] == whole[1] and notes == ()
    elif kept:
        same(packets(tmp_path / f"a{source}"), packets(tmp_path / f"b{to}"))
        assert notes == () and facts(tmp_path / f"b{to}")["title"] == "A title"
    else:
        (note,) = notes
        assert note.startswith("sound (") and note.endswith(f"left out: {to} does not hold it")
        assert facts(tmp_path / f"b{to}")["kinds"] == ["video"]


def test_it_goes_through_a_file_whole_and_in_part(tmp_path, models):
    """Of a part the packets of its time come, which begins anew; chapters move with it."""
    source = movie(tmp_path / "a.mkv", "libopus", "ass")
    assert run("encode", source, "-o", tmp_path / "a.lec", "--model", MODEL, "--group", 5) == 0
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "b.mkv") == 0
    for kind in ("audio", "subtitle"):
        same(packets(source, kind), packets(tmp_path / "b.mkv", kind))
    assert facts(tmp_path / "b.mkv") == facts(source)
    assert facts(source)["chapters"] == [(0.4, "one"), (0.8, "two")] and facts(source)["languages"] == ["fra"]
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "c.mkv", "--frames", "7-13") == 0
    part = [(t - 0.35, data) for t, data in packets(source) if 0.35 <= t < 0.7]
    same(part, packets(tmp_path / "c.mkv"))
    assert [t for t, _ in packets(tmp_path / "c.mkv", "subtitle")] == pytest.approx([0.15], abs=2e-3)
    assert facts(tmp_path / "c.mkv")["chapters"] == [(0.05, "one"), (0.45, "two")]
    for options, of in (((), "b"), (("--no-audio",), "d")):
        assert run("decode", tmp_path / "a.lec", "-f", *options, "-o", tmp_path / f"{of}.mkv") == 0
    assert facts(tmp_path / "d.mkv")["kinds"] == ["video"] and facts(tmp_path / "d.mkv")["title"] == "A title"
    assert run("encode", source, "-o", tmp_path / "e.lec", "--model", MODEL, "--no-audio") == 0
    assert not any(parse((tmp_path / "e.lec").read_bytes()).packets)
    assert run("decode", tmp_path / "e.lec", "-o", tmp_path / "e.mkv") == 0
    assert facts(tmp_path / "e.mkv")["kinds"] == ["video"] and len(facts(tmp_path / "e.mkv")["chapters"]) == 2


def test_the_same_input_gives_the_same_bytes(tmp_path, models):
    """FFmpeg draws numbers for the tracks of Matroska files."""
    source = movie(tmp_path / "a.mkv", "libopus")
    for name in ("b", "c"):
        assert run("encode", source, "-o", tmp_path / f"{name}.lec", "--model", MODEL) == 0
    assert (tmp_path / "b.lec").read_bytes() == (tmp_path / "c.lec").read_bytes()


def test_times_count_from_the_first_frame(tmp_path):
    source = movie(tmp_path / "a.mkv", "libopus", first=10)
    write_video_signal(load_video(source), tmp_path / "b.mkv")
    same(packets(source), packets(tmp_path / "b.mkv"))
    assert packets(source)[0][0] < -0.4


def test_packets_are_with_the_group_of_their_time(tmp_path, models):
    source = movie(tmp_path / "a.mp4")
    assert run("encode", source, "-o", tmp_path / "a.lec", "--model", MODEL, "--group", 5) == 0
    file = LecFile.open(tmp_path / "a.lec")
    groups = list(file.groups())
    assert len(groups) > 2
    for number, group in enumerate(groups):
        found = list(unpack_packets(group.packets))
        lasts = group.ticks * 50_000
        assert found and all(p.time < lasts or number == len(groups) - 1 for p in found)
        assert all(p.time >= 0 or number == 0 for p in found)


@pytest.mark.parametrize("form", ["matroska", "mpegts"])
def test_a_pipe_brings_its_sound(tmp_path, models, monkeypatch, form):
    source = movie(tmp_path / ("a.mkv" if form == "matroska" else "a.ts"), "libopus" if form == "matroska" else "mp2")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    assert run("encode", "-", "-o", tmp_path / "a.lec", "--model", MODEL, "--group", 4) == 0
    assert run("decode", tmp_path / "a.lec", "-o", tmp_path / "b.mkv") == 0
    same(packets(source), packets(tmp_path / "b.mkv"))


def test_a_pipe_is_read_once(tmp_path):
    signal = load_video(Pipe(io.BytesIO(movie(tmp_path / "a.mkv", "libopus").read_bytes())))
    assert sum(1 for _ in signal.frames()) == 20 and signal.bytes_read() > 1000
    with pytest.raises(InputError, match="a pipe is read once"):
        list(signal.frames())


def test_packets_come_back_from_their_bytes():
    rng = random.Random(3)
    made = [
        Packet(
            rng.randrange(3),
            rng.randrange(-(10**6), 10**7),
            rng.choice((0, 20000, 21333)),
            rng.random() < 0.5,
            b"x" * n,
        )
        for n in (0, 1, 127, 128, 5000, 9)
    ]
    (payload,) = pack_packets(made)
    assert list(unpack_packets([payload])) == made and pack_packets([]) == []
    steady = [Packet(0, 20000 * n, 20000, True, b"abc") for n in range(100)]
    assert len(pack_packets(steady)[0]) <= 100 * (3 + 3) + 4
    for wrong in (made[0]._replace(stream=64), made[0]._replace(duration=2**35), made[0]._replace(time=2**40)):
        with pytest.raises(InputError):
            pack_packets([wrong])
    large = [Packet(0, n, 1, True, bytes(2**23)) for n in range(3)]
    assert len(pack_packets(large)) == 3 and list(unpack_packets(pack_packets(large))) == large
    for _ in range(400):
        damaged = bytearray(payload[:80])
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            list(unpack_packets([bytes(damaged[: rng.randrange(1, 80)])]))
        except CorruptFile:
            pass


def test_a_description_that_is_none_is_named(tmp_path):
    from dataclasses import replace

    signal = load_video(movie(tmp_path / "a.mp4"))
    for wrong in (b"nothing", signal.metadata.streams[:40]):
        with pytest.raises(CorruptFile, match="sTRM"):
            write_video_signal(replace(signal, metadata=replace(signal.metadata, streams=wrong)), tmp_path / "b.mkv")
    assert not (tmp_path / "b.mkv").exists()
