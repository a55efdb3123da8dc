"""Which translations a question is worth: cheap features → predicted gain of each kind → the kinds that are asked."""
