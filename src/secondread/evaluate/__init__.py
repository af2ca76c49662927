"""Prediction tables → operating points, scores, comparisons, report. Never sees a model."""
