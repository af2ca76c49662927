"""Benchmarks: each prints figures and ratios against a peer, measured in one run."""
