//! Both systems in virtual time with seeded faults.
