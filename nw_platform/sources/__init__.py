"""Where records come from. `contract` is the seam; each kind of source is a file or folder of its own."""
