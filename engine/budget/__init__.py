"""One budget for all engines that share a key, in many processes. Nothing of it is imported before it is used."""
