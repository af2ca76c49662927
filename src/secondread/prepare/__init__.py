"""Step 2: audit, clean, split, cache."""
