"""From one stream to its consumers: the log of its events, and the mailboxes that read it."""
