"""What a long run of short requests costs: whether its memory stays flat, and what share of its time the journal takes.

The requests go to a simulator in a process of its own. The journal's share is the processor time of its methods, with
the writing of the results.
"""
