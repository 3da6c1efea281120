"""What goes wrong on purpose: scripted faults and chances, and the pace of an answer."""
