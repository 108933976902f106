//! What a change means: pairs and ports that become allowed or denied.
