"""What a user's type checker sees of manystream. Nothing here runs: `tests/test_types.py` has it checked."""
