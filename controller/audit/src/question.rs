//! Who is meant: ends of a connection as people name them.
