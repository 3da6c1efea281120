"""What the commands do; `manystream.__main__` reads the command line and calls them.

Each module is imported by the command that needs it, since `--help` needs none.
"""
