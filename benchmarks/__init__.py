"""Benchmarks: `python -m benchmarks NAME`. Each is a module or package of its own, with a function `command`."""
