use mobula::remote;

#[remote]
fn length(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn main() {
    let _: usize = mobula::get(length::remote(Some("mobula"))).unwrap();
}
