"""Where a question goes: declared routes, chosen by likeness or by a model, never beyond what the caller may ask."""
