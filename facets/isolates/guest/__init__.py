"""The guest: its interface, its source (`app/`), and how it is built."""
