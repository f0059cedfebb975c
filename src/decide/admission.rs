//! Whether the disk has space for new work, or for one more file.

use crate::model::Bytes;

/// Whether work may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admit,
    /// Free space is below the reserve. Nothing is claimed until `needed` bytes are free again.
    DiskLow {
        free: Bytes,
        needed: Bytes,
    },
}

/// Whether steps may be claimed when the disk has `free` bytes and must keep `reserve`.
pub fn admit(free: Bytes, reserve: Bytes) -> Admission {
    admit_write(free, Bytes(0), reserve)
}

/// Whether `size` more bytes may be written while `reserve` bytes stay free.
pub fn admit_write(free: Bytes, size: Bytes, reserve: Bytes) -> Admission {
    let needed = Bytes(size.0.saturating_add(reserve.0));
    if free < needed { Admission::DiskLow { free, needed } } else { Admission::Admit }
}

impl Admission {
    pub fn is_admitted(self) -> bool {
        self == Admission::Admit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_kept() {
        let table = [
            (100, 0, 100, true),
            (99, 0, 100, false),
            (150, 50, 100, true),
            (150, 51, 100, false),
            (0, 0, 0, true),
            (u64::MAX, u64::MAX, 1, true),
            (5, u64::MAX, 1, false),
        ];
        for (free, size, reserve, admitted) in table {
            let admission = admit_write(Bytes(free), Bytes(size), Bytes(reserve));
            assert_eq!(admission.is_admitted(), admitted, "{free} {size} {reserve}");
        }
        assert_eq!(admit(Bytes(5), Bytes(9)), Admission::DiskLow { free: Bytes(5), needed: Bytes(9) });
    }
}
