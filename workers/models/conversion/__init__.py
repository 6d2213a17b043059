"""Networks of other formats, written as Paddle programs: one module a format, one a network.

Nothing here is needed to run a model. `python -m workers.models.conversion` runs in a process of its own
when a model is installed.
"""
