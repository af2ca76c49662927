"""Figures (table in, figure out) and HTML templates. Knows no study, no model, no torch."""
