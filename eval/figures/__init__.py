"""From rows to figures: means, curves, BD-rates, intervals, comparisons."""
