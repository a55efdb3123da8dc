"""The OpenAI-shaped surface: what chat front-ends and the official clients speak."""
