"""How much of what the API would take each way of sending gets through, and how often it is refused.

The same endless supply of requests meets the same simulated service, on virtual time and in memory: through the
official SDK at a fixed concurrency, through the engine, which knows nothing of the limits beforehand, and through an
oracle that asks the service before it sends (`ideal`).
"""
