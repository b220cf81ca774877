"""Knocking: fresh connections beside a load, each asked one thing and timed, by a process of its own.

The harness uses `knocker`; `python -m gatebench.knocking` is the process, and `asking` what it does.
"""
