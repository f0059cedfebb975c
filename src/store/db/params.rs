//! The values of a statement's parameters: an array on the stack, of one type or made by `params!`.

use crate::store::{
    error::Result,
    value::{ToValue, Value},
};

/// The values of `?1`, `?2` and so on, all of them.
pub trait Params {
    const COUNT: usize;

    /// Gives each value with its number, counted from 1.
    fn each(&self, give: impl FnMut(usize, Value<'_>) -> Result<()>) -> Result<()>;
}

/// Takes values of several types together.
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

// One by one, so that an empty array is of one type alone.
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
