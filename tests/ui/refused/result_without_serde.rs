use mobula::remote;

struct Fit(f64);

#[remote]
fn fit(sample: Vec<f64>) -> Fit {
    Fit(sample[0])
}

fn main() {
    fit::remote(vec![1.0]);
}
