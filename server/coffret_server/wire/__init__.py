"""A strict reader of the public fields of the published format. It opens nothing."""
