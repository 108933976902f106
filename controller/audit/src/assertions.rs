//! What a team wants to stay true: assertions in a file, and whether they hold.
