//! Publisher and subscriber.
