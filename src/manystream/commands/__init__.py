"""The command line, a module a command with its options. What a command does is in `manystream.engine.cli`.

The modules behind a command are imported when it runs, so that `--help` is quick.
"""
