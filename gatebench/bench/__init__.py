"""The generator benchmark: how close the project's generator comes to its targets, on this machine, in one run.

Knows the do-nothing server, the generator as a program, and other people's generators. Must not know Locust from
within, results files or reports; it asserts no speed: it prints what it measured, and which target that reaches.
"""
