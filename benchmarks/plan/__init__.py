"""How near a plan comes to the truth: after a pilot of a few requests, against the same run by the real engine.

The truth is the engine over the simulator's transport, on virtual time: the simulator makes up whole answers, event by
event, which the plan's own rehearsal does not.
"""
