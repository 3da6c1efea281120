"""The engine under other people's code: what it does for agents of a framework, and what it costs.

It runs here, in the environment of the extra `bench`. What needs others, such as another gateway, is measured there.
"""
