"""What a long run of short requests costs: whether its memory stays flat, and what share of its time the journal takes.

The requests go to a simulator in a process of its own. The journal's share is the processor time of its writing, with
that of the results; beside it stands the time of reading and registering the input.
"""
