"""Transforms: samples to latents and back, the float half of codecs with loss, and their networks."""

from __future__ import annotations

__all__ = ["DOWN"]

DOWN = 16
"""The latent y is at 1/DOWN of the resolution, along each side."""
