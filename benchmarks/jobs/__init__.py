"""A job that a team would have: a table of prompts through a model, with faults and a kill -9, by several libraries.

Each contestant is a small program such as a competent user of its library would write (`programs/`), in an environment
of its own, against a simulator of its own. The simulator's ledger tells what was asked, answered and billed; the file
that the user ends with tells which rows are there.
"""
