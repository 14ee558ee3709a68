use mobula::remote;

#[remote]
fn show(value: &dyn std::fmt::Display) -> String {
    value.to_string()
}

fn main() {
    let _: String = mobula::get(show::remote(3)).unwrap();
}
