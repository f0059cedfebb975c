//! Affine maps of the plane in PDF notation: `[a b c d e f]` maps (x, y) to (ax + cy + e, bx + dy + f).

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix(pub [f64; 6]);

impl Matrix {
    pub const IDENTITY: Matrix = Matrix([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    pub fn shift(x: f64, y: f64) -> Matrix {
        Matrix([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// First `inner`, then this.
    pub fn after(&self, inner: &Matrix) -> Matrix {
        let (Matrix(m), Matrix(n)) = (self, inner);
        Matrix([
            m[0] * n[0] + m[2] * n[1],
            m[1] * n[0] + m[3] * n[1],
            m[0] * n[2] + m[2] * n[3],
            m[1] * n[2] + m[3] * n[3],
            m[0] * n[4] + m[2] * n[5] + m[4],
            m[1] * n[4] + m[3] * n[5] + m[5],
        ])
    }

    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let Matrix(m) = self;
        (m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5])
    }

    /// The bounding box of the mapped box.
    pub fn boxed(&self, x0: f64, y0: f64, x1: f64, y1: f64) -> [f64; 4] {
        let corners = [self.point(x0, y0), self.point(x1, y0), self.point(x0, y1), self.point(x1, y1)];
        let mut found = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        for (x, y) in corners {
            found = [found[0].min(x), found[1].min(y), found[2].max(x), found[3].max(y)];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_map_comes_first() {
        let double = Matrix([2.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
        assert_eq!(double.after(&Matrix::shift(3.0, 4.0)).point(1.0, 1.0), (8.0, 10.0));
        assert_eq!(Matrix::shift(3.0, 4.0).after(&double).point(1.0, 1.0), (5.0, 6.0));
        assert_eq!(Matrix([0.0, 1.0, -1.0, 0.0, 0.0, 0.0]).boxed(0.0, 0.0, 2.0, 1.0), [-1.0, 0.0, 0.0, 2.0]);
    }
}
