"""Videos: files come back, parts are parts of the whole, damage is named, and FORMAT.md says enough to read them."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lecodec
from lecodec.bitstream import LecFile, VideoLayout, frame, pack, parse
from lecodec.bitstream.groups import ALONE, GIVEN, VECTORS, coding_order, pack_group, unpack_group
from lecodec.bitstream.limits import MAX_GROUP
from lecodec.bitstream.packets import unpack_packets
from lecodec.codec import refine
from lecodec.codec.codec import Target
from lecodec.codec.image import fixed_quality
from lecodec.codec.media.part import Frames, Region
from lecodec.codec.media.video_signal import VideoFrame, clip_signal, in_groups
from lecodec.codec.model_file import load_tensors
from lecodec.codec.objective import objective_of
from lecodec.codec.registry import load
from lecodec.codec.transforms import replica
from lecodec.codec.video import VideoCodec
from lecodec.codec.video_groups import is_cut, next_group, thumbnail
from lecodec.codec.video_targets import _taken
from lecodec.entropy import context_coding, spatiotemporal_coding
from lecodec.entropy.runtime import runtime_of
from lecodec.errors import CodecError, CorruptFile, InputError, LimitExceeded, ModelError, UnknownModel

from .. import reader
from ..container_examples import contents_of
from ..make_golden import clip, latents_of
from ..replica_reader import Replica
from ..video_reader import VideoModel, group_latents, packets_of, read_group_chunk, video_digest

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = json.loads((GOLDEN / "video" / "expected.json").read_text())
QUALITY = Target("quality", 55)


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return load(GOLDEN / "tiny-video.safetensors", of=VideoCodec)


@pytest.fixture(scope="module")
def model() -> VideoModel:
    own, image = reader.Model(GOLDEN / "tiny-video.safetensors").tensors, GOLDEN / "tiny-context.safetensors"
    return VideoModel(reader.Model(image), own, Replica(load_tensors(image), linear=False))


def golden(name: str) -> bytes:
    return (GOLDEN / "video" / f"{name}.lec").read_bytes()


def frames_of(codec: VideoCodec, data: bytes, part: Frames | None = None) -> np.ndarray:
    (signal,) = codec.decode_files([LecFile.open(data)], part)
    return np.stack([f.samples for f in signal.frames()])  # pyright: ignore[reportAttributeAccessIssue]


# -- golden files, and the specification


@pytest.mark.parametrize("name", FILES)
def test_golden_files_decode_as_they_did(codec, name):
    data = golden(name.removesuffix(".lec"))
    assert latents_of(codec, data) == FILES[name]["latents"]
    picture = np.asarray(Image.open(GOLDEN / "video" / FILES[name]["picture"]))
    decoded = np.concatenate(list(codec.decode(data)), 0)
    assert np.abs(decoded.astype(int) - picture).max() <= 1
    codec.test(data)


@pytest.mark.parametrize("name", FILES)
def test_an_independent_reader_finds_the_same_latents(codec, model, name):
    """Sections 22 to 25 of FORMAT.md."""
    data = golden(name.removesuffix(".lec"))
    file = reader.read_file(data)
    assert file.header["parse_digest"] == video_digest(model) == codec.parse_digest
    found = [y_hat for number in range(len(file.groups)) for y_hat in group_latents(model, file, number)]
    ours = [decoded.latents.y_hat for decoded in codec.latents(data)]
    assert len(found) == len(ours)
    for theirs, own in zip(found, ours, strict=True):
        np.testing.assert_array_equal(theirs, own)


def test_golden_files_have_every_mode_and_structure():
    modes, closed = set(), set()
    for name in FILES:
        file = reader.read_file(golden(name.removesuffix(".lec")))
        for number in range(len(file.groups)):
            group = read_group_chunk(file, number)
            modes |= {mode for mode, _, _ in group["coded"]}
            closed.add(group["closed"])
    assert modes >= {ALONE, GIVEN, GIVEN + VECTORS} and closed == {True, False}


@pytest.mark.parametrize("name", ["announced", "announced-ticks"])
def test_an_independent_reader_finds_the_same_packets(name):
    data = golden(name)
    file = reader.read_file(data)
    groups = list(LecFile.open(data).groups())
    assert [(group.frames, group.ticks) for group in groups] == file.groups == list(LecFile.open(data).layout.groups)
    found = [packets_of(file, number) for number in range(len(groups))]
    assert found == [[tuple(p) for p in unpack_packets(group.packets)] for group in groups]
    assert len({packet[0] for packets in found for packet in packets}) == 2
    assert file.metadata[b"sTRM"] == LecFile.open(data).metadata.streams


def test_bytes_of_announcements_are_judged_alike():
    """Of LVID, of LGRP, of a description and of what is between groups, with right CRCs: refused by both or by none."""
    chunks, rng = contents_of(golden("announced")), random.Random(5)
    start = b"\x8cLEC\r\n\x1a\n"
    assert [type for type, _ in chunks][:6] == [b"LHDR", b"LVID", b"sTRM", b"LGRP", b"sPKT", b"LDAT"]
    accepted = 0
    for _ in range(500):
        changed = list(chunks)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(1, len(changed))
            type, payload = changed[at]
            kind = rng.randrange(5)
            if kind == 0:
                del changed[at]
            elif kind == 1:
                changed.insert(at, rng.choice([*chunks, (b"exMp", b"hi"), (b"iNDX", b""), (b"LNEW", b"")]))
            elif kind == 2 and payload:
                place = rng.randrange(min(len(payload), 30))
                value = rng.choice((0, 1, 2, 4, 129, 255))
                changed[at] = type, payload[:place] + bytes([value]) + payload[place + 1 :]
            elif kind == 3:
                changed[at] = type, payload[: rng.randrange(len(payload) + 1)]
            else:
                changed[at] = rng.choice((b"LGRP", b"sPKT", b"LDAT", b"exMp", b"sTRM")), payload
        data = start + b"".join(frame(*chunk) for chunk in changed)
        found = verdict(parse, data)
        assert found == verdict(reader.read_file, data), [type for type, _ in changed]
        assert found == verdict(lambda data: list(LecFile.open(Pipe(data)).groups()), data)
        accepted += found == "fine"
    assert 30 < accepted < 400


def test_one_byte_at_a_time_is_judged_alike():
    """Of LVID and of a group, with right CRCs: refused by both or by none."""
    data = golden("ticks")
    length = int.from_bytes(data[41:45], "little")
    payload, rest = data[49 : 49 + length], data[53 + length :]
    for at in range(length):
        for value in (0, 1, 2, 4, 5, 6, 64, 128, 129, 255):
            changed = data[:41] + frame(b"LVID", payload[:at] + bytes([value]) + payload[at + 1 :]) + rest
            assert verdict(reader.read_file, changed) == verdict(parse, changed), (at, value)


def test_mutated_groups_are_judged_alike():
    rng, accepted = random.Random(1), 0
    for name in ("ticks", "chain", "groups", "moved"):
        file = parse(golden(name))
        layout = file.header.layout
        assert isinstance(layout, VideoLayout)
        for _ in range(300):
            number = rng.randrange(layout.units)
            payload = bytearray(file.data[number].payload)
            for _ in range(rng.choice((1, 1, 2))):
                payload[rng.randrange(min(len(payload), 40))] = rng.choice(
                    (0, 1, 2, 3, 127, 128, 255, rng.randrange(256))
                )
            if rng.random() < 0.3:
                payload = payload[: rng.randrange(len(payload))]
            theirs = reader.read_file(golden(name))
            theirs.data[number] = theirs.data[number][0], bytes(payload)
            found = verdict(partial(group_at, layout, number), bytes(payload))
            assert found == verdict(partial(read_group_chunk, theirs), number)
            accepted += found == "fine"
    assert 50 < accepted < 1100


def group_at(layout: VideoLayout, number: int, payload: bytes) -> None:
    """What the codec does with a data chunk of a group."""
    frames, ticks = layout.groups[number]
    group = unpack_group(payload, 0, frames, not layout.duration, number == layout.units - 1)
    if group.durations and sum(group.durations) != ticks:
        raise CorruptFile("ticks")


def verdict(read, data) -> str:
    try:
        read(data)
        return "fine"
    except reader.Refused as refused:
        return refused.name
    except CodecError as error:
        return type(error).__name__


# -- round trips


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 17, 33), (9, 40, 24), (34, 16, 16)])
@pytest.mark.parametrize("how", [(0, False), (3, False), (1, False), (5, True)])
def test_every_frame_comes_back(codec, shape, how):
    frames, height, width = shape
    source = clip(frames, height, width)
    data = codec.encode_signals([in_groups(clip_signal(source, 30), *how)], QUALITY)[0]
    decoded = codec.decode(data)
    assert decoded.shape == source.shape and decoded.dtype == np.uint8
    layout = LecFile.open(data).layout
    assert isinstance(layout, VideoLayout) and layout.frames == frames and float(layout.seconds) == frames / 30
    assert how[0] == 0 or max(n for n, _ in layout.groups) <= max(how[0] + how[0] // 2, how[0])
    if height > 16:
        assert np.abs(decoded.astype(int) - source).mean() < 40
    codec.test(data)


def test_a_part_is_a_part_of_the_whole(codec):
    data = golden("groups")
    whole = codec.decode(data)
    for first, stop in ((0, 1), (3, 5), (4, 8), (7, 9), (10, 11), (0, 11)):
        np.testing.assert_array_equal(frames_of(codec, data, Frames(first, stop)), whole[first:stop])
        pipe = LecFile.open(Pipe(data))
        (signal,) = codec.decode_files([pipe], Frames(first, stop))
        np.testing.assert_array_equal(np.stack([f.samples for f in signal.frames()]), whole[first:stop])
    np.testing.assert_array_equal(frames_of(codec, data, Frames(0.04, 0.13, True)), whole[1:4])
    for part in (Frames(0, 12), Frames(5, 5), Frames(3.0, None, True)):
        with pytest.raises(InputError, match="the video has frames 0 to 10"):
            frames_of(codec, data, part)
    with pytest.raises(InputError, match="a video"):
        codec.decode_files([LecFile.open(data)], Region(0, 0, 1, 1))


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def test_a_frame_is_reached_without_reading_the_rest(codec, monkeypatch):
    """Few groups are read, and few frames are decoded: its group's first one, the next group's, and those between."""
    source = clip(34, 32, 32)
    data = codec.encode_signals([in_groups(clip_signal(source), 8, False)], QUALITY)[0]
    decoded = []
    original = codec.coding.decode
    monkeypatch.setattr(codec.coding, "decode", lambda *a: (decoded.append(1), original(*a))[1])
    stream = Counting(data)
    (signal,) = codec.decode_files([LecFile.open(stream)], Frames(13, 14))
    (found,) = signal.frames()
    assert len(decoded) <= 5 and stream.taken < 0.6 * len(data)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.samples, codec.decode(data)[13])


class Counting(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        out = super().read(size)
        self.taken += len(out)
        return out


@pytest.mark.parametrize("name", ["closed", "moved"])
def test_latents_do_not_depend_on_threads_runtime_or_bands(codec, monkeypatch, name):
    data = golden(name)
    whole = [found.latents.digest() for found in codec.latents(data)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert [found.latents.digest() for found in codec.latents(data)] == whole
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(codec.coding, "device", "numpy")
    monkeypatch.setattr(codec.replica, "_runtime", runtime_of("numpy"))
    monkeypatch.setitem(replica.STRIP, "cpu", 17)
    assert [found.latents.digest() for found in codec.latents(data)] == whole
    for module in (context_coding, spatiotemporal_coding):
        monkeypatch.setattr(module, "BAND", 3)
    assert [found.latents.digest() for found in codec.latents(data)] == whole


def test_a_frame_is_never_dearer_than_alone(codec):
    """On a cut, in the middle of a group that is forced over it: frames between two that are nothing like them."""
    one, other = clip(6, 64, 80), np.ascontiguousarray(255 - clip(6, 64, 80)[:, ::-1, ::-1])
    data = codec.encode_signals([in_groups(clip_signal(np.concatenate([one, other])[2:11]), 8, False)], QUALITY)[0]
    layout = LecFile.open(data).layout
    assert isinstance(layout, VideoLayout)
    for number, chunk in enumerate(parse(data).data):
        frames, last = layout.groups[number][0], number == layout.units - 1
        group = unpack_group(chunk.payload, 0, frames, False, last)
        for step, coded in zip(group.order, group.frames, strict=True):
            source = np.concatenate([one, other])[2:11][layout.starts[number] + step.frame]
            transform = codec._transform(layout)
            y = transform.at_rate(transform.analyse(source, group.quality), group.quality, group.rates[step.level])
            rate = group.rates[step.level]
            alone, _ = codec.coding.encode(y, partial(transform.above, y, rate), rate, step, None)
            assert len(coded.payload) <= len(alone.payload)


def test_cuts_begin_groups(codec):
    one, other = clip(9, 32, 48), 255 - clip(9, 32, 48)
    data = codec.encode_signals([clip_signal(np.concatenate([one, other]))], QUALITY)[0]
    layout = LecFile.open(data).layout
    assert isinstance(layout, VideoLayout) and 9 in layout.starts
    flat = [thumbnail(np.full((20, 30, 3), n, np.uint8)) for n in (0, 90, 180, 10)]
    assert is_cut(flat[0], flat[2], flat[2], 1.0) and not is_cut(flat[0], flat[1], flat[2], 90.0)
    assert thumbnail(np.zeros((3, 2, 3), np.uint8)).shape == (8, 8, 3)


def test_what_is_left_of_a_shot_is_one_group():
    """Thirty-two frames to the end, one fewer than a group of 32 and its right end, are not cut into 16, 8 and 8."""
    assert next_group(32, 64, True) == (32, True) and next_group(65, 64, True) == (65, True)
    assert next_group(65, 64, False) == (64, False) and next_group(66, 64, True) == (64, False)
    assert next_group(9, 8, True) == (9, True) and next_group(12, 8, True) == (8, False)
    assert next_group(1, 1, True) == (1, True) and next_group(3, 1, True) == (1, False)


# -- damage


@pytest.mark.parametrize("name", ["groups", "ticks", "announced", "moved"])
def test_every_flipped_bit_is_noticed(codec, name):
    data = golden(name)
    rng = random.Random(0)
    for bit in rng.sample(range(8 * len(data)), 300):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodecError):
            codec.decode(bytes(damaged))
    for end in rng.sample(range(len(data)), 60):
        with pytest.raises(CodecError):
            codec.decode(data[:end])


def test_a_damaged_group_is_named_and_costs_no_other(codec):
    """With right CRCs, so that only digests tell."""
    data = golden("groups")
    file = parse(data)
    whole = codec.decode(data)
    rng = random.Random(2)
    for _ in range(40):
        chunks = [(c.digest, c.payload) for c in file.data]
        payload = bytearray(chunks[1][1])
        payload[rng.randrange(14, len(payload))] ^= 1 << rng.randrange(8)
        chunks[1] = chunks[1][0], bytes(payload)
        damaged = pack(file.header, chunks, (), file.metadata)
        with pytest.raises(CorruptFile):
            codec.test(damaged)
        (signal,) = codec.decode_files([LecFile.open(damaged)])
        found = []
        with pytest.raises(CorruptFile):
            for each in signal.frames():
                found.append(each.samples)
        assert len(found) in (1, 5, 7) and all(map(np.array_equal, found, whole))
        np.testing.assert_array_equal(frames_of(codec, damaged, Frames(8, 11)), whole[8:])


def test_a_file_of_another_model_or_medium_is_refused(codec, tiny_model):
    file = parse(golden("frame"))
    other = replace(file.header, parse_digest=bytes(8))
    with pytest.raises(UnknownModel, match="parse digest"):
        codec.decode(pack(other, [(c.digest, c.payload) for c in file.data], (), file.metadata))
    with pytest.raises(UnknownModel, match="holds no video"):
        codec.decode((GOLDEN / "colour-v1.lec").read_bytes())
    with pytest.raises(ModelError, match="not video"):
        load(model=tiny_model, of=VideoCodec)
    with pytest.raises(CodecError):
        lecodec.load(model=tiny_model).decode(golden("frame"))


def test_claims_are_checked_before_memory_is_taken():
    for fields, groups in (
        ({"width": 2**14, "height": 2**14}, ((1, 1),)),
        ({"width": 4096, "height": 4096}, ((100, 100),)),
        ({"width": 2**21, "height": 1}, ((1, 1),)),
    ):
        with pytest.raises(LimitExceeded):
            VideoLayout(**fields, groups=groups)  # pyright: ignore[reportArgumentType]
    for groups in (((0, 0),), ((MAX_GROUP + 1, 200),)):
        with pytest.raises(InputError):
            VideoLayout(width=16, height=16, groups=groups)
    with pytest.raises(InputError, match="at least one frame"):
        VideoLayout(width=16, height=16).pack()


def test_a_small_file_cannot_claim_a_large_frame(codec):
    file = parse(golden("frame"))
    layout = replace(file.header.layout, width=8000, height=8000)
    damaged = pack(replace(file.header, layout=layout), [(c.digest, c.payload) for c in file.data], (), file.metadata)
    with pytest.raises(CorruptFile, match="cannot hold"):
        codec.test(damaged)


# -- what is encoded


def test_inputs_that_are_no_clips_are_refused(codec):
    for wrong in (np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.uint16), np.zeros((0, 4, 4, 3), np.uint8)):
        with pytest.raises(InputError):
            codec.encode(wrong)
    with pytest.raises(InputError, match="65 frames a group"):
        in_groups(clip_signal(clip(2, 8, 8)), 65, False)
    with pytest.raises(InputError, match="no target"):
        codec.encode_signals([clip_signal(clip(2, 16, 16))], Target("ssimulacra2", 30.0))
    signal = clip_signal(clip(2, 16, 16))
    other = replace(signal, frames=lambda: iter([VideoFrame(f, 1) for f in (clip(1, 16, 16)[0], clip(1, 8, 16)[0])]))
    with pytest.raises(InputError, match="frame 1 is 8x16x3"):
        codec.encode_signals([other], QUALITY)
    with pytest.raises(InputError, match="no frames"):
        codec.encode_signals([replace(signal, frames=lambda: iter(()))], QUALITY)


def test_sizes_and_rates_are_met(codec):
    source = clip(4, 48, 64)
    data = codec.encode(source, size=420)
    assert 370 < len(data) <= 420
    data = codec.encode(source, bpp=0.25)
    assert abs(len(data) - 0.25 * 4 * 48 * 64 / 8) <= 16
    with pytest.raises(InputError, match="out of reach: it takes"):
        codec.encode(source, size=50)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR over all samples, in dB."""
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


def test_rates_in_time_and_distances_are_met(codec):
    source = clip(5, 48, 64)
    data = codec.encode(source, kbps=18, fps=20)
    assert abs(len(data) - 18 * 125 * 5 / 20) <= max(0.015 * len(data), 20)
    source = source[:2, :24, :32]
    worst, best = (distance(source, codec.decode(codec.encode(source, quality))) for quality in (1, 100))
    wanted = (worst + best) / 2
    assert abs(distance(source, codec.decode(codec.encode(source, psnr=wanted))) - wanted) <= 0.1
    with pytest.raises(InputError, match="out of reach: it gets"):
        codec.encode(source, psnr=70)
    with pytest.raises(InputError, match="has no bit rate"):
        still = replace(clip_signal(source[:1]), frames=lambda: iter([VideoFrame(source[0], 0)]))
        still = replace(still, layout=replace(still.video_layout, duration=0))
        codec.encode_signals([still], Target("kbps", 10.0))


def test_a_search_asks_a_sample_and_encodes_few_times(codec, monkeypatch):
    """Of a long video some windows; all of it is encoded once for each correction."""
    windows = _taken(120, clip_signal(clip(1, 16, 16)).video_layout)
    assert [len(w) for w in windows] == [33, 33, 33] and (windows[0].start, windows[-1].stop) == (0, 120)
    monkeypatch.setattr("lecodec.codec.video_targets.LENGTHS", (5, 2))
    signal = clip_signal(clip(24, 16, 16))
    assert _taken(15, signal.video_layout) == [range(15)]
    large = replace(signal.video_layout, width=8000, height=8000)
    assert _taken(500, large) == [range(250, 251)]
    whole, original = [], codec._trial
    monkeypatch.setattr(codec, "_trial", lambda s, *a: (whole.append(s.count), original(s, *a))[1])
    (data,) = codec.encode_signals([signal], Target("bpp", 0.5))
    assert abs(len(data) - 0.5 * 24 * 16 * 16 / 8) <= 4 * 24
    assert 1 <= whole.count(24) <= 4 and whole.count(5) >= 3


def test_orders_code_every_frame_once_after_its_references():
    for frames in range(1, 70):
        for closed, chain in ((True, False), (False, False), (True, True)):
            known = set() if closed else {frames}
            for step in coding_order(frames, closed, chain):
                assert step.frame not in known
                assert step.left is None or {step.left, step.right} <= known
                known.add(step.frame)
            assert known >= set(range(frames))


def test_groups_come_back_from_their_bytes():
    for name in FILES:
        file = parse(golden(name.removesuffix(".lec")))
        layout = file.header.layout
        assert isinstance(layout, VideoLayout)
        for number, chunk in enumerate(file.data):
            frames, last = layout.groups[number][0], number == layout.units - 1
            group = unpack_group(chunk.payload, 0, frames, not layout.duration, last)
            assert pack_group(group) == chunk.payload
        assert [layout.group_of(n) for n in (0, layout.frames - 1)] == [0, layout.units - 1]


def test_effort_makes_files_smaller_for_what_they_show(codec):
    """Bits and errors together, by the lambda of each frame's rate; without, nothing changes."""
    frames = clip(5, 64, 96)

    def cost(effort: int) -> tuple[float, float, bytes]:
        data = codec.encode(frames, 40, effort=effort)
        error = np.square(codec.decode(data) / 255.0 - frames / 255.0).sum() / 3
        return 8 * len(data), error, data

    plain, better = cost(1), cost(4)
    assert plain[2] == codec.encode(frames, 40) and better[2] != plain[2]
    multiplier = objective_of(codec.base.card).multiplier(fixed_quality(40))
    assert better[0] + multiplier * better[1] < 0.98 * (plain[0] + multiplier * plain[1])
    codec.test(better[2])


def test_effort_that_finds_nothing_changes_nothing(codec, monkeypatch):
    """Dead zones are kept, too."""
    monkeypatch.setattr(refine, "CURVATURE", -15.0)  # uphill
    frames = clip(5, 64, 96)
    assert codec.encode(frames, 40, effort=3) == codec.encode(frames, 40)


def test_effort_reaches_targets_and_chains(codec):
    frames = clip(6, 64, 96)
    size = len(codec.encode(frames, 50))
    assert len(codec.encode(frames, size=size, effort=2)) <= size
    signal = in_groups(clip_signal(frames), 0, True)
    (data,) = codec.encode_signals([signal], Target("quality", 50, effort=2))
    assert codec.decode(data).shape == frames.shape


def test_effort_needs_to_know_what_a_model_was_trained_for(codec, monkeypatch):
    monkeypatch.setattr(codec.base, "card", {"name": "bare"})
    with pytest.raises(InputError, match="leave the effort at 1"):
        codec.encode(clip(2, 8, 8), 50, effort=2)
