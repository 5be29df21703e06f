"""What a codec costs and what it gives: quality metrics, rate-distortion curves, BD-rate, peer codecs, reports.

    pictures -> peers (real bytes, and back) -> metrics -> rd (items, curves) -> bd (one number) -> report (TSV, plot)

Nothing here estimates a rate: every rate is the length of a file that was decoded again.
"""
