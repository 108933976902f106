//! What the kernel of a node does, read back from its tables and compared with what the API says.
