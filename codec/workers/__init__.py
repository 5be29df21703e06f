"""Many pieces of work by many workers: threads, processes, or a Ray cluster. `pool.py` is where to begin."""
