"""Scores, statistics, calibration and distances: arrays in, numbers out.

From the ground up: `cases` (predictions beside the truth), `ranks` and `tally` (weighted sums for all replicates at
once), `catalogue` (the metrics), `scores`, `resampling` (the shared patient bootstrap), `intervals`, `delong`,
`comparisons`, `multiplicity`, `treatment` (recipes over folds, seeds, architectures), `claims` (verdicts); `defended`
puts them together: every score with its interval, two models compared. `curves`, `reliability`, `usefulness` and
`thresholds` serve figures and operating points; `calibration` is the operating point. `distances` and `neighbours`
judge generated images by their features, `spectrum` by their sharpness. `shares` (intervals of counts, also such as may
be looked at at any time) and `independent` (two sets of other patients) need no scipy, which a served site has not.
"""
