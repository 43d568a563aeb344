"""Complete programs to read and to run: `facets example` lists them."""
