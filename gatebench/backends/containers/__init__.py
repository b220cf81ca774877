"""All that is Docker's: the engine, images, and the backend that starts stacks and services as containers.

They know the engine's API, Dockerfiles and compose files. They must not know loads, scenarios, statistics or results.
"""
