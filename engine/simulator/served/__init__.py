"""The simulated service behind a socket or in memory: requests in, the steps of their responses out."""
