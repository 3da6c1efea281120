"""What the simulated service decides: which requests it takes, what they use, and what it refuses."""
