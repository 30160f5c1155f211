//! The catalogue: what the host must know of objects, in a relational database.
