"""A family of models that only the tests have: one contract file and one folder, for the test of the table."""
