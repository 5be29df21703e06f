"""The networks that listen, on sounds that are made here, and what is made of their answers."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest

from lecodec.errors import CodecError, InputError
from lecodec.eval.measure.coding import Coding, Original
from lecodec.eval.measure.metrics import metrics_by_name
from lecodec.eval.quality import hearing
from lecodec.eval.quality.hearing import RATE, Phonemes, Pitch, Quality, SpeechActivity, Voice, Words, mos_of
from lecodec.eval.quality.packaged import PackagedFile
from lecodec.eval.task import codecs_for
from lecodec.eval.tasks.catalogue import SOUND_TASKS, TASKS, tasks_by_name
from lecodec.eval.tasks.listening import LISTENING, Listening
from lecodec.eval.tasks.sounds import Sounds


def made(make, *arguments):
    """What needs packages that are not everywhere, or the test is skipped."""
    try:
        return make(*arguments)
    except InputError as error:
        pytest.skip(str(error))


def vowel(pitch: float, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """Harmonics below 3 kHz, the strongest near 700 and 1200 Hz, with a breath of noise: float32 [T]."""
    t = np.arange(int(seconds * RATE)) / RATE
    total = np.random.default_rng(seed).normal(0, 0.02, len(t))
    for k in range(1, int(3000 / pitch)):
        f = k * pitch
        level = 0.1 + math.exp(-(((f - 700) / 150) ** 2)) + 0.6 * math.exp(-(((f - 1200) / 200) ** 2))
        total += level * np.sin(2 * np.pi * f * t + k)
    return (0.3 * total / np.abs(total).max()).astype(np.float32)


def answer(task: str, found: object, original: object, truth: object = None):
    return LISTENING[task][2](found, original, truth)


# --- networks -----------------------------------------------------------------------------------------------------


def test_pitch_is_heard_in_cents() -> None:
    pitch = made(Pitch)
    t = np.arange(RATE) / RATE
    low, high = (pitch((0.4 * (2 * (f * t % 1) - 1)).astype(np.float32)) for f in (110, 220))
    assert low.shape == (2, 1 + RATE // 320)
    inner = slice(5, -5)
    assert (low[1, inner] > 0.5).all() and (high[1, inner] > 0.5).all()
    assert np.median(high[0, inner] - low[0, inner]) == pytest.approx(1200, abs=30)
    assert answer("pitch", low, low).agreement == 1 and answer("pitch", high, low).agreement == 0
    noise = pitch(np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32))
    assert noise[1].mean() < 0.3


def test_voices_are_directions() -> None:
    voice = made(Voice)
    quiet = 0.01 * vowel(110)  # below -30 dBFS volume does not count
    first, again, other = voice(quiet), voice(0.5 * quiet), voice(vowel(230, 2.5))
    assert first.shape == (256,) and np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    same, different = (answer("speaker", x, first).agreement for x in (again, other))
    assert same > 0.99 > different
    assert answer("speaker", first, first).agreement == 1


def test_speech_activity_of_silence() -> None:
    active = made(SpeechActivity)
    found = active(np.zeros(1000, np.float32))
    assert found.dtype == bool and found.tolist() == [False, False]
    heard = np.array([True, True, False, False])
    assert answer("speech-activity", np.array([True, False, False, False]), heard).agreement == 0.75


def test_phonemes_are_a_sequence_without_marks() -> None:
    phonemes = made(Phonemes)
    found = phonemes(vowel(120))
    assert isinstance(found, tuple) and all(found) and not {"<blank>", "<wb>"} & set(found)
    assert phonemes(vowel(120)) == found
    with pytest.raises(CodecError, match="the network fails on this sound"):
        phonemes(np.zeros(9, np.float32))
    assert answer("phonemes", ("a", "b"), ("a", "b", "c", "d")).agreement == 0.5
    assert answer("phonemes", ("a", "b"), ("a", "b")).text == "a b"


def test_words_are_small_letters() -> None:
    words = made(Words)
    found = words(vowel(120, 0.5))
    assert isinstance(found, str) and found == found.lower() and words(np.zeros(1, np.float32)) == ""


def test_words_are_compared_with_the_originals_and_transcripts_with_the_text() -> None:
    pytest.importorskip("rapidfuzz")
    kept = answer("words", "the printing press", "the printing press is", "Something else.")
    assert math.isnan(kept.score) and kept.agreement == 0.75 and kept.text == "the printing press"
    told = answer("transcript", "the printing press", "a printing press", "The printing-press!")
    assert told.score == 1 and told.agreement == pytest.approx(2 / 3)
    unknown = answer("transcript", "the", "the", None)
    assert math.isnan(unknown.score) and math.isnan(unknown.agreement)
    with pytest.raises(InputError, match="the truth of a transcript is a text, found 3"):
        answer("transcript", "the", "the", 3)


def test_scores_of_speech_need_no_original() -> None:
    made(Quality)
    sound = vowel(120, 0.5)
    found = mos_of(sound)
    assert set(found) == {"sig", "bak", "ovrl"} and all(0.5 < score < 5 for score in found.values())
    metrics = metrics_by_name("audio", ("dnsmos", "dnsmos_bak"), rate=RATE)
    coding = Coding(None, 0, Original(np.zeros(8000, np.float32)), b"", sound, 0, 0)  # pyright: ignore
    assert metrics["dnsmos"].measure(coding) == found["ovrl"]
    assert metrics["dnsmos_bak"].measure(coding) == found["bak"]
    mine = answer("speech-quality", {"ovrl": 2.0}, {"ovrl": 3.0})
    assert mine.score == 0.25 and mine.agreement == 0.75 and mine.text == "MOS 2.00"
    with pytest.raises(InputError, match="dnsmos knows 16000 Hz, not 8000"):
        metrics_by_name("audio", ("dnsmos",), rate=8000)


@pytest.mark.parametrize("listener", [Words, Phonemes, Voice, Pitch, SpeechActivity, Quality])
def test_what_is_no_sound_is_refused(listener) -> None:
    network = made(listener)
    assert network.description and "/" not in network.description.replace("1/2", "")
    for wrong in (np.zeros((2, 9), np.float32), np.zeros(9), np.zeros(0, np.float32)):
        with pytest.raises(InputError, match="hears sounds, float32"):
            network(wrong)


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = PackagedFile("hama", "1.3.13", "no_such_hama", "assets/x.onnx", alone=True)
    monkeypatch.setattr(hearing, "_PHONEMES", gone)
    with pytest.raises(InputError, match=r"hama is not installed.*pip install --no-deps hama==1\.3\.13"):
        Phonemes()


def test_measures_of_speech_say_which_extra_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("pesq", "stoi"):
        monkeypatch.setitem(sys.modules, "pesq", None)
        monkeypatch.setitem(sys.modules, "pystoi", None)
        with pytest.raises(InputError, match=r"pip install 'lecodec\[speech\]'"):
            metrics_by_name("audio", (name,), rate=RATE)


def test_pesq_and_stoi_know_more_noise_from_less() -> None:
    metrics = made(lambda: metrics_by_name("audio", ("pesq", "stoi"), rate=RATE))
    syllables = np.tile(np.repeat([1.0, 0.05], RATE // 4), 4).astype(np.float32)
    sound = np.concatenate([vowel(120), vowel(150, seed=1)]) * syllables
    noise = np.random.default_rng(3).normal(0, 1, len(sound)).astype(np.float32)
    for metric in metrics.values():
        near, far = (
            metric.measure(Coding(None, 0, Original(sound), b"", sound + level * noise, 0, 0))  # pyright: ignore
            for level in (0.002, 0.1)
        )
        assert near > far


# --- tasks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds, the text of one, as LJSpeech has them, and nothing else."""
    folder = tmp_path_factory.mktemp("clips")
    for name, pitch in (("a.wav", 110), ("b.wav", 200)):
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((vowel(pitch) * 32767).astype("<i2").tobytes())
    (folder / "metadata.csv").write_text("a|A, a.|a ah\n")
    return folder


def test_texts_lie_beside_the_sounds(clips: Path, tmp_path: Path) -> None:
    tasks = made(tasks_by_name, ["phonemes", "speech-activity"], clips)
    source = tasks[0].source
    assert source is tasks[1].source and source.names() == ("a.wav", "b.wav")
    assert [source.item(name).truth for name in source.names()] == ["a ah", None]
    assert "texts from metadata.csv" in source.description
    (tmp_path / "c.wav").write_bytes((clips / "a.wav").read_bytes())
    (plain,) = tasks_by_name(["phonemes"], tmp_path)
    assert plain.source.names() == ("c.wav",) and "without labels" in plain.source.description
    assert "metadata.csv" in Sounds(clips).names()  # without texts it is a file like others


def test_built_in_tasks_on_sounds(clips: Path) -> None:
    assert set(SOUND_TASKS) == set(LISTENING) and set(SOUND_TASKS) < set(TASKS)
    with pytest.raises(InputError, match="the task words needs a folder of sounds, and none was given"):
        tasks_by_name(["words"])
    with pytest.raises(InputError, match="hears sounds at 16000 Hz, not at 8000"):
        Listening("words", Sounds(clips, sample_rate=8000))
    assert codecs_for(["words"]) == ["lecodec", "opus", "mp3"] and "jpeg" in codecs_for(["mask"])


def test_a_run_on_sounds(clips: Path, tmp_path: Path) -> None:
    from lecodec.eval.measure.run import run_tasks
    from lecodec.eval.task import write_summary

    made(tasks_by_name, ["phonemes", "speech-activity"], clips)
    settings = {"opus": (8.0, 16.0, 32.0)}
    run = run_tasks(["phonemes", "speech-activity"], ["opus"], tmp_path, data=clips, settings=settings)
    assert not run.skipped and len(run.rows) == 2 * (1 + 3)
    original = next(row for row in run.rows if row.codec == "identity")
    assert original.answers["phonemes"].agreement == 1 and original.answers["speech-activity"].agreement == 1
    summary = write_summary(tmp_path, run, resamples=100)
    assert {row.task for row in summary.points} == {"phonemes", "speech-activity"}
    again = run_tasks(["phonemes", "speech-activity"], ["opus"], tmp_path, data=clips, settings=settings)
    assert again.measured == 0 and repr(again.rows) == repr(run.rows)
