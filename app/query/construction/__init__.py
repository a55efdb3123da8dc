"""Query construction: a question's conditions as a metadata filter, or the question as a checked SQL statement."""
