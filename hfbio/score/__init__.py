"""Scores: likelihoods on held-out chains and of single ones, and the panel of a design set."""
