//! The parameters of a statement: an array on the stack, of one type or built by `params!`.

use crate::store::{
    error::Result,
    value::{ToValue, Value},
};

/// All the values of `?1`, `?2` and so on.
pub trait Params {
    const COUNT: usize;

    /// Calls `give` for each value with its number, counted from 1.
    fn each(&self, give: impl FnMut(usize, Value<'_>) -> Result<()>) -> Result<()>;
}

/// Combines values of several types.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::store::value::ToValue::to_value(&$value)),*]
    };
}
pub(in crate::store) use params;

/// No values: `[]`.
impl Params for [Value<'_>; 0] {
    const COUNT: usize = 0;

    #[inline]
    fn each(&self, _: impl FnMut(usize, Value<'_>) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

// Listed one by one, so that an empty array has only one type.
macro_rules! arrays {
    ($($count:literal)*) => {$(
        impl<T: ToValue> Params for [T; $count] {
            const COUNT: usize = $count;

            #[inline]
            fn each(&self, mut give: impl FnMut(usize, Value<'_>) -> Result<()>) -> Result<()> {
                let mut numbered = (1..).zip(self);
                numbered.try_for_each(|(number, value)| give(number, value.to_value()))
            }
        }
    )*};
}

arrays!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
