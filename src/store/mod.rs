//! The engine database; all of its SQL. One file per table, one function per verb.
//!
//! May import: `model`, `decide`, `os`, `settings`. Never: lets a rusqlite type out; runs a step; waits while a transaction is open.
