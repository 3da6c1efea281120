"""What it costs to turn a streamed answer into values of a type, beside the SDK, jiter, Pydantic AI and Instructor."""
