"""What many engines with one key get done when they share a budget, when they don't, and what one engine would do."""
