"""Both runtimes in one run: time, memory and latents of pictures coded in numpy and in torch.

    python scripts/runtimes.py PICTURE [-o runs/runtimes.tsv] [--sizes 0.4,2,24] [--repeat 3]

The picture is repeated, mirrored, up to each size in megapixels. Every cell is a process of its own, the two runtimes
take turns, and of the repeats the best counts: seconds of processor time (what else runs on the machine moves them
least), and the most memory. `start` is a command that decodes 64 x 64 pixels, imports and all. The last column says
whether the latents of a file that one runtime wrote are the same in both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ONE = """
import json, resource, sys, time
import numpy as np
import lecodec
samples, file = np.load(sys.argv[1]), sys.argv[2]
codec = lecodec.load("image")
codec.decode(codec.encode(samples[:64, :64]))  # the machine is verified, threads are there
clock = time.process_time
started = clock()
data = codec.encode(samples)
encoded = clock() - started
if not open(file, "ab").tell():
    open(file, "wb").write(data)
data = open(file, "rb").read()
started = clock()
codec.decode(data)
decoded = clock() - started
tiles = lecodec.info(data)["tiles"]
latents = [codec.latents(data, n).digest().hex() for n in range(tiles)]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([encoded, decoded, peak, latents]))
"""


def picture_of(path: Path, megapixels: float) -> object:
    """Samples of about so many pixels, uint8 [H, W, 3]."""
    import numpy as np
    from PIL import Image

    tile = np.asarray(Image.open(path).convert("RGB"))
    tile = np.concatenate([np.concatenate([tile, tile[:, ::-1]], 1), np.concatenate([tile, tile[:, ::-1]], 1)[::-1]])
    ratio = tile.shape[1] / tile.shape[0]
    height = round((megapixels * 1e6 / ratio) ** 0.5)
    width = round(height * ratio)
    whole = np.tile(tile, (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1))
    return np.ascontiguousarray(whole[:height, :width])


def used(command: list[str], runtime: str) -> float:
    """Seconds of processor time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={**os.environ, "LECODEC_RUNTIME": runtime}, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    import numpy as np

    import lecodec

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/runtimes.tsv"))
    parser.add_argument("--sizes", default="0.4,2,24")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    names, lines = ("numpy", "torch"), ["what\tnumpy\ttorch\tsame latents"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        small = place / "small.lec"
        small.write_bytes(lecodec.encode(picture_of(asked.picture, 0.4)[:64, :64]))  # pyright: ignore
        decode = [sys.executable, "-m", "lecodec", "decode", str(small), "-o", str(place / "small.png"), "-f"]
        start = {name: min(used(decode, name) for _ in range(asked.repeat)) for name in names}
        lines.append(f"start, s\t{start['numpy']:.3f}\t{start['torch']:.3f}\t")
        for size in map(float, asked.sizes.split(",")):
            np.save(place / "picture.npy", picture_of(asked.picture, size))  # pyright: ignore
            found: dict[str, list[list]] = {name: [] for name in names}
            for _ in range(asked.repeat):
                for name in names:
                    arguments = [sys.executable, "-c", ONE, str(place / "picture.npy"), str(place / f"{size}.lec")]
                    environment = {**os.environ, "LECODEC_RUNTIME": name}
                    ran = subprocess.run(arguments, check=True, env=environment, capture_output=True, text=True)
                    found[name].append(json.loads(ran.stdout))
            same = found["numpy"][0][3] == found["torch"][0][3]
            for n, what in enumerate(("encode, s", "decode, s", "peak memory, MB")):
                best = [min(run[n] for run in found[name]) for name in names]
                lines.append(f"{size:g} Mpx {what}\t{best[0]:.3f}\t{best[1]:.3f}\t{'yes' if same else 'no'}")
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text("\n".join(lines) + "\n")
    print(asked.output.read_text())


if __name__ == "__main__":
    main()
