"""What codecs cost, from the rows of passes over the same pictures, and from processes of their own.

rows [passes x pictures] of each codec, Probe -> seconds of a pass, the median -> Speed
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from ..measure.probe import UNKNOWN, Probe
from ..measure.timing import Timed

__all__ = ["Speed", "speeds"]


@dataclass(frozen=True)
class Speed:
    """One codec on one set of pictures.

    width, height: of the set's largest picture; bpp: of whole files, over all pixels; mpx_s: 10^6 pixels a second;
    ratios: time over that of the reference, `nan` where that was not measured; startup_s, loaded_mb, peak_mb as in
    `Probe`; beyond_torch: startup_s and peak_mb less those of `import torch` (`nan` for codecs without torch).
    """

    codec: str
    pictures: int
    width: int
    height: int
    setting: float
    bpp: float
    encode_mpx_s: float
    decode_mpx_s: float
    encode_time_ratio: float
    decode_time_ratio: float
    startup_s: float
    beyond_torch_s: float
    loaded_mb: float
    peak_mb: float
    beyond_torch_mb: float


def speeds(timed: Sequence[Timed], torch: Probe, reference: str) -> list[Speed]:
    """A row for each codec and set. torch: a process that only imports it; reference: the codec of the ratios."""
    found = []
    for one in timed:
        first, pixels = one.rows[0], sum(row.units for row in one.pictures)
        other = next((o for o in timed if (o.number, o.rows[0].codec) == (one.number, reference)), None)
        startups = [o.probe.startup_s for o in timed if o.rows[0].codec == first.codec and o.probe is not UNKNOWN]
        startup = median(startups) if startups else math.nan
        bare = torch if one.learned else UNKNOWN
        encode_s, decode_s = one.seconds("encode_s"), one.seconds("decode_s")
        height, width = max((row.shape for row in one.pictures), key=lambda shape: shape[0] * shape[1])[:2]
        found.append(
            Speed(
                codec=first.codec,
                pictures=len(one.pictures),
                width=width,
                height=height,
                setting=first.setting,
                bpp=8 * sum(row.bytes for row in one.pictures) / pixels,
                encode_mpx_s=pixels / 1e6 / encode_s,
                decode_mpx_s=pixels / 1e6 / decode_s,
                encode_time_ratio=encode_s / other.seconds("encode_s") if other else math.nan,
                decode_time_ratio=decode_s / other.seconds("decode_s") if other else math.nan,
                startup_s=startup,
                beyond_torch_s=startup - bare.startup_s,
                loaded_mb=one.probe.loaded_mb,
                peak_mb=one.probe.peak_mb,
                beyond_torch_mb=one.probe.peak_mb - bare.peak_mb,
            )
        )
    return found
