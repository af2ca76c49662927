"""Does a bundle hold on images from elsewhere? Its promise beside what is found, with intervals."""

from secondread.proving.making import Proof, prove

__all__ = ["Proof", "prove"]
