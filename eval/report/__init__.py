"""Figures for people: one HTML page, plots, Markdown."""
