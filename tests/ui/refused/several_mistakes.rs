use mobula::remote;

#[remote(num_cpu = 2, max_retries = -1)]
fn fit(data: &mut Vec<f64>, name: Option<impl ToString>) -> &f64 {
    let _ = name;
    &data[0]
}

fn main() {
    let _: f64 = mobula::get(fit::remote(vec![1.0], Some("x"))).unwrap();
}
