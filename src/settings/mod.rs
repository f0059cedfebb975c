//! One struct of settings: defaults < file < environment < flags, and where each value came from.
//!
//! May import: `model`. Never: is read again after start; values are passed on.
