"""Backends start a stack and its services, say when it is ready, read its resources, stop it, leave nothing behind.

They know processes or containers. They must not know loads, scenarios, statistics or results.
"""
