//! Who reaches whom on which ports, in the forms in which it is asked for.
