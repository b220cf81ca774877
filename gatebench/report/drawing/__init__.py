"""The pages' figures, drawn by matplotlib.

Knows estimates. Must not know files, claims or the page around.
"""
