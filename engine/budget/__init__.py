"""One budget for all engines that share a key, in many processes and on many machines."""
