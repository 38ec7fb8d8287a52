"""A second opinion on AWS: the same handlers and documents on MiniStack, another imitation than moto."""
