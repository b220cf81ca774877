"""What the gate can tell: slowdowns of a known size, recorded beside their base, and gates judged on them.

A program of its own (`python -m gatebench.power`, or `make gate-power`). Knows sessions, the gate's judging and what
peers do. Nothing else may know it: no verdict rests on it.
"""
