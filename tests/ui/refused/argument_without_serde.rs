use mobula::remote;

struct Sample(Vec<f64>);

#[remote]
fn mean(sample: Sample, scale: f64) -> f64 {
    scale * sample.0.iter().sum::<f64>() / sample.0.len() as f64
}

fn main() {
    let _: f64 = mobula::get(mean::remote(Sample(vec![1.0]), 2.0)).unwrap();
}
