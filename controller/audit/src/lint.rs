//! What is wrong with policies, or likely to be.
