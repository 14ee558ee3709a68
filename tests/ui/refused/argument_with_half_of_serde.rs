use mobula::remote;
use serde::Serialize;

#[derive(Serialize)]
struct Sample(Vec<f64>);

#[remote]
fn mean(samples: Vec<Sample>) -> f64 {
    samples.iter().map(|sample| sample.0[0]).sum()
}

fn main() {
    let _: f64 = mobula::get(mean::remote(vec![Sample(vec![1.0])])).unwrap();
}
