//! Class sort: the rows of a micro-batch by the class of their targets.

use kernels::AlignedVec;
use kernels::cross_entropy::IGNORE;

/// Rows sorted by class, in their order within a class.
#[derive(Debug)]
pub struct ClassSort {
    /// (N) output of the first softmax for each row's target (a token or its class), or [`IGNORE`].
    output: AlignedVec<u32>,
    /// (classes + 1) start of each class's rows in `rows`.
    starts: Vec<usize>,
    /// (N) the rows that have a target, class after class.
    rows: AlignedVec<u32>,
    n_rows: usize,
}

impl ClassSort {
    /// Buffers for `n_rows` rows and `n_classes` classes.
    pub fn new(n_rows: usize, n_classes: usize) -> ClassSort {
        let mut output = AlignedVec::zeroed(n_rows);
        output.fill(IGNORE);
        ClassSort {
            output,
            starts: vec![0; n_classes + 1],
            rows: AlignedVec::zeroed(n_rows),
            n_rows: 0,
        }
    }

    /// Sorts the rows of `targets`, ids or [`IGNORE`]. Class `c` has the ids from `class_starts[c]`
    /// to `class_starts[c + 1]`. Ids below the first of these are in no class; they are outputs of
    /// the first softmax themselves.
    ///
    /// # Panics
    /// If there are more targets or other classes than the buffers were made for, or a target is
    /// not below the last of `class_starts`.
    pub fn sort(&mut self, targets: &[u32], class_starts: &[u32]) {
        assert!(targets.len() <= self.rows.len(), "ClassSort::sort: more targets than rows");
        assert_eq!(class_starts.len(), self.starts.len(), "ClassSort::sort: other classes");
        let n_single = class_starts[0];
        let class =
            |output: u32| (output != IGNORE && output >= n_single).then(|| output - n_single);
        self.n_rows = targets.len();
        self.starts.fill(0);
        for (output, &target) in self.output.iter_mut().zip(targets) {
            if target == IGNORE || target < n_single {
                *output = target;
                continue;
            }
            let found = class_starts.partition_point(|start| *start <= target) - 1;
            // Counted one position later, so that the running sums below are the starts of classes.
            self.starts[found + 1] += 1;
            *output = n_single + found as u32;
        }
        for c in 1..self.starts.len() {
            self.starts[c] += self.starts[c - 1];
        }
        // While rows are distributed, every start moves to the end of its class, which is the next
        // class's start.
        for (row, output) in self.output[..self.n_rows].iter().enumerate() {
            if let Some(class) = class(*output) {
                let place = &mut self.starts[class as usize];
                self.rows[*place] = row as u32;
                *place += 1;
            }
        }
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let ids = self.output.size() + self.rows.size();
        ids * size_of::<u32>() + self.starts.len() * size_of::<usize>()
    }

    /// (N) output of the first softmax for each row's target (a token or its class), or [`IGNORE`].
    pub fn outputs(&self) -> &[u32] {
        &self.output[..self.n_rows]
    }

    /// The rows whose targets are in `class`, ascending.
    pub fn rows(&self, class: usize) -> &[u32] {
        &self.rows[self.starts[class]..self.starts[class + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_with_their_class_in_their_order() {
        let mut sort = ClassSort::new(8, 4);
        // Without tokens outside all classes, and with two.
        for starts in [[0, 3, 4, 7, 10], [2, 3, 4, 7, 10]] {
            for targets in [&[9, 0, IGNORE, 3, 2, 9, 7, 0][..], &[IGNORE], &[], &[4, 5, 6, 1]] {
                sort.sort(targets, &starts);
                let is_in = |target: u32, c: usize| (starts[c]..starts[c + 1]).contains(&target);
                for class in 0..4 {
                    let rows = 0..targets.len() as u32;
                    let expected: Vec<u32> =
                        rows.filter(|r| is_in(targets[*r as usize], class)).collect();
                    assert_eq!(sort.rows(class), expected);
                    let output = starts[0] + class as u32;
                    assert!(expected.iter().all(|r| sort.outputs()[*r as usize] == output));
                }
                let others = sort.outputs().iter().zip(targets);
                let mut others = others.filter(|(_, t)| **t == IGNORE || **t < starts[0]);
                assert!(others.all(|(output, target)| output == target));
                assert_eq!(sort.outputs().len(), targets.len());
            }
        }
    }

    #[test]
    #[should_panic]
    fn a_target_beyond_the_last_class_is_refused() {
        ClassSort::new(1, 2).sort(&[5], &[0, 2, 5]);
    }
}
