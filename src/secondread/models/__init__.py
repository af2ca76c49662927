"""Classifiers: their cards, their networks, their weights, and the bundles that leave the house."""
