"""How much processor time, memory and delay a live stream costs, beside what else one would use.

A replay server in a process of its own sends prepared answers; each kind of client reads them in another process, on a
core of its own. Every client does the same work: it reads each answer to its end and looks at the text of each delta.
Times move from run to run on a shared machine, so the kinds take turns, and ratios are taken within a turn.
"""
