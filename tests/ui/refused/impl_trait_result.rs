use mobula::remote;

#[remote]
fn label(n: u64) -> impl std::fmt::Display {
    n
}

fn main() {
    let _: String = mobula::get(label::remote(3)).unwrap();
}
