"""The fault matrix: one fault at a time on the whole pipeline, on a clock that moves hours in seconds, and the alarms that answer."""
