use mobula::remote;

#[remote]
fn print_all(values: &[impl std::fmt::Display]) {
    values.iter().for_each(|value| println!("{value}"));
}

fn main() {
    print_all::remote(vec![1, 2]);
}
