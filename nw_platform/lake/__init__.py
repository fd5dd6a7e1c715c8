"""Where the truth is: Delta tables, receipts and report files, on any file system that deltalake speaks."""
