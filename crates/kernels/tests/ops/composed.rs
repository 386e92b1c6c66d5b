//! Composed input vector tests: each input's own row plus the mean of the rows of its parts.

use super::check::{Compared, Gradient, relative};
use super::inputs::{Made, Random, numbers, scattered, wide, width};
use super::{IN_CACHE, Line, Op, line};
use kernels::Precision;
use kernels::complex::{Complex, complex, derivatives, zeros};
use kernels::composed::{Composition, composed_backward, composed_forward, naive};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

fn compare(random: &mut Random, _: Precision) -> Vec<Compared> {
    let (rows, cols) = (random.between(1, 9), width(random));
    let made = Made::random(random);
    let (of, inputs) = (made.composition(), made.inputs(random, rows));
    let [table, parts, dx] = [made.n_own, made.n_parts, rows].map(|n| random.f32s(n * cols, 1.0));
    let mut x = vec![f32::NAN; rows * cols];
    let (mut dtable, mut dparts) = (table.clone(), parts.clone());
    composed_forward(&mut x, &table, &parts, of, &inputs);
    composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);

    let definition = |[table, parts, dx]: [Vec<f64>; 3]| {
        let (mut x, mut dtable, mut dparts) = (vec![0.0; dx.len()], table.clone(), parts.clone());
        naive::composed_forward(&mut x, &table, &parts, of, &inputs);
        naive::composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);
        [x, dtable, dparts]
    };
    let all = [&table, &parts, &dx].map(|x| wide(x));
    let [x0, dtable0, dparts0] = definition(all.clone());
    let terms = definition(all.map(|x| x.iter().map(|x| x.abs()).collect()));
    // The share, a product and a sum for each part; and a sum, or these three, for each row.
    let n_parts = Made::N_PARTS_MAX;
    let roundings = [3 * n_parts, rows, 3 * rows * n_parts];
    let [of_x, of_dtable, of_dparts] = [0, 1, 2].map(|i| relative(&terms[i], roundings[i]));
    vec![
        Compared::within("composed_forward x", &x, x0, of_x),
        Compared::within("composed_backward dtable", &dtable, dtable0, of_dtable),
        Compared::within("composed_backward dparts", &dparts, dparts0, of_dparts),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 9), random.between(1, 7));
    let made = Made::random(random);
    let (of, inputs) = (made.composition(), made.inputs(random, rows));
    let (table, parts) =
        (random.f64s(made.n_own * cols, 1.0), random.f64s(made.n_parts * cols, 1.0));
    let dx = random.f64s(rows * cols, 1.0);
    let (mut dtable, mut dparts) = (vec![0.0; table.len()], vec![0.0; parts.len()]);
    naive::composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);
    let forward = |table: &[Complex], parts: &[Complex]| {
        let mut x = zeros(rows * cols);
        naive::composed_forward(&mut x, table, parts, of, &inputs);
        x
    };
    let of_table = derivatives(&dx, &table, |table| forward(table, &complex(&parts)));
    let of_parts = derivatives(&dx, &parts, |parts| forward(&complex(&table), parts));
    vec![
        Gradient { what: "composed_backward dtable", backward: dtable, step: of_table },
        Gradient { what: "composed_backward dparts", backward: dparts, step: of_parts },
    ]
}

/// Three parts each: of x one row is copied and three are added, of the gradient four added.
fn bench() -> Vec<Line> {
    let (n, cols) = (IN_CACHE, 128);
    let buffers = move || {
        let starts: Vec<u32> = (0..=300).map(|i| 3 * i).collect();
        let made = ((0..300).collect::<Vec<u32>>(), starts, scattered(900, 200));
        let inputs = scattered(n / cols, 300);
        (numbers(n), numbers(300 * cols), numbers(200 * cols), made, inputs)
    };
    vec![
        line("composed_forward 128", [6 * n, 44 * n], move || {
            let (mut x, table, parts, (own, starts, of), inputs) = buffers();
            move || {
                let of = Composition { own: &own, starts: &starts, parts: &of };
                composed_forward(&mut x, &table, &parts, of, &inputs);
            }
        }),
        line("composed_backward 128", [7 * n, 48 * n], move || {
            let (dx, mut dtable, mut dparts, (own, starts, of), inputs) = buffers();
            move || {
                let of = Composition { own: &own, starts: &starts, parts: &of };
                composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);
            }
        }),
    ]
}
