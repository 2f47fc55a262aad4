//! The documents name only files and headings that are there.
