"""A strict stand-in for Labelbox' API: GraphQL, uploads, REST ontology routes, result files."""
