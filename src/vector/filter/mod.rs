//! The filter language: `source = "x" and (page < 10 or not title like "%draft%")`.
//!
//! A filter is a small tree. The parser limits its depth and size, so recursion over it is safe.

mod compile;
mod condition;
mod parse;

pub use condition::{Filter, FilterError};

use std::str::FromStr;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        parse::parse(text)
    }
}
