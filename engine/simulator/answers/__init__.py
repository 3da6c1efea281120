"""What the simulated model says: answers, made up, scripted or recorded, as the events of the wire."""
