"""Measuring: items through codecs, with a clock, in parallel, kept; the tables that hold what was found."""
