"""What the commands do; `manystream.commands` reads the command line and calls them.

Each module is imported only by the command that needs it, so that `--help` stays quick.
"""
