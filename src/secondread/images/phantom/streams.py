"""Random streams with names: one per stage, so that toggling a stage leaves the draws of all others as they were."""

from __future__ import annotations

import hashlib

import numpy as np

GOLDEN = 0.6180339887498949
# fractional parts of the square roots of distinct primes: rationally independent steps of a Kronecker sequence
STEPS = tuple(float(np.sqrt(prime) % 1.0) for prime in (5, 2, 3, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43))


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one stage, named for instance by ("patient", 17, "visit", 2, "findings", "Edema")."""
    label = "\x1f".join(str(name) for name in names)
    digest = hashlib.sha256(label.encode()).digest()
    words = [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))


def even_draw(seed: int, name: str, index: int, axis: int) -> float:
    """The `index`-th point in (0, 1) of an evenly filling sequence with a random start (Kronecker sequence).

    Labels are drawn from it, so that every prefix of the patients comes as close to the asked prevalence as it can,
    and the first images of a large phantom are those of a small one.
    """
    start = stream(seed, "even", name).random()
    value = (start + (index + 1) * STEPS[axis % len(STEPS)]) % 1.0
    return min(max(value, 1e-6), 1.0 - 1e-6)
