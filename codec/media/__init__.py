"""What is outside of `.lec` files: signals, and the files that they are read from and written to."""
