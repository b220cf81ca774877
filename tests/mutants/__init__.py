"""Stacks with one fault each, to prove that the contract finds it."""
