"""The ports in memory: for escriba.read and for tests."""
