"""An hour of sound: how fast it is coded, beside Opus, and how much memory that takes at its beginning and at its end.

    python scripts/long_sound.py speed SOUNDS [-o sound-speed.tsv] [--seconds 60]
    python scripts/long_sound.py memory SOUNDS [-o FILE] [--minutes 60] [--speech] [--what encode,decode,live]

SOUNDS is a folder; everything is brought to 48 kHz and two channels, and laid end to end. With --speech it is 16 kHz
and one channel: a sixth of the work.

`speed` codes the same seconds with every codec in turns, five times, in one process of one thread. Times real time are
those of the median pass, by the clock, and by the processor time of the process, which what else runs on the machine
moves little. Opus is libopus through PyAV, as in `lecodec eval sound`.

`memory` writes a WAV file of so many minutes, and runs the command on it: encode, decode, and both live, through pipes.
While they run, their resident memory is looked at every half second: the largest of the first and of the last tenth of
the time, without the first ten seconds, and of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

RATE = 48000
QUALITIES = 30, 50, 70
OPUS = 24, 48, 96
PASSES = 5
EVERY = 0.5


def music(folder: Path, seconds: float, rate: int = RATE, channels: int = 2) -> Iterator[np.ndarray]:
    """The sounds of a folder, end to end, over and over, each time at another level: int16 [n, channels]."""
    from lecodec.train.sounds import read_at, sound_files

    sounds = [read_at(path, [rate], 600)[rate] for path in sound_files(folder)]
    sounds = [np.repeat(x, 2 // x.shape[1], 1)[:, :channels] for x in sounds]
    left, turn = round(seconds * rate), 0
    while left:
        for x in sounds:
            part = x[:left] if turn == 0 else np.rint(x[:left] * (0.5 + 0.5 / (1 + turn))).astype(np.int16)
            left -= len(part)
            yield part
        turn += 1


def speed(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """A row for each codec and setting."""
    from lecodec.codec.registry import load
    from lecodec.codec.sound import SoundCodec
    from lecodec.eval.codecs.sound import sound_codec_by_name

    sound = np.concatenate(list(music(folder, seconds))).astype(np.float32) / 32768
    own, opus = load("sound", of=SoundCodec), sound_codec_by_name("opus", RATE)
    ways: list[tuple[str, float, Callable[[], bytes], Callable[[bytes], Any]]] = [
        *(("lecodec", q, lambda q=q: own.encode(sound, RATE, q), own.decode) for q in QUALITIES),
        *(("opus", k, lambda k=k: opus.encode(sound, k), opus.decode) for k in OPUS),
    ]
    found: dict[tuple[str, float], list[tuple[float, ...]]] = {}
    sizes = {}
    for _ in range(PASSES):
        for name, setting, encode, decode in ways:
            marks = [(time.perf_counter(), time.process_time())]
            data = encode()
            marks.append((time.perf_counter(), time.process_time()))
            decode(data)
            marks.append((time.perf_counter(), time.process_time()))
            sizes[name, setting] = len(data)
            spent = tuple(b[k] - a[k] for a, b in zip(marks, marks[1:], strict=False) for k in (0, 1))
            found.setdefault((name, setting), []).append(spent)
    names = ("encode_x", "encode_cpu_x", "decode_x", "decode_cpu_x")
    return [
        {
            "codec": name,
            "setting": setting,
            "kbps": round(8 * sizes[name, setting] / 1000 / seconds, 1),
            **{
                key: round(seconds / median(column), 1)
                for key, column in zip(names, zip(*rows, strict=True), strict=True)
            },
        }
        for (name, setting), rows in found.items()
    ]


def watched(commands: list[list[str]], source: Any = None, target: Any = None) -> list[list[tuple[float, float]]]:
    """Run commands, each reading what the one before writes -> for each, (seconds, MB that are resident) in order."""
    running, seen = [], [[] for _ in commands]
    for number, command in enumerate(commands):
        last = number == len(commands) - 1
        running.append(
            subprocess.Popen(
                command, stdin=source if number == 0 else running[-1].stdout, stdout=target if last else subprocess.PIPE
            )
        )
    for one in running[:-1]:
        assert one.stdout is not None
        one.stdout.close()

    def look(number: int) -> None:
        process, begin = running[number], time.perf_counter()
        while process.poll() is None:
            try:
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS"):
                        seen[number].append((time.perf_counter() - begin, int(line.split()[1]) / 1024))
            except OSError:
                pass
            time.sleep(EVERY)

    threads = [threading.Thread(target=look, args=(n,)) for n in range(len(running))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(process.returncode for process in running):
        raise SystemExit("a command failed")
    return seen


def row(what: str, minutes: float, seen: list[tuple[float, float]]) -> dict[str, Any]:
    """What is told of a command."""
    end = seen[-1][0]
    begin = min(10.0, end / 4)
    tenth = (end - begin) / 10
    first = max(mb for t, mb in seen if begin <= t <= begin + tenth)
    last = max(mb for t, mb in seen if t >= end - tenth)
    return {
        "what": what,
        "minutes": minutes,
        "seconds": round(end),
        "first_mb": round(first),
        "last_mb": round(last),
        "peak_mb": round(max(mb for _, mb in seen)),
    }


def memory(folder: Path, minutes: float, rate: int, channels: int, asked: list[str]) -> list[dict[str, Any]]:
    """A row for each command."""
    command = [sys.executable, "-m", "lecodec"]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        sound, file, out = (str(Path(place) / name) for name in ("long.wav", "long.lec", "out.wav"))
        with wave.open(sound, "wb") as target:
            target.setnchannels(channels)
            target.setsampwidth(2)
            target.setframerate(rate)
            for part in music(folder, 60 * minutes, rate, channels):
                target.writeframes(np.ascontiguousarray(part, "<i2").tobytes())
        for what, more in (
            ("encode", ["encode", sound, "-q", "50", "-o", file, "--quiet"]),
            ("decode", ["decode", file, "-o", out, "--quiet", "--force"]),
        ):
            if what in asked:
                (seen,) = watched([command + more])
                rows.append(row(what, minutes, seen))
                print(rows[-1], flush=True)
        if "live" in asked:
            with open(sound, "rb") as source, open(out, "wb") as target:
                pipes = [["encode", "-", "--live", "-q", "50"], ["decode", "-"]]
                both = watched([command + more for more in pipes], source, target)
            rows += [row(what, minutes, seen) for what, seen in zip(("encode --live", "decode -"), both, strict=True)]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("sounds", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--speech", action="store_true")
    parser.add_argument("--what", dest="asked", default="encode,decode,live")
    given = parser.parse_args()
    from lecodec.eval.measure.tsv import environment, write_tsv

    if given.what == "speed":
        rows = speed(given.sounds, given.seconds)
        comments = [f"{given.seconds:g} s of two channels at {RATE} Hz, one process", *environment()]
    else:
        rate, channels = (16000, 1) if given.speech else (RATE, 2)
        rows = memory(given.sounds, given.minutes, rate, channels, given.asked.split(","))
        comments = [
            f"{given.minutes:g} min of {channels} channels at {rate} Hz, 16 bits, quality 50",
            *environment(),
        ]
    for each in rows:
        print("  ".join(f"{key} {value}" for key, value in each.items()))
    write_tsv(given.output or Path(f"sound-{given.what}.tsv"), comments, rows)


if __name__ == "__main__":
    main()
