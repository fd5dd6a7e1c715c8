"""From the bytes of raw rows to the columns of `logs`, one format a file, vectorised."""
