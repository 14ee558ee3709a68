use mobula::remote;

#[remote]
fn scale(value: f64, #[cfg(unix)] factor: f64) -> f64 {
    value * factor
}

fn main() {
    let _: f64 = mobula::get(scale::remote(1.0, 2.0)).unwrap();
}
