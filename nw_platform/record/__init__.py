"""What a record is: its envelope, its place in a source, its hour, its digest."""
