//! temp
#![allow(missing_docs)]
use kernels::Pool;
use serde::{Deserialize, Serialize};
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassMethod {
    #[default]
    Exchange,
    Kmeans,
    Frequency,
    Random,
}
impl std::str::FromStr for ClassMethod {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "exchange" => Ok(Self::Exchange),
            "kmeans" => Ok(Self::Kmeans),
            "frequency" => Ok(Self::Frequency),
            "random" => Ok(Self::Random),
            _ => Err("exchange, kmeans, frequency or random".into()),
        }
    }
}
pub struct ClassOptions {
    n: usize,
}
impl ClassOptions {
    pub fn new(_m: ClassMethod, n: usize, _seed: u64) -> Self {
        Self { n }
    }
}
pub struct Classes {
    pub order: Vec<u32>,
    pub starts: Vec<u32>,
}
impl Classes {
    pub fn new_ids(&self) -> Vec<u32> {
        let mut v = vec![0; self.order.len()];
        for (n, o) in self.order.iter().enumerate() {
            v[*o as usize] = n as u32;
        }
        v
    }
}
pub fn build(
    ids: &[u32],
    vocab: usize,
    o: &ClassOptions,
    _p: &mut Pool,
    _g: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Classes, ()> {
    let mut counts = vec![0u64; vocab];
    ids.iter().for_each(|i| counts[*i as usize] += 1);
    let mut order: Vec<u32> = (0..vocab as u32).collect();
    order.sort_by_key(|i| std::cmp::Reverse(counts[*i as usize]));
    let total: f64 = counts.iter().map(|c| (*c as f64).sqrt()).sum();
    let (mut starts, mut sum) = (vec![0u32], 0.0);
    for (i, id) in order.iter().enumerate() {
        sum += (counts[*id as usize] as f64).sqrt();
        if sum >= total * starts.len() as f64 / o.n as f64 && i + 1 < vocab {
            starts.push(i as u32 + 1);
        }
    }
    starts.push(vocab as u32);
    Ok(Classes { order, starts })
}
