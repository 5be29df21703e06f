"""What is asked of compressed pictures and sounds: data, and networks with a question about it."""
