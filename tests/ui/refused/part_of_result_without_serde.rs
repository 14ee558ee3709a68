use mobula::remote;

struct Fit(f64);

#[remote(num_returns = 2)]
fn fit(sample: Vec<f64>) -> (f64, Fit) {
    (sample[0], Fit(sample[0]))
}

fn main() {
    let (_error, _fit) = fit::remote(vec![1.0]);
}
