//! Appraises a trusted program's evidence against its owner's policy.
