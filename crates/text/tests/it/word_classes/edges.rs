//! Edge cases: tiny texts, words that do not occur, options that cannot be met.

use super::{classes, options};
use kernels::Pool;
use kernels::rng::{Purpose, Rng};
use text::vocab::classes::{ClassError, ClassMethod, ClassOptions, build};

#[test]
fn a_tiny_text_still_gives_every_token_a_class() {
    for method in ClassMethod::ALL {
        for (tokens, vocab_size) in
            [(&[][..], 0), (&[][..], 1), (&[0][..], 1), (&[0, 0, 0][..], 1), (&[][..], 20)]
        {
            let classes = classes(tokens, vocab_size, &ClassOptions::new(method, None, 1), 2);
            classes.check().unwrap();
            assert_eq!(classes.vocab_size(), vocab_size, "{method}");
        }
        for tokens in [&[7][..], &[7, 3], &[3, 3, 3, 3]] {
            let classes = classes(tokens, 20, &options(method, 4), 2);
            classes.check().unwrap();
            assert_eq!(classes.vocab_size(), 20, "{method}");
        }
    }
}

#[test]
fn tokens_that_never_occur_have_separate_classes_at_the_end() {
    // Even ids occur, odd ones do not.
    let rng = Rng::new(1, Purpose::Test, 0);
    let tokens: Vec<u32> = (0..5000).map(|i| 2 * rng.below_at(i, 50) as u32).collect();
    for method in ClassMethod::ALL {
        let mut options = options(method, 7);
        options.size_cap = Some(12);
        let classes = classes(&tokens, 100, &options, 2);
        classes.check().unwrap();
        assert!(classes.largest() <= 12, "{method}");
        let first_unseen = classes.order.iter().position(|id| id % 2 == 1).unwrap();
        assert!(classes.order[first_unseen..].iter().all(|id| id % 2 == 1), "{method}");
        assert!(classes.starts.contains(&(first_unseen as u32)), "{method}: a class mixes them");
    }
}

#[test]
fn equal_counts_are_supported() {
    // Every ordered pair of 30 words about equally often: nothing to find, and many ties.
    let tokens: Vec<u32> = (0..30u32).flat_map(|a| (0..30).flat_map(move |b| [a, b])).collect();
    for method in ClassMethod::ALL {
        let classes = classes(&tokens, 30, &options(method, 5), 2);
        classes.check().unwrap();
        assert!(classes.largest() <= 24, "{method}");
        assert!(classes.order.len() == 30 && classes.n_classes() >= 1, "{method}");
    }
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    let tokens: Vec<u32> = (0..100).collect();
    let fault = |vocab_size, options: &ClassOptions| {
        let mut pool = Pool::new(1);
        build(&tokens[..], vocab_size, options, &mut pool, &mut |_, _| true).unwrap_err()
    };
    for method in ClassMethod::ALL {
        let good = options(method, 10);
        let outside = ClassError::Token { position: 99, found: 99, vocab_size: 99 };
        assert_eq!(fault(99, &good), outside);
        let small_cap = ClassOptions { size_cap: Some(9), ..good.clone() };
        assert!(matches!(fault(100, &small_cap), ClassError::Option { field: "size_cap", .. }));
        let none = ClassOptions { n_classes: Some(0), ..good };
        assert!(matches!(fault(100, &none), ClassError::Option { field: "n_classes", .. }));
    }
}

#[test]
fn progress_rises_to_the_end_and_can_stop_the_work() {
    let rng = Rng::new(2, Purpose::Test, 0);
    let tokens: Vec<u32> = (0..20_000).map(|i| rng.below_at(i, 300) as u32).collect();
    for method in [ClassMethod::Exchange, ClassMethod::Kmeans] {
        let mut seen = Vec::new();
        let mut watch = |done, of| {
            seen.push((done, of));
            true
        };
        build(&tokens[..], 300, &options(method, 10), &mut Pool::new(2), &mut watch).unwrap();
        assert!(seen.is_sorted() && seen.iter().all(|(done, of)| done <= of), "{method}");
        assert!(seen.last().is_some_and(|(done, of)| done == of) && seen.len() > 2, "{method}");

        for n_allowed in 0..3 {
            let mut n_asked = 0;
            let mut stop = |_, _| {
                n_asked += 1;
                n_asked <= n_allowed
            };
            let result =
                build(&tokens[..], 300, &options(method, 10), &mut Pool::new(2), &mut stop);
            assert_eq!(result, Err(ClassError::Cancelled));
            assert_eq!(n_asked, n_allowed + 1);
        }
    }
}
