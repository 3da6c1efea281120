"""Rows of a Ray Dataset answered: by manystream's function, and by Ray's own HTTP stage."""
