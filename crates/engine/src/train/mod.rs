//! Training: steps, lanes, schedule, optimiser, runs.
