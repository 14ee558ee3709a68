use mobula::remote;

struct Sample(f64);

#[remote]
fn mean(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| sample.0).sum::<f64>() / samples.len() as f64
}

fn main() {
    let _: f64 = mobula::get(mean::remote(vec![Sample(1.0)])).unwrap();
}
