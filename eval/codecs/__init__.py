"""Codecs under test: what the evaluator needs of one."""
