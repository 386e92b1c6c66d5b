//! Least squares by the normal equations: a symmetric positive definite matrix, factored once.

/// Lower factor L of A = L·Lᵀ (Cholesky).
#[derive(Debug)]
pub(super) struct Cholesky {
    n: usize,
    /// (n, n), of which the lower half is used.
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors (n, n) `a`, reading its lower half; `None` if it is not positive definite.
    pub fn new(mut a: Vec<f64>, n: usize) -> Option<Cholesky> {
        for i in 0..n {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
                let rest = a[i * n + j] - dot;
                a[i * n + j] = if i != j {
                    rest / a[j * n + j]
                } else if rest > 0.0 {
                    rest.sqrt()
                } else {
                    return None;
                };
            }
        }
        Some(Cholesky { n, lower: a })
    }

    /// Replaces `b` by the solution x of A·x = b.
    pub fn solve(&self, b: &mut [f64]) {
        let Cholesky { n, lower } = self;
        for i in 0..*n {
            let dot: f64 = (0..i).map(|k| lower[i * n + k] * b[k]).sum();
            b[i] = (b[i] - dot) / lower[i * n + i];
        }
        for i in (0..*n).rev() {
            let dot: f64 = (i + 1..*n).map(|k| lower[k * n + i] * b[k]).sum();
            b[i] = (b[i] - dot) / lower[i * n + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_solve() {
        // Bᵀ·B + 1 for some B.
        let b = [[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [4.0, 0.25, 1.0]];
        let mut a = vec![0.0; 9];
        for i in 0..3 {
            for j in 0..3 {
                let dot: f64 = b.iter().map(|row| row[i] * row[j]).sum();
                a[i * 3 + j] = dot + if i == j { 1.0 } else { 0.0 };
            }
        }
        let x = [0.5, -2.0, 3.0];
        let mut y: Vec<f64> = (0..3).map(|i| (0..3).map(|j| a[i * 3 + j] * x[j]).sum()).collect();
        Cholesky::new(a.clone(), 3).unwrap().solve(&mut y);
        assert!(y.iter().zip(x).all(|(found, x)| (found - x).abs() < 1e-12), "{y:?}");
        a[8] = -1.0;
        assert!(Cholesky::new(a, 3).is_none());
    }
}
