"""What `nw config check` shows of a stream: a sample of its source, read by the code that ingests it."""
