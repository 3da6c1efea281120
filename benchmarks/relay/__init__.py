"""What it costs to tell browsers of a stream: the encoders, beside what else writes such events in Python."""
