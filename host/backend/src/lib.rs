//! Storage locations: what keeps fragments, and one suite that says what each must do.
