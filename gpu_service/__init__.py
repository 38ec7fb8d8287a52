"""The GPU service: a worker that keeps a vision server beside it full, loses nothing, and is gone when there is no work."""
